"""Which fields of a custom resource its definition may let field selectors name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.api.field_errors import FieldError, duplicate, invalid, required, too_many
from tiphys.api.types.apiextensions_v1 import SelectableField

_MAXIMUM: Final = 8
_STEP: Final = re.compile(r"\.([A-Za-z_$][A-Za-z0-9_$-]*)|(.)")
_TYPES: Final = ("boolean", "integer", "string")
_BAD_TYPE: Final = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)


def check_selectable_fields(
    fields: Sequence[SelectableField], schema: Mapping[str, Any], path: str, errors: list[FieldError]
) -> None:
    """Append what is wrong with a version's selectableFields at `path`."""
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, text = f"{path}[{index}]", field.json_path
        if not text:
            errors.append(required(f"{at}.jsonPath"))
            continue
        found, problem = _follow(text, schema)
        if problem:
            errors.append(invalid(f"{at}.jsonPath", text, f"is an invalid path: {problem}"))
            continue
        if text.startswith(".metadata"):
            errors.append(invalid(at, text, "must not point to fields in metadata"))
        if found.get("type") not in _TYPES:
            errors.append(invalid(at, text, _BAD_TYPE))
        if text in seen:
            errors.append(duplicate(at, text))
        seen.add(text)
    if len(seen) > _MAXIMUM:
        errors.append(too_many(path, len(seen), _MAXIMUM))


def _follow(text: str, schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The schema a path leads to, and why it leads nowhere."""
    found: Mapping[str, Any] = schema
    for step, other in _STEP.findall(text):
        if other:
            return {}, f"expected [ or . but got: {text}"
        member = found.get("properties", {}).get(step)
        if not isinstance(member, Mapping):
            if step == "metadata" and found is schema:
                return {"type": "object"}, ""
            return {}, "does not refer to a valid field"
        found = member
    return found, ""
