"""What is wrong with JSON that cannot be read, in the words of Go's encoding/json.

Only text that a fast decoder has already refused comes here.
"""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = " \t\r\n"
_END: Final = "unexpected end of JSON input"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LITERALS: Final = {"t": "true", "f": "false", "n": "null"}
_ESCAPES: Final = '"\\/bfnrt'
_DEPTH_MAXIMUM: Final = 10000


class _SyntaxError(Exception):
    """Carries the message."""


def syntax_error(data: bytes) -> str:
    """Go's message about the first thing that is wrong with `data`; empty if it is JSON."""
    text = data.decode("utf-8", "replace")
    try:
        end = _skip(text, _value(text, _skip(text, 0), 0))
        if end < len(text):
            return f"invalid character {_shown(text[end])} after top-level value"
    except _SyntaxError as error:
        return str(error)
    return ""


def _shown(character: str) -> str:
    if character == "'":
        return r"'\''"
    if character == '"':
        return "'\"'"
    if character == "\n":
        return r"'\n'"
    if character == "\t":
        return r"'\t'"
    if character == "\r":
        return r"'\r'"
    if not character.isprintable():
        return f"'\\x{ord(character):02x}'"
    return f"'{character}'"


def _fail(text: str, position: int, context: str) -> _SyntaxError:
    if position >= len(text):
        return _SyntaxError(_END)
    return _SyntaxError(f"invalid character {_shown(text[position])} {context}")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def _value(text: str, position: int, depth: int) -> int:
    if depth > _DEPTH_MAXIMUM:
        raise _SyntaxError("exceeded max depth")
    if position >= len(text):
        raise _SyntaxError(_END)
    first = text[position]
    if first == "{":
        return _object(text, position + 1, depth)
    if first == "[":
        return _array(text, position + 1, depth)
    if first == '"':
        return _string(text, position + 1)
    if first == "-" or first.isdigit():
        return _number(text, position)
    if first in _LITERALS:
        return _literal(text, position, _LITERALS[first])
    raise _fail(text, position, "looking for beginning of value")


def _object(text: str, position: int, depth: int) -> int:
    position = _skip(text, position)
    if position < len(text) and text[position] == "}":
        return position + 1
    while True:
        if position >= len(text) or text[position] != '"':
            raise _fail(text, position, "looking for beginning of object key string")
        position = _skip(text, _string(text, position + 1))
        if position >= len(text) or text[position] != ":":
            raise _fail(text, position, "after object key")
        position = _skip(text, _value(text, _skip(text, position + 1), depth + 1))
        if position < len(text) and text[position] == "}":
            return position + 1
        if position >= len(text) or text[position] != ",":
            raise _fail(text, position, "after object key:value pair")
        position = _skip(text, position + 1)


def _array(text: str, position: int, depth: int) -> int:
    position = _skip(text, position)
    if position < len(text) and text[position] == "]":
        return position + 1
    while True:
        position = _skip(text, _value(text, position, depth + 1))
        if position < len(text) and text[position] == "]":
            return position + 1
        if position >= len(text) or text[position] != ",":
            raise _fail(text, position, "after array element")
        position = _skip(text, position + 1)


def _string(text: str, position: int) -> int:
    while True:
        if position >= len(text):
            raise _SyntaxError(_END)
        character = text[position]
        if character == '"':
            return position + 1
        if character < " ":
            raise _fail(text, position, "in string literal")
        position += 1
        if character == "\\":
            position = _escape(text, position)


def _escape(text: str, position: int) -> int:
    if position < len(text) and text[position] == "u":
        for offset in range(1, 5):
            if position + offset >= len(text) or text[position + offset] not in "0123456789abcdefABCDEF":
                raise _fail(text, position + offset, "in \\u hexadecimal character escape")
        return position + 5
    if position >= len(text) or text[position] not in _ESCAPES:
        raise _fail(text, position, "in string escape code")
    return position + 1


def _number(text: str, position: int) -> int:
    match = _NUMBER.match(text, position)
    if match is None:
        raise _fail(text, position + 1, "in numeric literal")
    end = match.end()
    if end < len(text) and text[end] == "." and match[2] is None:
        raise _fail(text, end + 1, "after decimal point in numeric literal")
    if end < len(text) and text[end] in "eE" and match[3] is None:
        signed = end + 1 < len(text) and text[end + 1] in "+-"
        raise _fail(text, end + 2 if signed else end + 1, "in exponent of numeric literal")
    return end


def _literal(text: str, position: int, literal: str) -> int:
    for offset in range(1, len(literal)):
        if position + offset >= len(text) or text[position + offset] != literal[offset]:
            raise _fail(text, position + offset, f"in literal {literal} (expecting '{literal[offset]}')")
    return position + len(literal)
