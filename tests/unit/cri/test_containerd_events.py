"""containerd's event stream, read by field numbers alone."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.cri import containerd_events
from tiphys.cri.types import EventType


def field(number: int, text: str) -> bytes:
    """One length-delimited protobuf field, encoded by hand."""
    data = text.encode()
    return bytes([number << 3 | 2, len(data)]) + data


def envelope(topic: str, value: bytes) -> Any:
    message = containerd_events.Envelope(topic=topic)
    message.timestamp.seconds, message.timestamp.nanos = 5, 7
    message.event.value = value
    return message


@pytest.mark.parametrize(
    ("topic", "value", "kind"),
    [
        ("/tasks/create", field(1, "c1"), EventType.CREATED),
        ("/tasks/start", field(1, "c1"), EventType.STARTED),
        ("/tasks/exit", field(1, "c1") + field(2, "c1"), EventType.STOPPED),
        ("/tasks/delete", field(1, "c1"), EventType.DELETED),
        ("/tasks/delete", field(1, "c1") + field(5, "c1"), EventType.DELETED),
    ],
)
def test_a_task_event_names_its_container(topic: str, value: bytes, kind: EventType) -> None:
    event = containerd_events.event(envelope(topic, value))
    assert event is not None
    assert (event.type, event.container_id, event.created_at_nanoseconds) == (kind, "c1", 5_000_000_007)


@pytest.mark.parametrize("value", [field(1, "c1") + field(2, "exec-1")])
def test_the_end_of_an_exec_is_no_container_event(value: bytes) -> None:
    assert containerd_events.event(envelope("/tasks/exit", value)) is None


def test_other_topics_are_not_ours() -> None:
    assert containerd_events.event(envelope("/images/create", b"")) is None


def test_only_pods_events_are_asked_for() -> None:
    request = containerd_events.subscribe_request()
    assert b'namespace==k8s.io,topic=="/tasks/exit"' in request
