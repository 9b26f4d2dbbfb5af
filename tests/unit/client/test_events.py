import asyncio

import pytest

from tests.unit.client.fake_api import FakeApi
from tiphys.api import errors
from tiphys.api.types.core_v1 import ObjectReference, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client import NORMAL, WARNING, EventRecorder, events
from tiphys.client.event_correlation import BURST, COMBINED_PREFIX, SIMILAR_MAX, Correlator, EventKey
from tiphys.testing.clock import FakeClock, settle


def a_pod() -> Pod:
    return Pod(metadata=ObjectMeta(name="a", namespace="x", uid="u", resource_version="7"))


async def test_an_event_says_who_what_and_when() -> None:
    api, clock = FakeApi(), FakeClock()
    EventRecorder(api.client(), "kubelet", "node-1", clock=clock).event(
        a_pod(), NORMAL, "Pulled", "done", field_path="spec.containers{c}"
    )
    await settle()
    (event,) = api.objects.values()
    assert event["metadata"]["name"].startswith("a.")
    assert event["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "x",
        "name": "a",
        "uid": "u",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Normal", "Pulled", "done", 1)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"
    assert event["reportingComponent"] == "kubelet"


async def test_the_same_event_again_is_counted() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api.client(), "kubelet", clock=clock)
    recorder.event(a_pod(), WARNING, "BackOff", "again")
    await settle()
    await clock.advance(5)
    recorder.event(a_pod(), WARNING, "BackOff", "again")
    recorder.event(a_pod(), WARNING, "BackOff", "again")
    await settle()
    (event,) = api.objects.values()
    assert (event["count"], event["lastTimestamp"]) == (3, "2023-11-14T22:13:25Z")
    assert len(api.requests) == 2, "two that wait together are written at once"


async def test_a_refused_event_is_dropped_and_an_unanswered_one_kept() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api.client(), "kubelet", clock=clock)
    api.refuse = [errors.forbidden("events", "a", "namespace is terminating"), ConnectionRefusedError()]
    recorder.event(a_pod(), NORMAL, "First", "m")
    recorder.event(a_pod(), NORMAL, "Second", "m")
    await settle()
    await clock.advance(1)
    assert [event["reason"] for event in api.objects.values()] == ["Second"]
    await recorder.close()


@pytest.mark.parametrize("rounds", range(8))
async def test_no_event_is_left_behind_however_they_come(rounds: int) -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api.client(), "kubelet", clock=clock)
    for n in range(5):
        recorder.event(a_pod(), NORMAL, f"Reason{n}", "m")
        for _ in range(rounds):
            await asyncio.sleep(0)
        clock._now += 0.001
    await settle()
    assert len(api.objects) == 5


async def test_ten_thousand_events_at_once_are_all_written() -> None:
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api.client(), "scheduler", clock=clock)
    for n in range(10_000):
        pod = ObjectReference(kind="Pod", api_version="v1", namespace="x", name=f"p{n}", uid=f"u{n}")
        recorder.event(pod, NORMAL, "Scheduled", f"to node {n}")
    await recorder.close(grace_seconds=60.0)
    assert [event["involvedObject"]["name"] for event in api.objects.values()] == [f"p{n}" for n in range(10_000)]


async def test_more_than_can_wait_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_QUEUED", 3)
    monkeypatch.setattr(events, "MAX_TOGETHER", 2)
    api, clock = FakeApi(), FakeClock()
    recorder = EventRecorder(api.client(), "scheduler", clock=clock)
    for n in range(5):
        recorder.event(a_pod(), NORMAL, f"Reason{n}", "m")
    await settle()
    assert [event["reason"] for event in api.objects.values()] == ["Reason0", "Reason1", "Reason2"]
    recorder.event(a_pod(), NORMAL, "Later", "m")
    await settle()
    assert len(api.objects) == 4


def key(message: str = "m", reason: str = "r") -> EventKey:
    return EventKey("u", "x", "a", "Pod", "", "Normal", reason, message)


def test_similar_events_are_combined() -> None:
    correlator = Correlator()
    for n in range(SIMILAR_MAX - 1):
        found = correlator.correlate(key(f"m{n}"), 0.0)
        assert found is not None
        assert found[0].message == f"m{n}"
    found = correlator.correlate(key("one more"), 1.0)
    assert found is not None
    assert found[0].message == COMBINED_PREFIX + "one more"
    again = correlator.correlate(key("another"), 2.0)
    assert again is not None
    assert again[1] is found[1]
    assert again[1].count == 2


def test_floods_are_cut_and_slowly_let_through_again() -> None:
    correlator = Correlator()
    shown = sum(correlator.correlate(key(reason=str(n)), 0.0) is not None for n in range(BURST + 10))
    assert shown == BURST
    assert correlator.correlate(key(reason="later"), 299.0) is None
    assert correlator.correlate(key(reason="later"), 301.0) is not None


def test_what_is_remembered_is_bounded() -> None:
    correlator = Correlator(max_cached=2)
    for n in range(5):
        correlator.correlate(key()._replace(uid=str(n)), 0.0)
    found = correlator.correlate(key()._replace(uid="0"), 1.0)
    assert found is not None
    assert found[1].count == 1
