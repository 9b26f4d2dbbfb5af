"""Protobuf to the plain data that JSON would have given, by our structs' types and the fields' numbers."""

from __future__ import annotations

import base64
import struct
import types
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from tiphys.api.quantity import Quantity
from tiphys.apiserver.protobuf import schemas
from tiphys.apiserver.protobuf.numbers import fields_of, messages

MEDIA_TYPE: Final = b"application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value = int | bytes
Put = Callable[[dict[str, Any], Value], None]
Read = Callable[[Value], Any]


class Malformed(ValueError):
    """Bytes that are no message of the expected form."""


def knows(kind: type[Any]) -> bool:
    """Whether the numbers of a kind's fields are known here."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}" in messages()


def decode(kind: type[Any], body: bytes) -> dict[str, Any]:
    """A body (with its envelope) as plain data: apiVersion and kind as the envelope names them. Raises Malformed."""
    if not body.startswith(MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    data: dict[str, Any] = {}
    raw = b""
    for number, value in _fields(body[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            names = {1: "apiVersion", 2: "kind"}
            data |= {names[n]: _text(v) for n, v in _fields(value) if n in names and v}
        elif number == 2 and isinstance(value, bytes):
            raw = value
    return {**_reader_of(kind)(raw), **data}


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) pairs as they come. Raises Malformed."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire == _BYTES:
            length, at = _varint(data, at)
            if at + length > end:
                raise Malformed("unexpected EOF")
            yield number, data[at : at + length]
            at += length
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            yield number, data[at : at + size]
            at += size
        else:
            raise Malformed(f"illegal wireType {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("unexpected EOF")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def _reader_of(kind: Any) -> Callable[[bytes], dict[str, Any]]:
    return _message(kind)


@cache
def _message(kind: type[Any]) -> Callable[[bytes], dict[str, Any]]:
    """A reader of `kind` messages; nested readers are made at first use."""
    puts: dict[int, Put] | None = None

    def read(data: bytes) -> dict[str, Any]:
        nonlocal puts
        if puts is None:
            module = kind.__module__.rpartition(".")[2]
            puts = _puts(kind, f"{module}.{kind.__name__}")
        return _filled({}, data, puts)

    return read


def _filled(result: dict[str, Any], data: bytes, puts: dict[int, Put]) -> dict[str, Any]:
    for number, value in _fields(data):
        put = puts.get(number)
        if put is not None:
            put(result, value)
    return result


def _puts(kind: type[Any], message: str) -> dict[int, Put]:
    declared = {f.encode_name: f.type for f in msgspec.structs.fields(kind)}
    puts: dict[int, Put] = {}
    for field in fields_of(message):
        if field.inline:
            puts[field.number] = _inline(_puts(kind, f"{message.partition('.')[0]}.{field.name}"))
        elif field.name in declared:
            puts[field.number] = _put(field.name, bare(declared[field.name]), field.code)
    return puts


def _inline(inner: dict[int, Put]) -> Put:
    def put(result: dict[str, Any], value: Value) -> None:
        _filled(result, _bytes(value), inner)

    return put


def _put(name: str, kind: Any, code: str) -> Put:
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _put_item(name, bare(typing.get_args(kind)[0]))
    if origin is dict and (item := typing.get_args(kind)[1]) is not Any:
        return _put_entry(name, _reader(bare(item), code))
    read, keeps_zero = _reader(kind, code), code == "p"

    def put(result: dict[str, Any], value: Value) -> None:
        found = read(value)
        if found or keeps_zero or isinstance(found, dict):
            result[name] = found

    return put


def _put_item(name: str, kind: Any) -> Put:
    read = _reader(kind, "")

    def put(result: dict[str, Any], value: Value) -> None:
        items = result.setdefault(name, [])
        if kind is int and isinstance(value, bytes):
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                items.append(_signed(number))
        else:
            items.append(read(value))

    return put


def _put_entry(name: str, read: Read) -> Put:
    def put(result: dict[str, Any], value: Value) -> None:
        key, item = "", read(b"")
        for number, part in _fields(_bytes(value)):
            if number == 1:
                key = _text(part)
            elif number == 2:
                item = read(part)
        result.setdefault(name, {})[key] = item

    return put


def _reader(kind: Any, code: str) -> Read:
    if code == "b":
        return lambda value: base64.b64encode(_bytes(value)).decode()
    if code in ("t", "u"):
        return lambda value: _time(_bytes(value), micro=code == "u")
    if code == "s":
        kind = schemas.JSONSchemaProps
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        message = _reader_of(kind)
        if kind in schemas.EITHER:
            return lambda value: schemas.of_message(kind, message(_bytes(value)))
        return lambda value: message(_bytes(value))
    if kind is Quantity:
        return lambda value: next((_text(v) for n, v in _fields(_bytes(value)) if n == 1), "0") or "0"
    if is_int_or_string(kind):
        return _int_or_string
    if typing.get_origin(kind) is tuple:
        return lambda value: [_text(v) for n, v in _fields(_bytes(value)) if n == 1]
    return _SCALARS.get(kind, _json)


def is_int_or_string(kind: Any) -> bool:
    """Whether a field's type is IntOrString."""
    return isinstance(kind, types.UnionType) and set(typing.get_args(kind)) - {type(None)} == {int, str}


def _int_or_string(value: Value) -> int | str:
    fields = dict(_fields(_bytes(value)))
    if fields.get(1):
        return _text(fields.get(3, b""))
    number = fields.get(2, 0)
    return _signed(number) if isinstance(number, int) else 0


def _json(value: Value) -> Any:
    """RawExtension and FieldsV1: JSON in the first field."""
    raw = next((v for n, v in _fields(_bytes(value)) if n == 1), b"")
    try:
        return msgspec.json.decode(_bytes(raw)) if raw else None
    except msgspec.DecodeError as error:
        raise Malformed(str(error)) from error


def _time(value: bytes, *, micro: bool) -> str | None:
    fields = dict(_fields(value))
    seconds, nanos = fields.get(1, 0), fields.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or (not seconds and not nanos):
        return None
    moment = datetime.fromtimestamp(_signed(seconds), UTC)
    if micro:
        return moment.replace(microsecond=nanos // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _signed(number: Value) -> int:
    if not isinstance(number, int):
        raise Malformed("wrong wireType for an integer")
    return number - (1 << 64) if number >= 1 << 63 else number


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("wrong wireType for a message")
    return value


def _text(value: Value) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Malformed(str(error)) from error


def _double(value: Value) -> float:
    data = _bytes(value)
    return float(struct.unpack("<d", data)[0]) if len(data) == 8 else 0.0


_SCALARS: Final[dict[Any, Read]] = {str: _text, int: _signed, bool: bool, float: _double}


def bare(kind: Any) -> Any:
    """`kind` without ``| None``, IntOrString aside."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return options[0] if len(options) == 1 else kind
    return kind
