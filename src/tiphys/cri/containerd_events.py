"""containerd's own event stream, for versions before 1.7, whose CRI plugin has no GetContainerEvents.

The messages are declared here field by field (containerd's published numbers), because no PyPI package carries them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

from tiphys.cri.types import ContainerEvent, EventType

SUBSCRIBE_METHOD = "/containerd.services.events.v1.Events/Subscribe"
CRI_NAMESPACE = "k8s.io"

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_REPEATED = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED

_TYPES_BY_TOPIC = {
    "/tasks/create": EventType.CREATED,
    "/tasks/start": EventType.STARTED,
    "/tasks/exit": EventType.STOPPED,
    "/tasks/delete": EventType.DELETED,
}


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tiphys/containerd_events.proto", package="tiphys.containerd")
    file.syntax = "proto3"
    file.dependency.extend([any_pb2.DESCRIPTOR.name, timestamp_pb2.DESCRIPTOR.name])

    def declare(name: str, *fields: tuple[str, int, int, str]) -> None:
        message = file.message_type.add(name=name)
        for field_name, number, label, type_name in fields:
            message.field.add(
                name=field_name,
                number=number,
                label=label,
                type=_MESSAGE if type_name else _STRING,
                type_name=type_name or None,
            )

    declare("SubscribeRequest", ("filters", 1, _REPEATED, ""))
    declare(
        "Envelope",
        ("timestamp", 1, _OPTIONAL, ".google.protobuf.Timestamp"),
        ("namespace", 2, _OPTIONAL, ""),
        ("topic", 3, _OPTIONAL, ""),
        ("event", 4, _OPTIONAL, ".google.protobuf.Any"),
    )
    # All four agree in field 1; an exit and a deletion can be an exec's, which they name in their own field.
    declare("TaskEvent", ("container_id", 1, _OPTIONAL, ""))
    declare("TaskExit", ("container_id", 1, _OPTIONAL, ""), ("id", 2, _OPTIONAL, ""))
    declare("TaskDelete", ("container_id", 1, _OPTIONAL, ""), ("id", 5, _OPTIONAL, ""))
    pool = descriptor_pool.DescriptorPool()
    for dependency in (any_pb2.DESCRIPTOR, timestamp_pb2.DESCRIPTOR):
        pool.AddSerializedFile(dependency.serialized_pb)
    pool.Add(file)
    names = ("SubscribeRequest", "Envelope", "TaskEvent", "TaskExit", "TaskDelete")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tiphys.containerd.{name}")) for name in names
    }


_CLASSES = _message_classes()
Envelope = _CLASSES["Envelope"]


def subscribe_request() -> bytes:
    filters = [f'namespace=={CRI_NAMESPACE},topic=="{topic}"' for topic in _TYPES_BY_TOPIC]
    encoded: bytes = _CLASSES["SubscribeRequest"](filters=filters).SerializeToString()
    return encoded


def event(envelope: Any) -> ContainerEvent | None:
    """The event of an envelope; None for the end of an exec, which is no container."""
    kind = _TYPES_BY_TOPIC.get(envelope.topic)
    if kind is None:
        return None
    if kind in (EventType.STOPPED, EventType.DELETED):
        ended = _CLASSES["TaskExit" if kind is EventType.STOPPED else "TaskDelete"].FromString(envelope.event.value)
        if ended.id not in ("", ended.container_id):
            return None
        container_id = ended.container_id
    else:
        container_id = _CLASSES["TaskEvent"].FromString(envelope.event.value).container_id
    return ContainerEvent(
        type=kind,
        container_id=container_id,
        created_at_nanoseconds=envelope.timestamp.seconds * 1_000_000_000 + envelope.timestamp.nanos,
    )
