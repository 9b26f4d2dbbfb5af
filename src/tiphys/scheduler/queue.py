"""The pods that wait for a node.

                  ┌──────────── let through ────────── gated
     add ──► active ──pop──► (being scheduled) ──bound──► gone
               ▲  ▲                │ no node fits
               │  └──moved by an event, backoff over, or too long here── unschedulable
               └──backoff over── backoff ◄──moved by an event, backoff not over──┘

Pure: time comes as an argument, in seconds of a monotonic clock. Order is upstream's PrioritySort: priority, then age.
Unschedulable pods are grouped by template and by who rejected them: an event is judged once a group. An event that
does not help may still change why they wait: then one of the group is tried again after a while, and if it hears
something else than before, so are the others.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_
from typing import NamedTuple

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.template import PodInfo, Template

STALE_SECONDS = 5.0
"""How long what unschedulable pods say of themselves may be out of date before one of them looks again."""
POD_ADD, POD_UPDATE, ATTEMPT_FAILED, FORCED = "PodAdd", "PodUpdate", "ScheduleAttemptFailure", "ForceActivate"
EVENTS = {
    Trigger.NODE_ADDED: "NodeAdd",
    Trigger.NODE_CHANGED: "NodeUpdate",
    Trigger.POD_PLACED: "AssignedPodAdd",
    Trigger.POD_CHANGED: "AssignedPodUpdate",
    Trigger.POD_GONE: "AssignedPodDelete",
    Trigger.STORAGE_CHANGED: "StorageChange",
}
"""What upstream's metrics call them, as far as it has the same."""
REMEMBERED_EVENTS = 1_024
"""Who is on its way to be bound for longer than so many is taken to have missed one of every kind."""
PLACES = ("active", "backoff", "unschedulable", "gated")


class Group(NamedTuple):
    """Unschedulable pods that an event helps alike."""

    template: Template
    rejected_by: frozenset[str]
    gang: object = None
    """Not None: the pods are of that gang, which was refused as a whole, and wait as one."""


Gate = Callable[[Pod], tuple[str, str]]
"""(plugin, reason) of what keeps a pod from being considered; empty if nothing does."""


Came = Callable[[str, str], None]
"""Told of every pod that comes to a place: (place, event), the words upstream's metrics have for events."""


def scheduling_gates(pod: Pod) -> tuple[str, str]:
    """The gate of a queue that is given none: the pod's own."""
    return ("SchedulingGates", "gated") if pod.spec.scheduling_gates else ("", "")


class QueuedPod:
    """A pod that has no node yet. `info` is made when it is first popped."""

    __slots__ = (
        "attempts",
        "entry",
        "failed_at",
        "first_at",
        "gated_by",
        "group",
        "info",
        "key",
        "message",
        "place",
        "pod",
        "popped_after",
        "popped_at",
        "queued_at",
    )

    def __init__(self, pod: Pod, now: float) -> None:
        self.key: PodKey = (pod.metadata.namespace or "", pod.metadata.name or "")
        self.pod = pod
        self.queued_at = now
        self.failed_at = now
        #: When it was first let into the queue; None: not yet.
        self.first_at: float | None = None
        self.popped_at = now
        #: How many events the queue had heard of then.
        self.popped_after = 0
        self.attempts = 0
        self.info: PodInfo | None = None
        self.group: Group | None = None
        #: Why it is unschedulable, as last reported.
        self.message = ""
        #: Which entry of a heap is its present one.
        self.entry = 0
        #: The plugin that keeps it out.
        self.gated_by = ""
        self.place = ""  # active, backoff, unschedulable, gated, or "" while being scheduled


