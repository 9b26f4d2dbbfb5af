"""Unknown and repeated fields of JSON bodies: found at C speed when there are none, by a walk when there are.

For every kind there is a twin type, made at first use: the same members, all optional, nothing else allowed. A body
that decodes as the twin has no unknown field; if encoding the result gives as many members as the body has, none was
repeated. Only bodies that fail this go through the slow walk that names the fields.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Hashable
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from tiphys.api.quantity import Quantity
from tiphys.api.types.model import OpenModel

REPORTED_MAXIMUM: Final = 100
_LOOSE: Final = str | int | float | bool | None | msgspec.UnsetType
_encode: Final = msgspec.json.Encoder().encode


class Findings(NamedTuple):
    """What a strict decoder says of a body: each finding once, in document order, `REPORTED_MAXIMUM` at most.

    all: ``unknown field "spec.x"`` for members the kind does not have and ``duplicate field "spec.y"`` for known ones
    that occur twice in one object. unknown: the former alone.
    """

    all: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


NOTHING: Final = Findings()


def inspect(kind: type[Any], body: bytes) -> Findings:
    """What is unknown or repeated in `body`, which decodes as a `kind`."""
    try:
        twin = _decoder(kind).decode(body)
    except msgspec.ValidationError:
        return _walk_body(kind, body)
    except msgspec.DecodeError:
        return NOTHING
    # Members are counted by their colons; those inside strings are on both sides. A body with spaces around its colons
    # or escapes of its own only costs the walk.
    if body.count(b'":') == _encode(twin).count(b'":'):
        return NOTHING
    return _walk_body(kind, body)


def inspect_text(body: bytes) -> tuple[str, ...]:
    """What is repeated in a body of no known kind (a custom resource, a patch)."""
    try:
        if body.count(b'":') == _encode(msgspec.json.decode(body)).count(b'":'):
            return ()
    except msgspec.DecodeError:
        return ()
    found: list[str] = []
    try:
        _collect(None, json.loads(body, object_pairs_hook=_Members), "", found)
    except ValueError:
        return ()
    return tuple(dict.fromkeys(found))[:REPORTED_MAXIMUM]


class _Members:
    """An object's members in order, repeats included."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _walk_body(kind: type[Any], body: bytes) -> Findings:
    found: list[str] = []
    try:
        data = json.loads(body, object_pairs_hook=_Members)
    except ValueError:
        return NOTHING
    _collect(kind, data, "", found)
    once = tuple(dict.fromkeys(found))[:REPORTED_MAXIMUM]
    return Findings(once, tuple(finding for finding in once if finding.startswith("unknown")))


def _collect(kind: Any, data: Any, path: str, found: list[str]) -> None:
    kind = _bare(kind)
    if isinstance(data, _Members):
        fields = _members(kind) if _is_struct(kind) else None
        item = typing.get_args(kind)[1] if typing.get_origin(kind) is dict else None
        seen: set[str] = set()
        for name, value in data.pairs:
            where = f"{path}.{name}" if path else name
            if fields is not None and name not in fields and issubclass(kind, OpenModel):
                _collect(None, value, where, found)
                continue
            if fields is not None and name not in fields:
                found.append(f'unknown field "{where}"')
                continue
            if name in seen:
                found.append(f'duplicate field "{where}"')
            seen.add(name)
            _collect(fields[name] if fields is not None else item, value, where, found)
    elif isinstance(data, list):
        item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
        for index, value in enumerate(data):
            if isinstance(value, _Members | list):
                _collect(item, value, f"{path}[{index}]", found)


@cache
def _members(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def _bare(kind: Any) -> Any:
    """`kind` without ``| None``; None for anything that is not one type."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return options[0] if len(options) == 1 else None
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


_decoders: Final[dict[type, msgspec.json.Decoder[Any]]] = {}


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    known = _decoders.get(kind)
    if known is None:
        known = _decoders[kind] = msgspec.json.Decoder(_twin_of_struct(kind))
    return known


@cache
def _twin_of_struct(kind: Hashable) -> Any:
    assert isinstance(kind, type)
    fields = msgspec.structs.fields(kind)
    return msgspec.defstruct(
        f"Strict{kind.__name__}",
        [
            (field.name, _twin(field.type), msgspec.field(default=msgspec.UNSET, name=field.encode_name))
            for field in fields
        ],
        forbid_unknown_fields=True,
        gc=False,
        kw_only=True,
    )


def _twin(kind: Any) -> Any:
    """A type that keeps every member of a value and the text of none."""
    kind = _bare(kind)
    if _is_struct(kind):
        return _twin_of_struct(kind) | None | msgspec.UnsetType
    if kind in (str, int, float, bool, Quantity, None):
        return _LOOSE
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _list_of(_element(typing.get_args(kind)[0])) | None | msgspec.UnsetType
    if origin is dict:
        return _map_of(_element(typing.get_args(kind)[1])) | None | msgspec.UnsetType
    return Any


def _element(kind: Any) -> Any:
    bare = _bare(kind)
    if _is_struct(bare):
        return _twin_of_struct(bare) | None
    if bare in (str, int, float, bool, Quantity, None):
        return str | int | float | bool | None
    origin = typing.get_origin(bare)
    if origin is tuple:
        return _list_of(_element(typing.get_args(bare)[0])) | None
    if origin is dict:
        return _map_of(_element(typing.get_args(bare)[1])) | None
    return Any


def _map_of(item: Any) -> Any:
    return dict[str, item]


def _list_of(item: Any) -> Any:
    return list[item]


def inspect_yaml(body: bytes) -> str:
    """What is repeated in a YAML body, as upstream's YAML parser reports it; empty if nothing is (or it is no YAML)."""
    try:
        root = yaml.compose(body, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return ""
    lines: list[tuple[int, str]] = []
    if root is not None:
        _collect_yaml(root, lines)
    if not lines:
        return ""
    listed = "".join(f'\n  line {line}: key "{key}" already set in map' for line, key in sorted(lines))
    return f"yaml: unmarshal errors:{listed}"


def _collect_yaml(node: yaml.Node, lines: list[tuple[int, str]]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _collect_yaml(item, lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key.value, str):
                if key.value in seen:
                    lines.append((key.start_mark.line + 1, key.value))
                seen.add(key.value)
            _collect_yaml(value, lines)
