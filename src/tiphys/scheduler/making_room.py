"""Preemption carried out: the node is kept for the pod, and its victims are asked to go, in the background."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.scheduler import metrics
from tiphys.scheduler.effects import Calls, Effects
from tiphys.scheduler.framework import Candidate
from tiphys.scheduler.handle import Handle
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.template import PodInfo


class MakingRoom:
    """Shared by all profiles. `wake`: called when a pod is to be looked at again."""

    def __init__(
        self,
        handle: Handle,
        nominations: Nominations,
        queue: SchedulingQueue,
        calls: Calls,
        wake: Callable[[], None],
    ) -> None:
        self._cluster = handle.cluster
        self._nominations = nominations
        self._queue = queue
        self._waiting = handle.waiting
        self._calls = calls
        self._clock = handle.clock
        self._wake = wake

    def preempt(self, info: PodInfo, candidate: Candidate, effects: Effects) -> str:
        """Do as was decided for the pod; returns the node's name."""
        metrics.PREEMPTION_ATTEMPTS.inc()
        metrics.PREEMPTION_VICTIMS.observe(len(candidate.victims))
        node_name = self._cluster.nodes.names[candidate.row]
        nominations = self._nominations
        for other in nominations.lower(node_name, info.priority):
            nominations.remove(other.key)
            self._calls.submit(lambda pod=other.pod: effects.clear_nomination(pod))  # type: ignore[misc]
            # What it waited for will not come.
            self._queue.again(other.key, self._clock.monotonic())
        victims = [victim for victim in candidate.victims if not victim.terminating]
        nominations.set(info, node_name, (victim.uid for victim in victims))
        for victim in victims:
            if (waiting := self._waiting.get(victim.key)) is not None:
                # It has never run: it loses its place, and may look for another.
                waiting.reject("DefaultPreemption", "preempted")
            else:
                self._calls.submit(lambda victim=victim: self._remove(victim, info, node_name, effects))  # type: ignore[misc]
        return node_name

    async def _remove(self, victim: PodInfo, info: PodInfo, node_name: str, effects: Effects) -> None:
        if not self._nominations.wants_gone(info.key, victim.uid):
            # The pod was deleted, or has found another place: nobody must go for it.
            return
        if not await effects.remove(victim, info, node_name):
            self._nominations.spare(info.key, victim.uid)
            # Nothing will happen that wakes the pod: it asks again, and chooses again, after its backoff.
            self._queue.again(info.key, self._clock.monotonic())
            self._wake()
