"""Pods that take more of the node's disk than they said: which, and what they are told. Pure.

Source: Kubernetes documentation, "Local ephemeral storage": a pod is evicted when an emptyDir outgrows its sizeLimit, a
container its limit (writable layer and logs), or the pod the sum of them (emptyDir volumes on disk included).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.pods.eviction import is_critical

EPHEMERAL = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class LocalUse:
    """Bytes a pod has on the node's disk: volumes and containers by name."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        return sum(self.volumes.values()) + sum(self.containers.values())


def disk_volumes(pod: Pod) -> list[str]:
    """The pod's emptyDir volumes that take from the node's disk."""
    return [v.name for v in pod.spec.volumes if v.empty_dir is not None and v.empty_dir.medium != "Memory"]


def has_limits(pod: Pod) -> bool:
    """Whether it must be measured at all."""
    sized = any(v.empty_dir is not None and v.empty_dir.size_limit is not None for v in pod.spec.volumes)
    return sized or any(EPHEMERAL in c.resources.limits for c in (*pod.spec.init_containers, *pod.spec.containers))


def excess(pod: Pod, use: LocalUse) -> str:
    """Why the pod must go, in upstream's words; "" if it need not."""
    for volume in pod.spec.volumes:
        if volume.empty_dir is None or volume.empty_dir.medium == "Memory" or volume.empty_dir.size_limit is None:
            continue
        size = volume.empty_dir.size_limit
        if size.value > 0 and use.volumes.get(volume.name, 0) > size.value:
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{size}". '
    limit = _pod_limit(pod)
    if limit is not None and use.total_bytes > limit.value:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
    for container in pod.spec.containers:
        own = container.resources.limits.get(EPHEMERAL)
        if own is not None and use.containers.get(container.name, 0) > own.value:
            return f'Container {container.name} exceeded its local ephemeral storage limit "{own}". '
    return ""


def _pod_limit(pod: Pod) -> Quantity | None:
    """The sum of all containers' limits; None if one has none: then the pod has none."""
    limits = [c.resources.limits.get(EPHEMERAL) for c in pod.spec.containers]
    known = [limit for limit in limits if limit is not None]
    if not known or len(known) < len(limits):
        return None
    if len(known) == 1:
        return known[0]
    total = sum(limit.value for limit in known)
    return Quantity(f"{total >> 20}Mi") if total % (1 << 20) == 0 else Quantity(str(total))


def choose(uses: Iterable[tuple[Pod, LocalUse]]) -> tuple[Pod, LocalUse] | None:
    """The pod that gives room back first when the disk is short of it: over its requests, unimportant, large."""

    def rank(entry: tuple[Pod, LocalUse]) -> tuple[bool, int, int]:
        pod, use = entry
        over = use.total_bytes - requested_bytes(pod)
        return over <= 0, pod.spec.priority or 0, -over

    return min((entry for entry in uses if not is_critical(entry[0])), key=rank, default=None)


def requested_bytes(pod: Pod) -> int:
    requests = (c.resources.requests.get(EPHEMERAL) for c in pod.spec.containers)
    return sum(r.value for r in requests if r is not None)


def shortage_message(pod: Pod, use: LocalUse, *, available_bytes: int, threshold_bytes: int) -> str:
    """What a pod is told that goes because the node's disk is full."""
    parts = [
        f"The node was low on resource: {EPHEMERAL}. Threshold quantity: {_shown(threshold_bytes)}, "
        f"available: {_shown(available_bytes)}. "
    ]
    for container in pod.spec.containers:
        request = container.resources.requests.get(EPHEMERAL)
        used = use.containers.get(container.name, 0)
        if used > (request.value if request is not None else 0):
            parts.append(
                f"Container {container.name} was using {_shown(used)}, request is {request or 0}, "
                f"has larger consumption of {EPHEMERAL}. "
            )
    return "".join(parts)


def _shown(size_bytes: int) -> str:
    return str(Quantity(f"{size_bytes >> 10}Ki"))
