"""Field paths of rules: ``.spec.replicas``, ``.labels['a/b']``: to one field below a schema, in upstream's form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_PART: Final = re.compile(r"\.([^.\[\]]+)|\[('(?:\\.|[^'\\])*')\]")
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def normalize(path: str, schema: Mapping[str, Any]) -> str | None:
    """The path as field errors have it, without a leading dot; None if it leads to no field of the schema."""
    made = ""
    at: Any = schema
    position = 0
    while position < len(path):
        match = _PART.match(path, position)
        if match is None or not isinstance(at, Mapping):
            return None
        position = match.end()
        name = match.group(1) if match.group(1) is not None else _unquoted(match.group(2))
        if name is None:
            return None
        if at.get("properties"):
            at = at["properties"].get(name)
            made += f".{name}" if made else name
        elif isinstance(at.get("additionalProperties"), Mapping):
            at = at["additionalProperties"]
            made += f"[{name}]"
        else:
            return None
        if at is None:
            return None
    return made or None


def _unquoted(text: str) -> str | None:
    if any(match.group(1) not in _ESCAPED for match in _ESCAPE.finditer(text)):
        return None
    return _ESCAPE.sub(lambda match: _ESCAPED[match.group(1)], text[1:-1])
