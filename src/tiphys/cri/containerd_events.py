"""containerd's own event stream, for versions before 1.7, whose CRI plugin has no GetContainerEvents."""

from __future__ import annotations

from typing import Any

from tiphys.cri.containerd_messages import ANY, CRI_NAMESPACE, REPEATED, STRING, TIMESTAMP, message_classes
from tiphys.cri.types import ContainerEvent, EventType

SUBSCRIBE_METHOD = "/containerd.services.events.v1.Events/Subscribe"

_TYPES_BY_TOPIC = {
    "/tasks/create": EventType.CREATED,
    "/tasks/start": EventType.STARTED,
    "/tasks/exit": EventType.STOPPED,
    "/tasks/delete": EventType.DELETED,
}
_CLASSES = message_classes(
    "events",
    {
        "SubscribeRequest": (("filters", 1, REPEATED + STRING),),
        "Envelope": (("timestamp", 1, TIMESTAMP), ("namespace", 2, STRING), ("topic", 3, STRING), ("event", 4, ANY)),
        # All four agree in field 1; an exit and a deletion can be an exec's, which they name in their own field.
        "TaskEvent": (("container_id", 1, STRING),),
        "TaskExit": (("container_id", 1, STRING), ("id", 2, STRING)),
        "TaskDelete": (("container_id", 1, STRING), ("id", 5, STRING)),
    },
)
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
