"""Which pods of a StatefulSet to make and to delete now. Pure.

OrderedReady: one change at a time, upwards when making, downwards when deleting, each waiting for the one before.
Parallel: all that is needed at once. Updates go downwards from the highest ordinal to the partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from tiphys.api.types.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from tiphys.api.types.core_v1 import Pod
from tiphys.controllers import history
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.pods import (
    FAILED,
    RUNNING,
    SUCCEEDED,
    available_in_seconds,
    is_available,
    is_ready,
)
from tiphys.controllers.scaling import resolve
from tiphys.controllers.statefulset.identity import made, ordinal_of, replicas_of, start_of


@dataclass(slots=True)
class Decision:
    """`recreated` are finished pods among `delete`. `status` counts pods as they were observed."""

    create: list[Pod] = field(default_factory=list)
    delete: list[Pod] = field(default_factory=list)
    recreated: list[Pod] = field(default_factory=list)
    status: StatefulSetStatus = field(default_factory=StatefulSetStatus)
    look_again_seconds: float | None = None


class _Step:
    """One decision under way. `by_ordinal` are the set's pods."""

    def __init__(
        self,
        stateful_set: StatefulSet,
        pods: Sequence[Pod],
        current: ControllerRevision,
        update: ControllerRevision,
        now: float,
    ) -> None:
        self.set = stateful_set
        self.current, self.update, self.now = current, update, now
        self.by_ordinal = {n: pod for pod in pods if (n := ordinal_of(stateful_set, pod)) is not None}
        self.first = start_of(stateful_set)
        self.end = self.first + replicas_of(stateful_set)
        self.ordered = stateful_set.spec.pod_management_policy != "Parallel"
        self.decision = Decision()

    def is_healthy(self, pod: Pod) -> bool:
        """Running, ready for long enough, and staying."""
        seconds = self.set.spec.min_ready_seconds or 0
        running = pod.status.phase == RUNNING and is_available(pod, seconds, self.now)
        return running and pod.metadata.deletion_timestamp is None

    def new_pod(self, ordinal: int) -> Pod:
        """The pod to make for an ordinal: of the current revision where the update has not come to it."""
        revision = self.current if self._keeps_current(ordinal) else self.update
        return made(self.set, history.template_of(revision), revision.metadata.name or "", ordinal)

    def _keeps_current(self, ordinal: int) -> bool:
        strategy = self.set.spec.update_strategy
        if (strategy.type or "RollingUpdate") != "RollingUpdate":
            return False
        partition = strategy.rolling_update.partition if strategy.rolling_update else None
        if not partition:
            return ordinal < self.first + (self.set.status.current_replicas or 0)
        return ordinal < self.first + partition

    def fill(self) -> bool:
        """Make what is missing; whether the next phase may start."""
        for ordinal in range(self.first, self.end):
            pod = self.by_ordinal.get(ordinal)
            if pod is None:
                self.decision.create.append(self.new_pod(ordinal))
                if self.ordered:
                    return False
            elif pod.status.phase in (FAILED, SUCCEEDED):
                if pod.metadata.deletion_timestamp is None:
                    self.decision.delete.append(pod)
                    self.decision.recreated.append(pod)
                if self.ordered:
                    return False
            elif self.ordered and not self.is_healthy(pod):
                return False
        return True

    def shrink(self) -> bool:
        """Delete what is too many, highest first; whether the next phase may start."""
        condemned = sorted((n for n in self.by_ordinal if not self.first <= n < self.end), reverse=True)
        kept_unhealthy = [
            n for n in range(self.first, self.end) if n in self.by_ordinal and not self.is_healthy(self.by_ordinal[n])
        ]
        sick = [*kept_unhealthy, *(n for n in reversed(condemned) if not self.is_healthy(self.by_ordinal[n]))]
        for ordinal in condemned:
            pod = self.by_ordinal[ordinal]
            if pod.metadata.deletion_timestamp is not None:
                if self.ordered:
                    return False
                continue
            if self.ordered and not self.is_healthy(pod) and sick and sick[0] != ordinal:
                return False
            self.decision.delete.append(pod)
            if self.ordered:
                return False
        return True

    def roll(self) -> None:
        """Delete pods of older revisions, highest first, while few enough are away."""
        strategy = self.set.spec.update_strategy
        if strategy.type == "OnDelete":
            return
        rolling = strategy.rolling_update
        lowest = self.first + ((rolling.partition or 0) if rolling else 0)
        limit = resolve(rolling.max_unavailable if rolling else 1, replicas_of(self.set), round_up=False, default=1)
        away = sum(
            1
            for n in range(self.first, self.end)
            if n not in self.by_ordinal or not self.is_healthy(self.by_ordinal[n])
        )
        room = max(1, limit) - away
        for ordinal in range(self.end - 1, lowest - 1, -1):
            pod = self.by_ordinal.get(ordinal)
            if pod is None:
                return
            if pod.metadata.labels.get(HASH_LABEL) != self.update.metadata.name:
                if pod.metadata.deletion_timestamp is None:
                    # A pod that does not work is away already: replacing it costs nothing.
                    if self.is_healthy(pod) and room <= 0:
                        return
                    room -= self.is_healthy(pod)
                    self.decision.delete.append(pod)
                if room <= 0:
                    return
            elif not self.is_healthy(pod) and room <= 0:
                return


def decide(
    stateful_set: StatefulSet,
    pods: Sequence[Pod],
    current: ControllerRevision,
    update: ControllerRevision,
    collision_count: int | None,
    now: float,
) -> Decision:
    """The next step; `current` and `update` are the revisions pods are made from before and after an update."""
    step = _Step(stateful_set, pods, current, update, now)
    if stateful_set.metadata.deletion_timestamp is None and step.fill() and step.shrink():
        step.roll()
    _count(step, collision_count)
    return step.decision


def _count(step: _Step, collision_count: int | None) -> None:
    owner, now = step.set, step.now
    current, update = step.current.metadata.name, step.update.metadata.name
    seconds = owner.spec.min_ready_seconds or 0
    # Pods that finished have to be made again: they are no replicas.
    alive = [pod for pod in step.by_ordinal.values() if pod.status.phase not in (FAILED, SUCCEEDED)]
    ready = [pod for pod in alive if pod.status.phase == RUNNING and is_ready(pod)]
    waits = [wait for pod in ready if (wait := available_in_seconds(pod, seconds, now))]
    # A pod that is deleted or going counts for neither revision.
    staying = [pod for pod in alive if pod.metadata.deletion_timestamp is None and pod not in step.decision.delete]
    revisions = [pod.metadata.labels.get(HASH_LABEL) for pod in staying]
    on_current, on_update = revisions.count(current), revisions.count(update)
    replicas = len(alive)
    rolling = (owner.spec.update_strategy.type or "RollingUpdate") == "RollingUpdate"
    if rolling and on_update == replicas == len(ready) == replicas_of(owner) and current != update:
        current, on_current = update, on_update
    step.decision.look_again_seconds = min(waits) if waits else None
    step.decision.status = msgspec.structs.replace(
        owner.status,
        replicas=replicas,
        ready_replicas=len(ready) or None,
        available_replicas=len(ready) - len(waits),
        current_replicas=on_current or None,
        updated_replicas=on_update or None,
        current_revision=current,
        update_revision=update,
        observed_generation=owner.metadata.generation,
        collision_count=collision_count or 0,
    )
