"""The queue's places and its clock."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.scheduler.objects import pod
from tiphys.api.types.core_v1 import Pod, PodSchedulingGate
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.queue import STALE_SECONDS, QueuedPod, SchedulingQueue
from tiphys.scheduler.template import PodInfo, Templates

FIT = frozenset({"NodeResourcesFit"})


@pytest.fixture
def queue() -> SchedulingQueue:
    return SchedulingQueue(initial_backoff_seconds=1, maximum_backoff_seconds=10, unschedulable_seconds=300)


@pytest.fixture
def templates() -> Templates:
    return Templates()


def pop(queue: SchedulingQueue) -> QueuedPod:
    queued = queue.pop()
    assert queued is not None
    return queued


def fail(
    queue: SchedulingQueue, templates: Templates, now: float, message: str = "", rejected_by: frozenset[str] = FIT
) -> QueuedPod:
    queued = pop(queue)
    queued.info = PodInfo(queued.pod, templates.of(queued.pod))
    queue.unschedulable(queued, rejected_by, now, message)
    return queued


def test_priority_then_age(queue: SchedulingQueue) -> None:
    queue.add(pod("old"), 1)
    queue.add(pod("new"), 2)
    queue.add(pod("high", priority=10), 3)
    assert [pop(queue).key[1] for _ in range(3)] == ["high", "old", "new"]
    assert queue.pop() is None


def test_a_removed_pod_is_not_popped(queue: SchedulingQueue) -> None:
    queue.add(pod("a"), 0)
    queue.remove(("default", "a"))
    assert queue.pop() is None
    assert len(queue) == 0


def test_a_gated_pod_waits_for_its_gates_to_go(queue: SchedulingQueue) -> None:
    gated = pod("a", scheduling_gates=(PodSchedulingGate(name="g"),))
    queue.add(gated, 0)
    queue.flush(10_000)
    assert queue.pop() is None
    assert queue.counts()["gated"] == 1
    queue.update(msgspec.structs.replace(gated, spec=pod("a").spec), 1, matters=True)
    assert pop(queue).key == ("default", "a")


def test_an_event_that_helps_moves_the_group_after_its_backoff(queue: SchedulingQueue, templates: Templates) -> None:
    for name in "abc":
        queue.add(pod(name), 0)
        fail(queue, templates, now=0)
    asked: list[Trigger] = []
    assert queue.move(Trigger.POD_PLACED, lambda group, trigger: bool(asked.append(trigger)), 0.5) == 0
    assert asked == [Trigger.POD_PLACED]
    assert queue.move(Trigger.NODE_ADDED, lambda group, trigger: True, 0.5) == 3
    assert queue.counts() == {"active": 0, "backoff": 3, "unschedulable": 0, "gated": 0}
    assert queue.next_flush() == 1
    queue.flush(1)
    assert [pop(queue).key[1] for _ in range(3)] == ["a", "b", "c"]


def test_the_backoff_doubles_up_to_its_maximum(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    now, delays = 0.0, []
    for _ in range(6):
        fail(queue, templates, now)
        queue.move(Trigger.NODE_ADDED, lambda group, trigger: True, now)
        until = queue.next_flush()
        assert until is not None
        delays.append(until - now)
        now = until
        queue.flush(now)
    assert delays == [1, 2, 4, 8, 10, 10]


def test_an_event_after_the_backoff_activates_at_once(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    fail(queue, templates, now=0)
    queue.move(Trigger.NODE_ADDED, lambda group, trigger: True, 5)
    assert pop(queue).attempts == 2


def test_no_pod_stays_unschedulable_for_ever(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    fail(queue, templates, now=0)
    assert queue.next_flush() == 300
    queue.flush(299)
    assert queue.pop() is None
    queue.flush(300)
    assert pop(queue).key == ("default", "a")


def test_a_change_of_the_pod_itself_is_worth_a_try(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    fail(queue, templates, now=0)
    queue.update(pod("a", cpu="1"), 0.1, matters=False)
    assert queue.counts()["unschedulable"] == 1
    queue.update(pod("a", cpu="1"), 0.1, matters=True)
    assert queue.counts()["backoff"] == 1
    queue.flush(1)
    assert pop(queue).info is None


def test_a_failed_binding_comes_back_with_its_attempts(queue: SchedulingQueue) -> None:
    queue.add(pod("a"), 0)
    queued = pop(queue)
    queue.remove(queued.key)
    queue.restore(queued, queued.pod, 5)
    assert queue.next_flush() == 6
    queue.flush(6)
    assert pop(queue).attempts == 2


def test_a_pod_removed_while_being_scheduled_does_not_come_back(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    queued = pop(queue)
    queued.info = PodInfo(queued.pod, templates.of(queued.pod))
    queue.remove(queued.key)
    queue.unschedulable(queued, FIT, 0)
    queue.failed(queued, 0)
    assert len(queue) == 0
    assert queue.next_flush() is None


def test_one_of_a_group_looks_again_when_its_reasons_may_be_others(
    queue: SchedulingQueue, templates: Templates
) -> None:
    for name in ("a", "b", "c"):
        queue.add(pod(name), 0)
        fail(queue, templates, 0, "0/2 nodes")
    assert queue.move(Trigger.NODE_CHANGED, lambda group, trigger: None, 100) == 0
    assert queue.next_flush() == 100 + STALE_SECONDS
    queue.flush(100 + STALE_SECONDS)
    assert (queue.counts()["active"], queue.counts()["unschedulable"]) == (1, 2)
    # It hears the same: the others sleep on.
    fail(queue, templates, 106, "0/2 nodes")
    assert queue.counts()["unschedulable"] == 3
    queue.move(Trigger.NODE_CHANGED, lambda group, trigger: None, 200)
    queue.flush(300)
    # It hears something else, of others even: so do they, once.
    fail(queue, templates, 206, "0/3 nodes", frozenset({"TaintToleration"}))
    assert queue.counts()["active"] == 2
    fail(queue, templates, 206, "0/3 nodes", frozenset({"TaintToleration"}))
    fail(queue, templates, 206, "0/3 nodes", frozenset({"TaintToleration"}))
    assert queue.counts()["unschedulable"] == 3


def test_a_retried_pod_goes_behind_its_equals(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("tried"), 0)
    fail(queue, templates, 10)
    queue.add(pod("new"), 5)
    queue.activate(("default", "tried"))
    assert [pop(queue).key[1] for _ in range(2)] == ["new", "tried"]


def test_a_pod_is_popped_once_however_often_it_was_activated(queue: SchedulingQueue, templates: Templates) -> None:
    queue.add(pod("a"), 0)
    fail(queue, templates, 0)
    for _ in range(3):
        queue.activate(("default", "a"))
        queue.update(pod("a"), 1, matters=True)
    pop(queue)
    assert queue.pop() is None


def test_gates_of_plugins_are_asked_again_when_it_matters() -> None:
    closed = {"a", "b"}

    def gate(waiting: Pod) -> tuple[str, str]:
        return ("Warden", "not yet") if waiting.metadata.name in closed else ("", "")

    queue = SchedulingQueue(initial_backoff_seconds=1, maximum_backoff_seconds=10, unschedulable_seconds=300, gate=gate)
    for name in ("a", "b", "c"):
        queue.add(pod(name), 0)
    assert (queue.counts()["gated"], pop(queue).key[1]) == (2, "c")
    closed.clear()
    queue.regate(lambda queued: queued.gated_by == "Nobody", 1)
    assert queue.counts()["gated"] == 2
    queue.regate(lambda queued: queued.gated_by == "Warden" and queued.key[1] == "a", 2)
    assert (queue.counts()["gated"], queue.counts()["active"]) == (1, 1)
    queue.remove(("default", "b"))
    assert queue.counts() == {"active": 1, "backoff": 0, "unschedulable": 0, "gated": 0}
