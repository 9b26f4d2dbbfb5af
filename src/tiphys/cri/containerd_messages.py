"""Messages of containerd's own API, declared field by field (its published numbers): no PyPI package carries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

PACKAGE = "tiphys.containerd"
CRI_NAMESPACE = "k8s.io"
NAMESPACE_HEADER = ("containerd-namespace", CRI_NAMESPACE)

STRING, INT64 = "string", "int64"
ANY, TIMESTAMP = ".google.protobuf.Any", ".google.protobuf.Timestamp"
REPEATED = "repeated "

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {STRING: _FIELD.TYPE_STRING, INT64: _FIELD.TYPE_INT64}


def message_classes(file_name: str, messages: Mapping[str, tuple[tuple[str, int, str], ...]]) -> dict[str, Any]:
    """Classes for messages given as name to fields of (name, number, type).

    A type is STRING, INT64, ANY, TIMESTAMP or another message of the same call, with REPEATED before it for a list.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"tiphys/{file_name}.proto", package=f"{PACKAGE}.{file_name}")
    file.syntax = "proto3"
    file.dependency.extend([any_pb2.DESCRIPTOR.name, timestamp_pb2.DESCRIPTOR.name])
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, declared in fields:
            kind = declared.removeprefix(REPEATED)
            field = message.field.add(name=field_name, number=number, label=_FIELD.LABEL_OPTIONAL)
            if kind != declared:
                field.label = _FIELD.LABEL_REPEATED
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type = _FIELD.TYPE_MESSAGE
                field.type_name = kind if kind.startswith(".") else f".{PACKAGE}.{file_name}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    for dependency in (any_pb2.DESCRIPTOR, timestamp_pb2.DESCRIPTOR):
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"{PACKAGE}.{file_name}.{name}") for name in messages)
    return {descriptor.name: message_factory.GetMessageClass(descriptor) for descriptor in found}
