"""How many pods to make or which to delete, and what to report. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tiphys.api.types.apps_v1 import ReplicaSetCondition, ReplicaSetStatus
from tiphys.api.types.core_v1 import Pod, PodTemplateSpec
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.pods import (
    PENDING,
    RUNNING,
    available_in_seconds,
    is_active,
    is_ready,
    is_terminating,
    pod_condition,
    restarts,
    seconds_of,
)

BURST_REPLICAS: Final = 500
"""Pods made or deleted in one go at most."""
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {PENDING: 0, "Unknown": 1, RUNNING: 2}


@dataclass(frozen=True, slots=True)
class Desired:
    """What the set asks for, whichever of the two kinds it is."""

    replicas: int
    min_ready_seconds: int
    template: PodTemplateSpec | None
    generation: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`create` pods from the template, or `delete` these; never both."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


def plan(desired: Desired, pods: Sequence[Pod], ranks: Mapping[str, int], now: float) -> Plan:
    """What brings the active ones of `pods` to the number asked for.

    `ranks`: by node name, how many active pods of the same deployment run there; crowded nodes lose pods first.
    """
    active = [pod for pod in pods if is_active(pod)]
    difference = len(active) - desired.replicas
    if difference < 0:
        return Plan(create=min(-difference, BURST_REPLICAS))
    if difference == 0:
        return Plan()
    return Plan(delete=tuple(victims(active, min(difference, BURST_REPLICAS), ranks, now)))


def victims(pods: Sequence[Pod], count: int, ranks: Mapping[str, int], now: float) -> list[Pod]:
    """The `count` pods that are missed least."""
    if count >= len(pods):
        return list(pods)
    return sorted(pods, key=lambda pod: _worth(pod, ranks, now))[:count]


def _worth(pod: Pod, ranks: Mapping[str, int], now: float) -> tuple[float | str, ...]:
    # Unassigned, pending, not ready, cheap, crowded, lately ready, often restarted and young pods go first.
    node = pod.spec.node_name or ""
    ready = is_ready(pod)
    condition = pod_condition(pod, "Ready")
    ready_since = condition.last_transition_time if ready and condition else None
    return (
        1 if node else 0,
        _PHASES.get(pod.status.phase or "", 1),
        1 if ready else 0,
        deletion_cost(pod),
        -ranks.get(node, 0),
        _age_rank(ready_since, now),
        -restarts(pod),
        _age_rank(pod.metadata.creation_timestamp, now),
        pod.metadata.uid or "",
    )


def _age_rank(moment: str | None, now: float) -> int:
    # Ages of one order of magnitude count as equal, so that scaling down does not always hit the newest node's pods.
    if not moment:
        return -1
    seconds = now - seconds_of(moment)
    return int(math.log2(seconds)) if seconds >= 1 else 0


def deletion_cost(pod: Pod) -> int:
    """The pod's deletion cost annotation; 0 if it has none or a malformed one."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    try:
        return int(text) if text else 0
    except ValueError:
        return 0


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pods add up to; `look_again_seconds` until another of them becomes available, if one will."""

    replicas: int
    fully_labeled: int
    ready: int
    available: int
    terminating: int
    look_again_seconds: float | None


def observe(desired: Desired, pods: Sequence[Pod], now: float) -> Observed:
    """Count the pods of the set."""
    labels = desired.template.metadata.labels.items() if desired.template else ()
    active = [pod for pod in pods if is_active(pod)]
    waits = [available_in_seconds(pod, desired.min_ready_seconds, now) for pod in active]
    pending = [wait for wait in waits if wait]
    return Observed(
        replicas=len(active),
        fully_labeled=sum(1 for pod in active if labels <= pod.metadata.labels.items()) if labels else len(active),
        ready=sum(1 for wait in waits if wait is not None),
        available=sum(1 for wait in waits if wait == 0.0),
        terminating=sum(1 for pod in pods if is_terminating(pod)),
        look_again_seconds=min(pending) if pending else None,
    )


def status(
    desired: Desired, observed: Observed, current: ReplicaSetStatus, failure: tuple[str, str] | None, now: float
) -> ReplicaSetStatus:
    """The status to report. `failure` is the reason (FailedCreate, FailedDelete) and message of what just failed."""
    kept = current.conditions
    if failure is not None:
        reason, message = failure
        if conditions.find(kept, "ReplicaFailure") is None:
            new = ReplicaSetCondition(
                type="ReplicaFailure",
                status="True",
                reason=reason,
                message=message,
                last_transition_time=rfc3339(now),
            )
            kept = (*kept, new)
    else:
        kept = conditions.without(kept, "ReplicaFailure")
    return ReplicaSetStatus(
        replicas=observed.replicas,
        fully_labeled_replicas=observed.fully_labeled or None,
        ready_replicas=observed.ready or None,
        available_replicas=observed.available or None,
        terminating_replicas=observed.terminating,
        observed_generation=desired.generation or None,
        conditions=kept,
    )
