"""Quality of service: a pod's class, its OOM score, its cgroup shares and quotas. Arithmetic only.

Source: the Kubernetes documentation, "Pod Quality of Service Classes" and "Node-pressure Eviction" (oom_score_adj).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, Pod

GUARANTEED: Final = "Guaranteed"
BURSTABLE: Final = "Burstable"
BEST_EFFORT: Final = "BestEffort"

MINIMUM_SHARES: Final = 2
MAXIMUM_SHARES: Final = 262144
QUOTA_PERIOD_MICROSECONDS: Final = 100_000
MINIMUM_QUOTA_MICROSECONDS: Final = 1000


def qos_class(pod: Pod) -> str:
    """The class the API reports for the pod."""
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        asked = _positive(container.resources.requests)
        capped = _positive(container.resources.limits)
        for name, milli in asked.items():
            requests[name] = requests.get(name, 0) + milli
        for name, milli in capped.items():
            limits[name] = limits.get(name, 0) + milli
        if set(capped) != {"cpu", "memory"}:
            guaranteed = False
    if not requests and not limits:
        return BEST_EFFORT
    if guaranteed and all(limits.get(name) == milli for name, milli in requests.items()):
        return GUARANTEED
    return BURSTABLE


def _positive(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    return {n: q.milli for n, q in quantities.items() if n in ("cpu", "memory") and q.milli > 0}


def oom_score_adjustment(pod: Pod, container: Container, memory_capacity_bytes: int) -> int:
    """How readily the kernel kills the container when memory runs out: -997 (hardly) … 1000 (first)."""
    if (pod.spec.priority or 0) >= 2_000_001_000:
        return -997
    quality = pod.status.qos_class or qos_class(pod)
    if quality == GUARANTEED:
        return -997
    if quality == BEST_EFFORT:
        return 1000
    request = container.resources.requests.get("memory")
    share = 1000 * (request.value if request is not None else 0) // max(memory_capacity_bytes, 1)
    return max(min(1000 - share, 999), 3)


def shares_of(cpu_millis: int) -> int:
    """cgroup v1 cpu.shares of a CPU request."""
    return min(max(cpu_millis * 1024 // 1000, MINIMUM_SHARES), MAXIMUM_SHARES)


def quota_of(cpu_millis: int) -> int:
    """CPU quota in microseconds a period; 0 when there is no limit."""
    if not cpu_millis:
        return 0
    return max(cpu_millis * QUOTA_PERIOD_MICROSECONDS // 1000, MINIMUM_QUOTA_MICROSECONDS)


def weight_of(shares: int) -> int:
    """cgroup v2 cpu.weight (1…10000) of cpu.shares (2…262144)."""
    return 1 + (shares - 2) * 9999 // 262142


@dataclass(frozen=True, slots=True)
class PodResources:
    """What a pod as a whole asks for and may use; 0 for a limit means none."""

    cpu_request_millis: int
    cpu_limit_millis: int
    memory_request_bytes: int
    memory_limit_bytes: int


def pod_resources(pod: Pod) -> PodResources:
    """Sums over containers as upstream's: main and sidecars together, or the largest init step if that is more.

    A limit counts only when every container has one.
    """
    overhead = pod.spec.overhead
    cpu_overhead = overhead["cpu"].milli if "cpu" in overhead else 0
    memory_overhead = overhead["memory"].value if "memory" in overhead else 0
    return PodResources(
        cpu_request_millis=_peak(pod, "cpu", limits=False) + cpu_overhead,
        cpu_limit_millis=_limit(pod, "cpu", cpu_overhead),
        memory_request_bytes=_peak(pod, "memory", limits=False) + memory_overhead,
        memory_limit_bytes=_limit(pod, "memory", memory_overhead),
    )


def _limit(pod: Pod, name: str, overhead: int) -> int:
    every: Iterable[Container] = (*pod.spec.containers, *pod.spec.init_containers)
    if not all(_amount(c.resources.limits, name) for c in every):
        return 0
    return _peak(pod, name, limits=True) + overhead


def _amount(quantities: Mapping[str, Quantity], name: str) -> int:
    quantity = quantities.get(name)
    if quantity is None:
        return 0
    return quantity.milli if name == "cpu" else quantity.value


def _peak(pod: Pod, name: str, *, limits: bool) -> int:
    def of(container: Container) -> int:
        return _amount(container.resources.limits if limits else container.resources.requests, name)

    sidecars = peak = 0
    for init in pod.spec.init_containers:
        if init.restart_policy == "Always":
            sidecars += of(init)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + of(init))
    return max(peak, sidecars + sum(of(c) for c in pod.spec.containers))
