"""Protobuf messages declared in Python by their published field numbers: for protocols no kept package has stubs of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bytes": _FIELD.TYPE_BYTES,
    "string": _FIELD.TYPE_STRING,
    "int64": _FIELD.TYPE_INT64,
    "uint64": _FIELD.TYPE_UINT64,
    "int32": _FIELD.TYPE_INT32,
    "bool": _FIELD.TYPE_BOOL,
}
MAP: Final = "map"
_REPEATED: Final = "repeated "
_ONE_OF: Final = "oneof "

Fields = tuple[tuple[str, int, str], ...]
"""A message's fields: name, number, type. The type is a scalar, ``map`` (of strings), a message of the same
package, or a well-known one (``.google.protobuf.BoolValue``); ``repeated`` or ``oneof`` may stand before it (one oneof
a message)."""


def declare(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Message classes by name, in a pool of their own. Enumerations are declared as int32, which is how they travel."""
    file = descriptor_pb2.FileDescriptorProto(name=f"tiphys/{package}.proto", package=package, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, declared in fields:
            _add_field(message, package, field_name, number, declared)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


def _add_field(message: Any, package: str, name: str, number: int, declared: str) -> None:
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    if declared == MAP:
        # A map is a list of pairs, marked as one.
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
        entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
        field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{entry.name}"
        return
    kind = declared.removeprefix(_REPEATED).removeprefix(_ONE_OF)
    if declared.startswith(_REPEATED):
        field.label = _FIELD.LABEL_REPEATED
    if declared.startswith(_ONE_OF):
        if not message.oneof_decl:
            message.oneof_decl.add(name="kind")
        field.oneof_index = 0
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = kind if kind.startswith(".") else f".{package}.{kind}"
