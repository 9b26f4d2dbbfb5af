"""JSON text to protobuf: what `decoding` reads, written; for clients that accept nothing else."""

from __future__ import annotations

import base64
import struct
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import Any, Final

import msgspec

from tiphys.api import errors
from tiphys.api.quantity import Quantity
from tiphys.apiserver.protobuf import schemas
from tiphys.apiserver.protobuf.decoding import MAGIC, bare, is_int_or_string, knows
from tiphys.apiserver.protobuf.numbers import fields_of

Write = Callable[[Any], bytes]
_META_GROUP: Final = "meta.k8s.io"
_METADATA_KINDS: Final = ("PartialObjectMetadata", "PartialObjectMetadataList")
_ADVICE: Final = "ask for application/json, which every kind is served in"


def encode(text: bytes) -> bytes:
    """The envelope with the object or list that JSON `text` is. Raises ApiError 406 for kinds that have no such form,
    as custom resources and Tables."""
    return encode_data(msgspec.json.decode(text))


def encode_data(data: Mapping[str, Any]) -> bytes:
    """As `encode`, of plain data."""
    api_version, kind = str(data.get("apiVersion", "")), str(data.get("kind", ""))
    write = _of_kind(api_version, kind)
    if write is None:
        raise not_encoded(api_version, kind)
    meta = field(1, api_version.encode()) + field(2, kind.encode())
    try:
        message = write(data)
    except (AttributeError, TypeError, ValueError, struct.error) as error:
        # Plain data, such as the schema in a definition, may be of other types than a message's.
        raise not_encoded(api_version, kind) from error
    return MAGIC + field(1, meta) + field(2, message) + field(3, b"") + field(4, b"")


def not_encoded(api_version: str, kind: str) -> errors.ApiError:
    """406 for a kind that there are no numbers of."""
    text = f"{kind} of {api_version} cannot be had as application/vnd.kubernetes.protobuf: {_ADVICE}"
    return errors.not_acceptable(text)


def encodes(api_version: str, kind: str) -> bool:
    """Whether objects of a kind can be had in protobuf."""
    return _of_kind(api_version, kind) is not None


def frame(text: bytes) -> bytes:
    """A watch event, given as JSON text: its length in four bytes, then the message, whose object has the envelope."""
    event = msgspec.json.decode(text)
    message = field(1, event["type"].encode()) + field(2, field(1, encode_data(event["object"])))
    return struct.pack(">I", len(message)) + message


def field(number: int, content: bytes) -> bytes:
    """A field that has a length: text, bytes or a message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


@cache
def _of_kind(api_version: str, kind: str) -> Write | None:
    group, _, version = api_version.rpartition("/")
    if group == _META_GROUP and kind in _METADATA_KINDS:
        metadata = _message("meta_v1.ObjectMeta")
        single = _single(metadata)
        return _list(single) if kind.endswith("List") else single
    module = "meta_v1" if kind == "Status" else f"{group.split('.', 1)[0] or 'core'}_{version}"
    item = kind.removesuffix("List")
    if knows_name(module, kind):
        return _message(f"{module}.{kind}")
    return _list(_message(f"{module}.{item}")) if item != kind and knows_name(module, item) else None


def knows_name(module: str, kind: str) -> bool:
    """Whether there is a struct of ours of that name, and its numbers are known."""
    try:
        found = getattr(import_module(f"tiphys.api.types.{module}"), kind, None)
    except ImportError:
        return False
    return isinstance(found, type) and knows(found)


def _single(metadata: Write) -> Write:
    return lambda data: field(1, metadata(data.get("metadata") or {}))


def _list(item: Write) -> Write:
    head = _message("meta_v1.ListMeta")

    def write(data: Any) -> bytes:
        items = (field(2, item(one)) for one in data.get("items") or ())
        return field(1, head(data.get("metadata") or {})) + b"".join(items)

    return write


@cache
def _message(name: str) -> Write:
    """A writer of the messages called `name`; nested writers are made at first use."""
    module, _, kind = name.partition(".")
    declared = getattr(schemas if module == "schemas" else import_module(f"tiphys.api.types.{module}"), kind)
    parts: list[tuple[str, Write]] | None = None

    def write(data: Any) -> bytes:
        nonlocal parts
        if parts is None:
            parts = _parts(name, {f.encode_name: f.type for f in msgspec.structs.fields(declared)})
        return _written(parts, data)

    return write


def _written(parts: list[tuple[str, Write]], data: Mapping[str, Any]) -> bytes:
    """Each part's fields; one whose name is "" has its fields beside the others in JSON."""
    found = []
    for name, write in parts:
        if not name:
            found.append(write(data))
        elif (value := data.get(name)) is not None:
            found.append(write(value))
    return b"".join(found)


def _parts(message: str, declared: Mapping[str, Any]) -> list[tuple[str, Write]]:
    parts: list[tuple[str, Write]] = []
    for known in sorted(fields_of(message)):
        if known.inline:
            inner = _parts(f"{message.partition('.')[0]}.{known.name}", declared)
            parts.append(("", _inlined(known.number, inner)))
        elif known.name in declared:
            parts.append((known.name, _field(known.number, bare(declared[known.name]), known.code)))
    return parts


def _inlined(number: int, inner: list[tuple[str, Write]]) -> Write:
    return lambda data: field(number, _written(inner, data))


def _field(number: int, kind: Any, code: str) -> Write:
    """Writes a field with its key."""
    origin = typing.get_origin(kind)
    if origin is tuple:
        item = _single_field(number, bare(typing.get_args(kind)[0]), "")
        return lambda values: b"".join([item(value) for value in values])
    if origin is dict and (inner := typing.get_args(kind)[1]) is not Any:
        value = _single_field(2, bare(inner), code)
        return lambda entries: b"".join(
            [field(number, field(1, key.encode()) + value(v)) for key, v in entries.items()]
        )
    return _single_field(number, kind, code)


def _single_field(number: int, kind: Any, code: str) -> Write:
    if code not in ("b", "t", "u"):
        if kind in (int, bool):
            key = _varint(number << 3)
            return lambda value: key + _varint(int(value) & (1 << 64) - 1)
        if kind is float:
            key = _varint(number << 3 | 1)
            return lambda value: key + struct.pack("<d", value)
    key, content = _varint(number << 3 | 2), _content(kind, code)

    def write(value: Any) -> bytes:
        inside = content(value)
        return key + _varint(len(inside)) + inside

    return write


def _content(kind: Any, code: str) -> Write:
    """Writes what follows the key and the length."""
    if code == "b":
        return base64.b64decode
    if code in ("t", "u"):
        return _time
    if code == "s":
        kind = schemas.JSONSchemaProps
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        message = _message(f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}")
        if kind in schemas.EITHER:
            return lambda value: message(schemas.as_message(kind, value))
        return message
    if kind is Quantity:
        return lambda value: field(1, str(value).encode())
    if is_int_or_string(kind):
        return _int_or_string
    if typing.get_origin(kind) is tuple:
        return lambda values: b"".join(field(1, str(value).encode()) for value in values)
    if kind is str:
        return lambda value: str(value).encode()
    return lambda value: field(1, msgspec.json.encode(value))


def _int_or_string(value: Any) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + field(3, value.encode())
    return b"\x08\x00\x10" + _varint(value & (1 << 64) - 1) + field(3, b"")


def _time(value: Any) -> bytes:
    moment = datetime.fromisoformat(value).astimezone(UTC)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return b"\x08" + _varint(seconds & (1 << 64) - 1) + b"\x10" + _varint(moment.microsecond * 1000)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
