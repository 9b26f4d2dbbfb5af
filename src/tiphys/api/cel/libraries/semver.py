"""Semantic versions: precedence as semver 2.0.0 has it, builds left aside."""

from __future__ import annotations

import re
from typing import Any, Final

from tiphys.api.cel.libraries.function import Function
from tiphys.api.cel.libraries.messages import make
from tiphys.api.cel.type_names import SEMVER

_NUMBER: Final = r"(0|[1-9]\d*)"
_PART: Final = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?\Z",
    re.ASCII,
)
_MAXIMUM_CHARACTERS: Final = 1024
_BOTH: Final = (SEMVER, SEMVER)


def _normalized(text: str) -> str:
    """Without a leading v, with three numbers, none with leading zeros."""
    text = text.removeprefix("v")
    match = re.match(r"[0-9.]*", text, re.ASCII)
    core, rest = (match.group(), text[match.end() :]) if match else ("", text)
    numbers = core.split(".") if core else []
    if not 1 <= len(numbers) <= 3 or not all(numbers):
        return text
    numbers += ["0"] * (3 - len(numbers))
    return ".".join(number.lstrip("0") or "0" for number in numbers) + rest


def _checked(text: str, normalize: bool = False) -> str | None:
    if len(text) > _MAXIMUM_CHARACTERS:
        return None
    text = _normalized(text) if normalize else text
    return text if _VERSION.match(text) else None


def _is_semver(text: str, normalize: bool = False) -> bool:
    return _checked(text, normalize) is not None


def version(text: str) -> Any:
    """A version as expressions see it, for data that holds some. Raises ValueError."""
    return _parse(text)


def _parse(text: str, normalize: bool = False) -> Any:
    checked = _checked(text, normalize)
    if checked is None:
        raise ValueError(f"Semver: {text!r} is not a semantic version")
    return make(SEMVER, checked)


def _key(value: Any) -> tuple[Any, ...]:
    match = _VERSION.match(value.text)
    assert match is not None, "it was checked when it was made"
    *numbers, before, _ = match.groups()
    # A release is after all that come before it; numbers are before names.
    parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in before.split(".")] if before else []
    return (*map(int, numbers), not before, parts)


def _compare(left: Any, right: Any) -> int:
    a, b = _key(left), _key(right)
    return (a > b) - (a < b)


FUNCTIONS: Final = (
    Function("semver", "string_to_semver", ("string",), SEMVER, _parse, is_member=False),
    Function("semver", "string_bool_to_semver", ("string", "bool"), SEMVER, _parse, is_member=False),
    Function("isSemver", "is_semver_string", ("string",), "bool", _is_semver, False),
    Function("isSemver", "is_semver_string_bool", ("string", "bool"), "bool", _is_semver, False),
    Function("isGreaterThan", "semver_is_greater_than", _BOTH, "bool", lambda a, b: _compare(a, b) > 0),
    Function("isLessThan", "semver_is_less_than", _BOTH, "bool", lambda a, b: _compare(a, b) < 0),
    Function("compareTo", "semver_compare_to", _BOTH, "int", _compare),
    Function("major", "semver_major", (SEMVER,), "int", lambda v: _key(v)[0]),
    Function("minor", "semver_minor", (SEMVER,), "int", lambda v: _key(v)[1]),
    Function("patch", "semver_patch", (SEMVER,), "int", lambda v: _key(v)[2]),
)
