"""What is wrong with one field of an object, in the words of upstream's API.

A `FieldError` is rendered when it is made: validation of a good object makes none, so rendering costs nothing there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

_SHORT_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


class FieldError(NamedTuple):
    """One cause of a 422 answer.

    reason: upstream's cause reason, such as ``FieldValueInvalid``.
    field: the path, such as ``spec.containers[0].name``.
    message: without the path, such as ``Required value``.
    """

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def required(field: str, detail: str = "") -> FieldError:
    """A value that must be there and is not."""
    return FieldError("FieldValueRequired", field, _join("Required value", detail))


def invalid(field: str, value: Any, detail: str = "") -> FieldError:
    """A malformed value."""
    return FieldError("FieldValueInvalid", field, _join(f"Invalid value: {render(value)}", detail))


def type_invalid(field: str, value: Any, detail: str = "") -> FieldError:
    """A value of the wrong type."""
    return FieldError("FieldValueTypeInvalid", field, _join(f"Invalid value: {render(value)}", detail))


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """A value outside its enumeration; list `supported` in upstream's order (mostly sorted)."""
    listed = ", ".join(map(quote, supported))
    detail = f"supported values: {listed}" if listed else ""
    return FieldError("FieldValueNotSupported", field, _join(f"Unsupported value: {render(value)}", detail))


def duplicate(field: str, value: Any) -> FieldError:
    """A value that must be unique and is not."""
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {render(value)}")


def not_found(field: str, value: Any) -> FieldError:
    """A reference to something that is not there."""
    return FieldError("FieldValueNotFound", field, f"Not found: {render(value)}")


def forbidden(field: str, detail: str) -> FieldError:
    """A value that is fine in itself but not allowed here."""
    return FieldError("FieldValueForbidden", field, _join("Forbidden", detail))


def too_long(field: str, maximum_bytes: int) -> FieldError:
    """A text over its limit in bytes."""
    detail = "value is too long" if maximum_bytes < 0 else f"may not be more than {maximum_bytes} bytes"
    return FieldError("FieldValueTooLong", field, f"Too long: {detail}")


def too_many(field: str, actual: int, maximum: int) -> FieldError:
    """A list over its limit in items."""
    plural = "item" if maximum == 1 else "items"
    detail = "has too many items" if maximum < 0 else f"must have at most {maximum} {plural}"
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: {detail}")


def internal(field: str, detail: str) -> FieldError:
    """A check that could not be made."""
    return FieldError("InternalError", field, f"Internal error: {detail}")


def refuse(messages: Iterable[str], value: Any, field: str, errors: list[FieldError]) -> None:
    """Append an `invalid` for each of the messages, of which there mostly are none."""
    for message in messages:
        errors.append(invalid(field, value, message))  # noqa: PERF401 - a generator would cost more than the usual nothing


def aggregate(errors: Sequence[object]) -> str:
    """Messages as upstream lists them: one as it is, several as ``[a, b]``, repeats once."""
    messages = list(dict.fromkeys(str(error) for error in errors))
    return messages[0] if len(messages) == 1 else f"[{', '.join(messages)}]"


def render(value: Any) -> str:
    """A bad value as upstream prints it: texts quoted, scalars plain, the rest as JSON (members in the order given)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    text = _ENCODER.encode(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def quote(text: str) -> str:
    """`text` in double quotes, escaped as Go's strconv.Quote does."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    if short is not None:
        return short
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _join(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head