class SchedulingQueue:
    """See the module's drawing. A pod is in at most one place."""

    def __init__(
        self,
        *,
        initial_backoff_seconds: float,
        maximum_backoff_seconds: float,
        unschedulable_seconds: float,
        gate: Gate = scheduling_gates,
        came: Came = lambda place, event: None,
    ) -> None:
        self._gate = gate
        self._came = came
        #: The newest events, and how many there ever were.
        self._events: deque[Trigger] = deque(maxlen=REMEMBERED_EVENTS)
        self._heard = 0
        self._counts = dict.fromkeys(("", *PLACES), 0)
        self._gated: dict[PodKey, QueuedPod] = {}
        self._initial_backoff_seconds = initial_backoff_seconds
        self._maximum_backoff_seconds = maximum_backoff_seconds
        self._unschedulable_seconds = unschedulable_seconds
        self._pods: dict[PodKey, QueuedPod] = {}
        self._order = itertools.count(1)
        # Heaps are cleaned lazily: an entry counts only while its pod is still in that place.
        self._active: list[tuple[int, float, int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._groups: dict[Group, dict[PodKey, QueuedPod]] = {}
        #: When a group of which only the reasons may have changed has a look: in order of it.
        self._stale: dict[Group, float] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[QueuedPod]:
        return iter(self._pods.values())

    def get(self, key: PodKey) -> QueuedPod | None:
        return self._pods.get(key)

    def counts(self) -> dict[str, int]:
        """How many pods are in each place."""
        return {place: self._counts[place] for place in PLACES}

    def add(self, pod: Pod, now: float) -> None:
        """A new pod, or one that lost its chance at a node."""
        queued = QueuedPod(pod, now)
        self.remove(queued.key)
        self._pods[queued.key] = queued
        self._counts[""] += 1
        self.admit(queued, now, POD_ADD)

    def regate(self, matters: Callable[[QueuedPod], bool], now: float) -> None:
        """Something happened: ask again about the gated pods that it `matters` to."""
        for queued in [queued for queued in self._gated.values() if matters(queued)]:
            self.admit(queued, now)

    def admit(self, queued: QueuedPod, now: float, event: str = POD_UPDATE) -> None:
        """The pod is to be tried now, if its gate is open."""
        queued.gated_by, _ = self._gate(queued.pod)
        if not queued.gated_by:
            self._leave(queued)
            if queued.first_at is None:
                queued.first_at = now
            self._activate(queued, event)
        elif queued.place != "gated":
            self._put(queued, "gated", event)
            self._gated[queued.key] = queued

    def update(self, pod: Pod, now: float, *, matters: bool) -> None:
        """The pod changed; `matters`: in a way that may make it schedulable."""
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        queued = self._pods.get(key)
        if queued is None:
            self.add(pod, now)
            return
        queued.pod = pod
        if queued.info is not None:
            queued.info.pod = pod
        if not matters:
            return
        queued.info = None
        if queued.place == "gated":
            self.admit(queued, now)
        elif queued.place == "unschedulable":
            self._retry(queued, now, POD_UPDATE)

    def remove(self, key: PodKey) -> QueuedPod | None:
        """The pod is gone, or has a node."""
        queued = self._pods.pop(key, None)
        if queued is not None:
            self._leave(queued)
            self._counts[""] -= 1
        return queued

    def pop(self, now: float = 0.0) -> QueuedPod | None:
        """The next pod to schedule; then call `remove`, `unschedulable` or `failed` with it."""
        while self._active:
            _, _, entry, queued = heapq.heappop(self._active)
            if queued.entry == entry:
                self._take(queued, now)
                return queued
        return None

    def holds(self, queued: QueuedPod) -> bool:
        """Whether a pod that was popped is still without a node, and there."""
        return self._pods.get(queued.key) is queued and not queued.place

    def take(self, key: PodKey, now: float = 0.0) -> QueuedPod | None:
        """That pod, as if popped: it is tried now together with another. None if it is not here, or gated."""
        queued = self._pods.get(key)
        if queued is None or queued.place in ("", "gated"):
            return None
        self._take(queued, now)
        return queued

    def missed(self, queued: QueuedPod) -> Trigger:
        """The events since the pod was popped: they came while it was on its way, and it heard of none."""
        count = self._heard - queued.popped_after
        if count > len(self._events):
            return ~Trigger(0)
        return reduce(or_, itertools.islice(reversed(self._events), count), Trigger(0))

    def _take(self, queued: QueuedPod, now: float) -> None:
        self._leave(queued)
        queued.attempts += 1
        queued.popped_at, queued.popped_after = now, self._heard

    @property
    def has_active(self) -> bool:
        return bool(self._active)

    @property
    def groups(self) -> int:
        """How many groups of unschedulable pods there are."""
        return len(self._groups)

    def unschedulable(
        self, queued: QueuedPod, rejected_by: frozenset[str], now: float, message: str = "", gang: object = None
    ) -> None:
        """No node fits; wait for an event that may help against `rejected_by`. Its `info` is set.

        `gang`: it was refused together with the others of that gang.
        """
        assert queued.info is not None
        if self._pods.get(queued.key) is not queued:
            return
        news, queued.message = message != queued.message and bool(queued.message), message
        # Equals that wait come before one that had its turn.
        queued.failed_at = queued.queued_at = now
        self._put(queued, "unschedulable", ATTEMPT_FAILED)
        queued.group = Group(queued.info.template, rejected_by, gang)
        group = self._groups.setdefault(queued.group, {})
        group[queued.key] = queued
        if news and gang is None:
            self._look_again(queued)

    def _look_again(self, informed: QueuedPod) -> None:
        """One pod heard something new: those like it that were told otherwise are out of date."""
        assert informed.group is not None
        like = [group for group in self._groups if group.template is informed.group.template and group.gang is None]
        for other in [other for group in like for other in self._groups[group].values()]:
            if other.message != informed.message:
                self._leave(other)
                self._activate(other, FORCED)

    def failed(self, queued: QueuedPod, now: float) -> None:
        """Something other than the lack of a node went wrong: try again after the backoff."""
        if self._pods.get(queued.key) is not queued:
            return
        queued.failed_at = queued.queued_at = now
        self._retry(queued, now, ATTEMPT_FAILED)

    def restore(self, queued: QueuedPod, pod: Pod, now: float, rejected_by: frozenset[str] = frozenset()) -> None:
        """A pod that was removed for a node did not get it; `pod` is its present state.

        `rejected_by`: it waits for what helps against them, as if no node had fit; empty: tried after the backoff.
        """
        self.remove(queued.key)
        queued.pod = pod
        self._pods[queued.key] = queued
        self._counts[""] += 1
        if rejected_by and queued.info is not None:
            queued.info.pod = pod
            self.unschedulable(queued, rejected_by, now)
            return
        queued.info = None
        queued.failed_at = queued.queued_at = now
        self._retry(queued, now, ATTEMPT_FAILED)

    def again(self, key: PodKey, now: float) -> None:
        """What an unschedulable pod waits for will not come: try it after its backoff."""
        queued = self._pods.get(key)
        if queued is not None and queued.place == "unschedulable":
            self._retry(queued, now, FORCED)

    def activate(self, key: PodKey) -> None:
        """Try the pod now, if it is unschedulable or backs off."""
        queued = self._pods.get(key)
        if queued is not None and queued.place in ("unschedulable", "backoff"):
            self._leave(queued)
            self._activate(queued, FORCED)

    def move(self, trigger: Trigger, helps: Callable[[Group, Trigger], bool | None], now: float) -> int:
        """Something happened: try the unschedulable groups that it `helps` again. Returns how many pods moved.

        `helps` is None for a group that is not helped, but whose reasons may be others now.
        """
        moved = 0
        self._events.append(trigger)
        self._heard += 1
        event = "|".join(EVENTS.get(kind, str(kind.name)) for kind in trigger)
        for group in list(self._groups):
            answer = helps(group, trigger)
            if answer is None:
                self._stale.setdefault(group, now + STALE_SECONDS)
            if not answer:
                continue
            for queued in list(self._groups[group].values()):
                self._retry(queued, now, event)
                moved += 1
        return moved

    def flush(self, now: float) -> None:
        """Activate the pods whose backoff is over, and those unschedulable for too long."""
        while self._backoff and self._backoff[0][0] <= now:
            _, entry, queued = heapq.heappop(self._backoff)
            if queued.entry == entry:
                self._activate(queued, "BackoffComplete")
        for stale in [stale for stale, due in self._stale.items() if due <= now]:
            del self._stale[stale]
            if (first := next(iter(self._groups.get(stale, {}).values()), None)) is not None:
                self._leave(first)
                self._activate(first, FORCED)
        limit = now - self._unschedulable_seconds
        for group in list(self._groups.values()):
            # In order of failure: the first is the oldest.
            for queued in list(group.values()):
                if queued.failed_at > limit:
                    break
                self._retry(queued, now, "UnschedulableTimeout")

    def next_flush(self) -> float | None:
        """When `flush` has something to do next; None: not before something else happens."""
        moments = [
            next(iter(group.values())).failed_at + self._unschedulable_seconds for group in self._groups.values()
        ]
        moments += self._stale.values()
        while self._backoff and self._backoff[0][-1].entry != self._backoff[0][1]:
            heapq.heappop(self._backoff)
        if self._backoff:
            moments.append(self._backoff[0][0])
        return min(moments, default=None)

    def _retry(self, queued: QueuedPod, now: float, event: str) -> None:
        self._leave(queued)
        delay = self._initial_backoff_seconds * 2.0 ** min(queued.attempts - 1, 30) if queued.attempts else 0.0
        until = queued.failed_at + min(delay, self._maximum_backoff_seconds)
        if until <= now:
            self._activate(queued, event)
        else:
            self._put(queued, "backoff", event)
            queued.entry = next(self._order)
            heapq.heappush(self._backoff, (until, queued.entry, queued))

    def _activate(self, queued: QueuedPod, event: str) -> None:
        self._put(queued, "active", event)
        queued.entry = next(self._order)
        priority = queued.pod.spec.priority or 0
        heapq.heappush(self._active, (-priority, queued.queued_at, queued.entry, queued))

    def _put(self, queued: QueuedPod, place: str, event: str = "") -> None:
        self._counts[queued.place] -= 1
        self._counts[place] += 1
        queued.place = place
        if place:
            self._came(place, event)

    def _leave(self, queued: QueuedPod) -> None:
        if queued.group is not None:
            group = self._groups[queued.group]
            del group[queued.key]
            if not group:
                del self._groups[queued.group]
            queued.group = None
        self._gated.pop(queued.key, None)
        queued.entry = 0
        self._put(queued, "")
