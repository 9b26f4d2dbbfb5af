"""What a kubelet measured at a moment, and use as the difference of two such readings. Pure.

CPU is a counter of seconds, so that use is known only between two readings; memory is what the later one says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

#: A container that started between two readings is measured since its start, if that is long enough to mean something.
FRESH_SECONDS: Final = 2.0
ContainerKey = tuple[str, str, str]
"""Namespace, pod, container."""


class Point(NamedTuple):
    """One counter and one gauge, at `time` (epoch seconds). `started` is 0.0 where it is not told."""

    time: float
    cpu_seconds: float
    memory_bytes: int
    started: float = 0.0


class Use(NamedTuple):
    """CPU in billionths of a core and memory in bytes, over `window_seconds` until `time`."""

    time: float
    window_seconds: float
    cpu_nanos: int
    memory_bytes: int


@dataclass(slots=True)
class Reading:
    """One node's `/metrics/resource`. `node` is None when the kubelet did not say."""

    node: Point | None = None
    containers: dict[ContainerKey, Point] = field(default_factory=dict)


_NODE: Final = {"node_cpu_usage_seconds_total": "cpu", "node_memory_working_set_bytes": "memory"}
_CONTAINER: Final = {
    "container_cpu_usage_seconds_total": "cpu",
    "container_memory_working_set_bytes": "memory",
    "container_start_time_seconds": "start",
}


def parse(text: str, now: float) -> Reading:
    """The reading in a kubelet's answer; samples without a time are of `now`. Raises ValueError for other text."""
    node: dict[str, tuple[float, float]] = {}
    containers: dict[ContainerKey, dict[str, tuple[float, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name, labels = sample.name, sample.labels
            if name in _NODE:
                node[_NODE[name]] = (sample.value, _time(sample.timestamp, now))
            elif name in _CONTAINER:
                key = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
                containers.setdefault(key, {})[_CONTAINER[name]] = (sample.value, _time(sample.timestamp, now))
    points = {key: point for key, values in containers.items() if (point := _point(values)) is not None}
    return Reading(_point(node), points)


def _time(stamp: object, now: float) -> float:
    return float(str(stamp)) if stamp is not None else now


def _point(values: Mapping[str, tuple[float, float]]) -> Point | None:
    if "cpu" not in values or "memory" not in values:
        return None
    seconds, time = values["cpu"]
    return Point(time, seconds, int(values["memory"][0]), values.get("start", (0.0, 0.0))[0])


def use(before: Point | None, after: Point) -> Use | None:
    """Use between two readings of the same thing; None as long as it cannot be told.

    One that restarted meanwhile, or was not there before, is measured from its start.
    """
    if before is not None and before.started == after.started and after.cpu_seconds >= before.cpu_seconds:
        window = after.time - before.time
        if window <= 0:
            return None
        return _over(window, after.cpu_seconds - before.cpu_seconds, after)
    window = after.time - after.started
    if not after.started or window < FRESH_SECONDS or (before is not None and after.started <= before.started):
        return None
    return _over(window, after.cpu_seconds, after)


def _over(window: float, cpu_seconds: float, after: Point) -> Use:
    return Use(after.time, window, round(cpu_seconds / window * 1e9), after.memory_bytes)
