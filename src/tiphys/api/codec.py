"""JSON bytes to API objects and back.

Decoding accepts what Go's decoder accepts: unknown fields are dropped, a null means "absent". Encoding is canonical:
absent and empty fields are left out, fields the wire form always carries are there.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

import msgspec

from tiphys.api.quantity import Quantity
from tiphys.api.types.meta_v1 import ListMeta
from tiphys.api.types.model import Model, OpenModel

T = TypeVar("T")


class ObjectList(Model, Generic[T]):
    """A list of objects of one kind: ``items`` in key order, ``metadata.resource_version`` the revision it shows."""

    api_version: str = msgspec.field(default_factory=str, name="apiVersion")
    kind: str = msgspec.field(default_factory=str)
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: tuple[T, ...] = msgspec.field(default_factory=tuple)


def _from_wire(kind: type, value: Any) -> Any:
    if kind is Quantity and isinstance(value, str | int | float) and not isinstance(value, bool):
        return Quantity(value)
    raise TypeError(f"cannot decode {type(value).__name__} as {kind.__name__}")


def _to_wire(value: Any) -> Any:
    if isinstance(value, Quantity):
        return str(value)
    raise TypeError(f"cannot encode {type(value).__name__}")


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        found = _decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_from_wire)
    return found


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """The shared decoder of `kind`; raises msgspec.ValidationError on nulls that `decode` would tolerate."""
    return _decoder(kind)


_encoder = msgspec.json.Encoder(enc_hook=_to_wire)
_any_decoder = msgspec.json.Decoder()


def decode(kind: type[T], data: bytes | bytearray | memoryview) -> T:
    """`data` as a `kind`. Unknown fields are dropped; nulls count as absent.

    Raises msgspec.DecodeError (malformed JSON) or msgspec.ValidationError (a value of the wrong type).
    """
    if isinstance(kind, type) and issubclass(kind, OpenModel):
        return from_dict(kind, _any_decoder.decode(data))
    try:
        return decoder(kind).decode(data)
    except msgspec.ValidationError:
        # Nulls are rare and cost a second pass only where they occur.
        return from_dict(kind, without_nulls(_any_decoder.decode(data)))


def encode(obj: Any) -> bytes:
    """The canonical JSON of an API object (or of plain data)."""
    if isinstance(obj, OpenModel) and obj.rest is not None:
        rest, obj.rest = obj.rest, None
        try:
            return _encoder.encode(obj)[:-1] + b"," + _encoder.encode(rest)[1:]
        finally:
            obj.rest = rest
    return _encoder.encode(obj)


def to_dict(obj: Any) -> dict[str, Any]:
    """The object as plain JSON data: fresh dicts and lists that the caller may change."""
    return cast(dict[str, Any], _any_decoder.decode(encode(obj)))


def from_dict(kind: type[T], data: Any) -> T:
    """Plain JSON data as a `kind`; raises msgspec.ValidationError. `data` is not kept."""
    try:
        made = msgspec.convert(data, kind, dec_hook=_from_wire)
    except msgspec.ValidationError:
        made = msgspec.convert(without_nulls(data), kind, dec_hook=_from_wire)
    if isinstance(made, OpenModel):
        known = made.__struct_encode_fields__
        made.rest = {name: value for name, value in data.items() if name not in known} or None
    return made


def decode_any(data: bytes | bytearray | memoryview) -> Any:
    """JSON as plain data; raises msgspec.DecodeError."""
    return _any_decoder.decode(data)


def encode_any(data: Any) -> bytes:
    """Plain data as JSON."""
    return _encoder.encode(data)


def without_nulls(data: Any) -> Any:
    """A copy of plain data without null members (of objects) at any depth; nulls in arrays stay."""
    if isinstance(data, dict):
        return {key: without_nulls(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [without_nulls(value) for value in data]
    return data
