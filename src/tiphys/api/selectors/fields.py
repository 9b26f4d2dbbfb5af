"""Field selectors: ``spec.nodeName=a,status.phase!=Running``; a backslash escapes commas, equals and backslashes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from tiphys.api import errors

_OPERATORS: Final = ("!=", "==", "=")


class FieldRequirement(NamedTuple):
    """`field` (as the client wrote it) equals `value`, or does not."""

    field: str
    equal: bool
    value: str


class FieldSelector(NamedTuple):
    """A conjunction; no requirements select everything."""

    requirements: tuple[FieldRequirement, ...]

    @property
    def is_everything(self) -> bool:
        return not self.requirements

    @property
    def equalities(self) -> dict[str, str]:
        """Fields every match has with exactly this value: what an index can answer."""
        return {field: value for field, equal, value in self.requirements if equal}

    def matches(self, value_of: Callable[[str], str]) -> bool:
        """True if the object whose fields `value_of` reads (absent ones as "") fulfils every requirement."""
        return all((value_of(field) == value) is equal for field, equal, value in self.requirements)

    def __str__(self) -> str:
        return ",".join(f"{f}{'=' if equal else '!='}{_escape(value)}" for f, equal, value in self.requirements)


@lru_cache(maxsize=4096)
def parse_fields(text: str) -> FieldSelector:
    """`text` as a selector; the empty text selects everything. Raises ApiError (400) with upstream's words.

    Whether a kind has such a field is `resolve_fields`' question.
    """
    try:
        return FieldSelector(tuple(_requirement(text, term) for term in _split(text) if term))
    except ValueError as error:
        raise errors.bad_request(str(error)) from None


def _split(text: str) -> list[str]:
    """The terms between unescaped commas."""
    if "\\" not in text:
        return text.split(",")
    terms: list[str] = []
    start = position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == ",":
            terms.append(text[start:position])
            start = position + 1
        position += 1
    return [*terms, text[start:]]


def _requirement(text: str, term: str) -> FieldRequirement:
    for position in range(len(term)):
        for operator in _OPERATORS:
            if term.startswith(operator, position):
                value = _unescape(term[position + len(operator) :])
                return FieldRequirement(term[:position], operator != "!=", value)
    raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")


def _unescape(value: str) -> str:
    if not any(character in value for character in "\\,="):
        return value
    plain: list[str] = []
    escaped = False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{character}")
            plain.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise ValueError(f"invalid field selector: unescaped character in value: {character}")
        else:
            plain.append(character)
    if escaped:
        raise ValueError("invalid field selector: invalid escape sequence: \\")
    return "".join(plain)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
