"""Random objects of any kind: structurally right, otherwise anything."""

from __future__ import annotations

import random
import types
import typing
from typing import Any, Final

import msgspec

from tiphys.api.quantity import Quantity

_TEXTS: Final = (
    "",
    "a",
    "web",
    "Bad_Name",
    "a.b.example.com",
    "example.com/x",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "TCP",
    "Always",
    "Never",
    "In",
    "Exists",
    "RollingUpdate",
    "ClusterIP",
    "None",
    "50%",
    "../x",
    "/abs",
    " x ",
    "x" * 300,
    "* * * * *",
    "2026-01-01T00:00:00Z",
    "YWJj",
    "\n",
    "Localhost",
    "windows",
)
_NUMBERS: Final = (0, 1, -1, 80, 65536, 2**31, 420, 100001)
_QUANTITIES: Final = ("0", "1", "500m", "-1", "1Gi", "1500m", "100u")
_KEYS: Final = (
    "cpu",
    "memory",
    "storage",
    "example.com/gpu",
    "hugepages-2Mi",
    "a",
    "bad key",
    "app.kubernetes.io/name",
)
_DEPTH_MAXIMUM: Final = 12


def make(kind: type[Any], source: random.Random, fullness: float) -> Any:
    """A `kind` whose optional fields are set with probability `fullness`."""
    return _struct(kind, source, fullness, 0)


def _struct(kind: type[Any], source: random.Random, fullness: float, depth: int) -> Any:
    given = {
        field.name: _value(field.type, source, fullness, depth + 1)
        for field in msgspec.structs.fields(kind)
        if field.name not in ("kind", "api_version") and source.random() < fullness and depth < _DEPTH_MAXIMUM
    }
    return kind(**given)


def _value(kind: Any, source: random.Random, fullness: float, depth: int) -> Any:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return _value(source.choice(options), source, fullness, depth)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind, source, fullness, depth)
    origin = typing.get_origin(kind)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_value(item, source, fullness, depth) for _ in range(source.choice((0, 1, 2))))
    if origin is dict:
        item = typing.get_args(kind)[1]
        return {source.choice(_KEYS): _value(item, source, fullness, depth) for _ in range(source.choice((0, 1, 2)))}
    if kind is Quantity:
        return Quantity(source.choice(_QUANTITIES))
    if kind is bool:
        return source.random() < 0.5
    if kind is int:
        return source.choice(_NUMBERS)
    if kind is str:
        return source.choice(_TEXTS)
    return {"type": "object"} if kind is typing.Any else source.choice(_TEXTS)
