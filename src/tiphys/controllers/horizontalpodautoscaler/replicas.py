"""How many replicas a metric asks for. Pure; upstream's algorithm, its treatment of pods without a metric included.

All values are thousandths (of cores, bytes, or whatever a metric counts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tiphys.api.types.core_v1 import Container, Pod
from tiphys.controllers.pods import is_ready, pod_condition, seconds_of

CPU_INITIALIZATION_SECONDS: Final = 300.0
INITIAL_READINESS_SECONDS: Final = 30.0
DEFAULT_TOLERANCE: Final = 0.1


class Sample(NamedTuple):
    """A pod's value, measured over `window_seconds` until `time` (epoch seconds)."""

    milli: int
    time: float = 0.0
    window_seconds: float = 0.0


class Tolerance(NamedTuple):
    """Ratios of use to target this close to 1 change nothing."""

    down: float = DEFAULT_TOLERANCE
    up: float = DEFAULT_TOLERANCE

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """What a metric asks for, and what it was: the average per pod, and percent of requests where that is asked."""

    replicas: int
    average_milli: int
    utilization: int | None = None


class NoProposal(Exception):
    """A metric says nothing usable; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by what their metrics are worth: `ready` counts those to believe, the rest are names."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group_pods(pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, now: float) -> Groups:
    """Sort pods; of CPU the first measurements of a starting pod tell nothing about its work."""
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        name = pod.metadata.name or ""
        if pod.metadata.deletion_timestamp is not None or pod.status.phase == "Failed":
            ignored.add(name)
        elif pod.status.phase == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _still_starting(pod, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _still_starting(pod: Pod, sample: Sample, now: float) -> bool:
    condition = pod_condition(pod, "Ready")
    if condition is None or not pod.status.start_time or not condition.last_transition_time:
        return True
    started, changed = seconds_of(pod.status.start_time), seconds_of(condition.last_transition_time)
    if now < started + CPU_INITIALIZATION_SECONDS:
        return condition.status == "False" or sample.time < changed + sample.window_seconds
    return condition.status == "False" and started + INITIAL_READINESS_SECONDS > changed


def by_utilization(
    current: int,
    target_percent: int,
    resource: str,
    container: str,
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """Replicas that bring use to `target_percent` of requests (of one container, if named). Raises NoProposal."""
    groups, values = _believed(pods, samples, resource, now)
    requests = _requests(pods, resource, container)
    ratio, percent, average = _utilization_ratio(values, requests, target_percent)
    if not (groups.unready and ratio > 1.0) and not groups.missing:
        if tolerance.covers(ratio):
            return Proposal(current, average, percent)
        return Proposal(math.ceil(ratio * groups.ready), average, percent)
    fallback = max(100, target_percent)
    if groups.missing and ratio != 1.0:
        # Assumed to be idle when scaling up, busy when scaling down: changes err on the small side.
        values |= {n: requests.get(n, 0) * fallback // 100 if ratio < 1.0 else 0 for n in groups.missing}
    if groups.unready and ratio > 1.0:
        values |= dict.fromkeys(groups.unready, 0)
    corrected, _, _ = _utilization_ratio(values, requests, target_percent)
    return Proposal(_damped(current, ratio, corrected, len(values), tolerance), average, percent)


def by_average(
    current: int,
    target_milli: int,
    resource: str,
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """Replicas that bring the pods' average to `target_milli`. Raises NoProposal."""
    groups, values = _believed(pods, samples, resource, now)
    average = sum(values.values()) // len(values)
    ratio = average / target_milli
    if not (groups.unready and ratio > 1.0) and not groups.missing:
        if tolerance.covers(ratio):
            return Proposal(current, average)
        return Proposal(math.ceil(ratio * groups.ready), average)
    if groups.missing and ratio != 1.0:
        values |= dict.fromkeys(groups.missing, target_milli if ratio < 1.0 else 0)
    if groups.unready and ratio > 1.0:
        values |= dict.fromkeys(groups.unready, 0)
    corrected = sum(values.values()) // len(values) / target_milli
    return Proposal(_damped(current, ratio, corrected, len(values), tolerance), average)


def by_value(current: int, target_milli: int, value_milli: int, pods: Sequence[Pod], tolerance: Tolerance) -> Proposal:
    """Replicas for one value that all pods share the work of."""
    ratio = value_milli / target_milli
    if current == 0:
        return Proposal(math.ceil(ratio), value_milli)
    if tolerance.covers(ratio):
        return Proposal(current, value_milli)
    ready = sum(pod.status.phase == "Running" and is_ready(pod) for pod in pods)
    return Proposal(math.ceil(ratio * ready), value_milli)


def by_value_per_pod(replicas: int, target_milli: int, value_milli: int, tolerance: Tolerance) -> Proposal:
    """Replicas that bring one value's share per pod to `target_milli`; `replicas` are what is there."""
    wanted = replicas
    if replicas == 0 or not tolerance.covers(value_milli / (target_milli * replicas)):
        wanted = math.ceil(value_milli / target_milli)
    return Proposal(wanted, math.ceil(value_milli / replicas) if replicas else value_milli)


def _believed(
    pods: Sequence[Pod], samples: Mapping[str, Sample], resource: str, now: float
) -> tuple[Groups, dict[str, int]]:
    if not samples:
        raise NoProposal("no metrics returned from resource metrics API")
    if not pods:
        raise NoProposal("no pods returned by selector while calculating replica count")
    groups = group_pods(pods, samples, resource, now)
    left_out = groups.ignored | groups.unready
    known = {pod.metadata.name for pod in pods}
    values = {name: s.milli for name, s in samples.items() if name in known and name not in left_out}
    if not values:
        raise NoProposal("did not receive metrics for targeted pods (pods might be unready)")
    return groups, values


def _utilization_ratio(
    values: Mapping[str, int], requests: Mapping[str, int], target_percent: int
) -> tuple[float, int, int]:
    """(ratio to the target, percent of requests, average value)."""
    counted = [(value, requests[name]) for name, value in values.items() if name in requests]
    used, requested = sum(value for value, _ in counted), sum(request for _, request in counted)
    if requested == 0:
        raise NoProposal("no metrics returned matched known pods")
    percent = used * 100 // requested
    return percent / target_percent, percent, used // len(counted)


def _damped(current: int, first: float, corrected: float, count: int, tolerance: Tolerance) -> int:
    """The count, unless what had to be assumed would turn the direction around."""
    turned = (first < 1.0 < corrected) or (first > 1.0 > corrected)
    if tolerance.covers(corrected) or turned:
        return current
    wanted = math.ceil(corrected * count)
    if (corrected < 1.0 and wanted > current) or (corrected > 1.0 and wanted < current):
        return current
    return wanted


def _requests(pods: Sequence[Pod], resource: str, container: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for pod in pods:
        counted = _long_running(pod)
        if container:
            counted = [one for one in counted if one.name == container]
            if not counted:
                raise NoProposal(f"container {container} not found in Pod {pod.metadata.name}")
        total = 0
        for one in counted:
            request = one.resources.requests.get(resource)
            if request is None:
                where = f"container {one.name} of Pod {pod.metadata.name}"
                raise NoProposal(f"missing request for {resource} in {where}")
            total += request.milli
        found[pod.metadata.name or ""] = total
    return found


def _long_running(pod: Pod) -> list[Container]:
    """Containers and sidecars."""
    return [*pod.spec.containers, *(c for c in pod.spec.init_containers if c.restart_policy == "Always")]
