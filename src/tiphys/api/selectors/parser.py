"""The text form of label selectors: ``tier in (web,api),env!=prod,!old,generation>3``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from tiphys.api import errors, field_errors, names
from tiphys.api.selectors import labels
from tiphys.api.selectors.labels import Requirement, Selector

_TOKEN: Final = re.compile(r"\s*(?:(?P<symbol>==|!=|[=!(),<>])|(?P<word>[^\s=!(),<>]+))|\s*$")
_OPERATORS: Final = {
    "=": labels.EQUALS,
    "==": labels.DOUBLE_EQUALS,
    "!=": labels.NOT_EQUALS,
    ">": labels.GREATER_THAN,
    "<": labels.LESS_THAN,
    "in": labels.IN,
    "notin": labels.NOT_IN,
}


class _Token(NamedTuple):
    text: str
    is_word: bool


_END: Final = _Token("", False)


@lru_cache(maxsize=4096)
def parse_labels(text: str) -> Selector:
    """`text` as a selector; the empty text selects everything. Raises ApiError (400) with upstream's words."""
    try:
        return Selector(tuple(_Parser(text).requirements()))
    except ValueError as error:
        raise errors.bad_request(str(error)) from None


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [
            _Token(found.group().strip(), found.lastgroup == "word")
            for found in _TOKEN.finditer(text)
            if found.lastgroup is not None
        ]
        self._position = 0

    def _peek(self) -> _Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _take(self) -> _Token:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            token = self._peek()
            if token is _END:
                return found
            if not token.is_word and token.text != "!":
                raise ValueError(f"found '{token.text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self._take()
            if token is _END:
                return found
            if token.text != ",":
                raise ValueError(f"found '{token.text}', expected: ',' or 'end of string'")
            token = self._peek()
            if not token.is_word and token.text != "!":
                raise ValueError(f"found '{token.text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        token = self._take()
        absent = token.text == "!"
        if absent:
            token = self._take()
        if not token.is_word:
            raise ValueError(f"found '{token.text}', expected: identifier")
        key = token.text
        if bad := names.qualified_name(key):
            raise ValueError(str(field_errors.invalid("<nil>", key, "; ".join(bad))))
        if absent:
            return labels.requirement(key, labels.DOES_NOT_EXIST)
        following = self._peek()
        if following is _END or following.text == ",":
            return labels.requirement(key, labels.EXISTS)
        token = self._take()
        operator = _OPERATORS.get(token.text)
        if operator is None:
            raise ValueError(f"found '{token.text}', expected: {', '.join(labels.BINARY)}")
        values = self._values() if operator in (labels.IN, labels.NOT_IN) else self._exact_value()
        return labels.requirement(key, operator, values)

    def _exact_value(self) -> set[str]:
        token = self._peek()
        if token is _END or token.text == ",":
            return {""}
        token = self._take()
        if not token.is_word:
            raise ValueError(f"found '{token.text}', expected: identifier")
        return {token.text}

    def _values(self) -> set[str]:
        token = self._take()
        if token.text != "(":
            raise ValueError(f"found '{token.text}' expected: '('")
        token = self._peek()
        if token.text == ")":
            self._take()
            return set()
        if not token.is_word and token.text != ",":
            raise ValueError(f"found '{token.text}', expected: ',', ')' or identifier")
        values = self._listed()
        token = self._take()
        if token.text != ")":
            raise ValueError(f"found '{token.text}', expected: ')'")
        return values

    def _listed(self) -> set[str]:
        """Words between parentheses; nothing before, after or between commas is the empty value."""
        values: set[str] = set()
        while True:
            token = self._take()
            if token.is_word:
                values.add(token.text)
                following = self._peek()
                if following.text == ")":
                    return values
                if following.text != ",":
                    raise ValueError(f"found '{following.text}', expected: ',' or ')'")
            elif token.text == ",":
                if not values:
                    values.add("")
                following = self._peek()
                if following.text == ")":
                    values.add("")
                    return values
                if following.text == ",":
                    self._take()
                    values.add("")
            else:
                raise ValueError(f"found '{token.text}', expected: ',', or identifier")
