"""The queue as a state machine: no pod is lost or in two places, and whoever can be scheduled has a turn soon."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.scheduler.objects import pod
from tiphys.api.types.core_v1 import Pod, PodSchedulingGate
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.queue import PLACES, STALE_SECONDS, Group, QueuedPod, SchedulingQueue
from tiphys.scheduler.template import PodInfo, Templates

INITIAL_SECONDS, MAXIMUM_SECONDS, UNSCHEDULABLE_SECONDS = 1.0, 10.0, 300.0
NAMES = st.sampled_from([f"p{number}" for number in range(8)])
PLUGINS = st.sampled_from(["NodeResourcesFit", "NodeAffinity", "TaintToleration"])
TRIGGERS = st.sampled_from(list(Trigger))
ANSWERS = st.sampled_from([True, False, None])


class Queue(RuleBasedStateMachine):
    """Beside the queue: what pods there are, which are on their way, and whose gate is shut."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.templates = Templates()
        self.shut: set[PodKey] = set()
        self.came: list[str] = []
        self.queue = SchedulingQueue(
            initial_backoff_seconds=INITIAL_SECONDS,
            maximum_backoff_seconds=MAXIMUM_SECONDS,
            unschedulable_seconds=UNSCHEDULABLE_SECONDS,
            gate=self.gate,
            came=lambda place, event: self.came.append(place + event),
        )
        self.pods: set[PodKey] = set()
        #: Popped, and neither refused nor bound yet.
        self.popped: dict[PodKey, QueuedPod] = {}
        #: Bound as far as the queue knows, and what happened since.
        self.on_the_way: dict[PodKey, tuple[QueuedPod, Trigger]] = {}

    def gate(self, pod: Pod) -> tuple[str, str]:
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        if pod.spec.scheduling_gates:
            return "SchedulingGates", "gated"
        return ("GangScheduling", "alone") if key in self.shut else ("", "")

    @rule(name=NAMES, priority=st.integers(0, 2), gated=st.booleans(), alone=st.booleans())
    def add(self, name: str, priority: int, gated: bool, alone: bool) -> None:
        key = ("default", name)
        if key in self.pods or key in self.on_the_way:
            return
        if alone:
            self.shut.add(key)
        gates = (PodSchedulingGate(name="g"),) if gated else ()
        self.pods.add(key)
        self.queue.add(pod(name, priority=priority, scheduling_gates=gates), self.now)

    @rule(name=NAMES, matters=st.booleans(), cpu=st.sampled_from(["", "1"]))
    def update(self, name: str, matters: bool, cpu: str) -> None:
        key = ("default", name)
        known = self.queue.get(key)
        if known is not None and key not in self.popped:
            self.queue.update(pod(name, priority=known.pod.spec.priority, cpu=cpu), self.now, matters=matters)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        key = ("default", name)
        self.pods.discard(key)
        self.popped.pop(key, None)
        self.on_the_way.pop(key, None)
        self.shut.discard(key)
        self.queue.remove(key)

    @rule(name=NAMES)
    def open(self, name: str) -> None:
        self.shut.discard(("default", name))
        self.queue.regate(lambda queued: queued.key[1] == name, self.now)

    @rule()
    def pop(self) -> None:
        before = {queued.key: queued for queued in self.queue if queued.place == "active"}
        found = self.queue.pop(self.now)
        assert (found is None) == (not before)
        if found is not None:
            first = min((-(q.pod.spec.priority or 0), q.queued_at) for q in before.values())
            assert (-(found.pod.spec.priority or 0), found.queued_at) == first
            self.begin_attempt(found)

    @rule(name=NAMES)
    def take(self, name: str) -> None:
        known = self.queue.get(("default", name))
        found = self.queue.take(("default", name), self.now)
        assert (found is None) == (known is None or name in {n for _, n in self.popped} or known.place == "gated")
        if found is not None:
            self.begin_attempt(found)

    def begin_attempt(self, queued: QueuedPod) -> None:
        assert queued.key in self.pods
        assert queued.key not in self.popped
        assert queued.place == ""
        queued.info = PodInfo(queued.pod, self.templates.of(queued.pod))
        self.popped[queued.key] = queued

    @precondition(lambda self: self.popped)
    @rule(data=st.data(), plugin=PLUGINS, message=st.sampled_from(["", "a", "b"]), gang=st.sampled_from([None, "g"]))
    def refuse(self, data: st.DataObject, plugin: str, message: str, gang: Any) -> None:
        queued = self.popped.pop(data.draw(st.sampled_from(sorted(self.popped))))
        self.queue.unschedulable(queued, frozenset({plugin}), self.now, message, gang)

    @precondition(lambda self: self.popped)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        queued = self.popped.pop(data.draw(st.sampled_from(sorted(self.popped))))
        self.queue.failed(queued, self.now)
        assert queued.place == "backoff"

    @precondition(lambda self: self.popped)
    @rule(data=st.data())
    def place(self, data: st.DataObject) -> None:
        queued = self.popped.pop(data.draw(st.sampled_from(sorted(self.popped))))
        self.queue.remove(queued.key)
        self.pods.discard(queued.key)
        self.on_the_way[queued.key] = (queued, Trigger(0))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), bound=st.booleans(), plugin=st.sampled_from(["", "VolumeBinding"]))
    def bind(self, data: st.DataObject, bound: bool, plugin: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.on_the_way)))
        queued, happened = self.on_the_way.pop(key)
        if not bound:
            missed = self.queue.missed(queued)
            assert missed & happened == happened
            self.pods.add(key)
            self.queue.restore(queued, queued.pod, self.now, frozenset({plugin} if plugin else ()))

    @rule(trigger=TRIGGERS, answer=ANSWERS)
    def happen(self, trigger: Trigger, answer: bool | None) -> None:
        asked: list[Group] = []

        def helps(group: Group, _: Trigger) -> bool | None:
            asked.append(group)
            return answer

        waiting = [queued for queued in self.queue if queued.place == "unschedulable"]
        moved = self.queue.move(trigger, helps, self.now)
        assert len(asked) == len(set(asked)) <= len(waiting)
        assert moved == (len(waiting) if answer else 0)
        self.on_the_way = {key: (queued, seen | trigger) for key, (queued, seen) in self.on_the_way.items()}

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, STALE_SECONDS, 20.0, UNSCHEDULABLE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.queue.flush(self.now)
        due = self.queue.next_flush()
        assert due is None or due > self.now

    @rule(name=NAMES)
    def activate(self, name: str) -> None:
        self.queue.activate(("default", name))

    @rule(name=NAMES)
    def again(self, name: str) -> None:
        self.queue.again(("default", name), self.now)

    @invariant()
    def everybody_is_in_one_place(self) -> None:
        if not hasattr(self, "queue"):
            return
        there = [queued.key for queued in self.queue]
        assert len(there) == len(set(there))
        assert set(there) == self.pods
        assert {queued.key for queued in self.queue if not queued.place} == set(self.popped)
        for place in PLACES:
            assert self.queue.counts()[place] == sum(queued.place == place for queued in self.queue)
        for queued in self.queue:
            assert (queued.place == "unschedulable") == (queued.group is not None)
            if queued.place == "backoff":
                assert queued.failed_at + MAXIMUM_SECONDS >= self.now

    def teardown(self) -> None:
        """Time alone brings everybody that no gate keeps out to a turn, in no more steps than there are pods."""
        if not hasattr(self, "queue"):
            return
        for queued in list(self.popped.values()):
            self.queue.failed(queued, self.now)
        self.shut.clear()
        self.queue.regate(lambda _: True, self.now)
        self.queue.flush(self.now + UNSCHEDULABLE_SECONDS)
        self.queue.flush(self.now + UNSCHEDULABLE_SECONDS + MAXIMUM_SECONDS)
        expected = {queued.key for queued in self.queue if not queued.pod.spec.scheduling_gates}
        popped = []
        while (queued_ := self.queue.pop(self.now)) is not None:
            popped.append(queued_.key)
        assert sorted(popped) == sorted(expected)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
