"""Node-pressure eviction: when memory runs short, which pod goes, and what it is told. Pure.

Source: the Kubernetes documentation, "Node-pressure Eviction": pods are ranked by whether their usage exceeds requests,
then by priority, then by usage relative to requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Pod
from tiphys.cri.types import ContainerStats
from tiphys.kubelet.lifecycle.qos import pod_resources
from tiphys.kubelet.spec.names import CONFIG_SOURCE, CONTAINER_NAME, POD_UID, uid_of

CRITICAL_PRIORITY: Final = 2_000_000_000
REASON: Final = "Evicted"


@dataclass(frozen=True, slots=True)
class Choice:
    """The pod to evict, and why, in upstream's words."""

    uid: str
    message: str


def choose(
    pods: Iterable[Pod], stats: Iterable[ContainerStats], *, available_bytes: int, threshold_bytes: int
) -> Choice | None:
    """The pod that gives memory back first; None when every pod is critical or there is none."""
    used: dict[str, dict[str, int]] = {}
    for container in stats:
        uid = container.labels.get(POD_UID, "")
        name = container.labels.get(CONTAINER_NAME, container.name)
        used.setdefault(uid, {})[name] = container.memory_working_set_bytes or 0
    candidates = [p for p in pods if not is_critical(p)]
    if not candidates:
        return None

    def rank(pod: Pod) -> tuple[bool, int, int]:
        excess = sum(used.get(uid_of(pod), {}).values()) - pod_resources(pod).memory_request_bytes
        return excess <= 0, pod.spec.priority or 0, -excess

    victim = min(candidates, key=rank)
    return Choice(uid_of(victim), _message(victim, used.get(uid_of(victim), {}), available_bytes, threshold_bytes))


def is_critical(pod: Pod) -> bool:
    """Whether the pod is never evicted for want of resources: system-critical, or the node's own."""
    return (pod.spec.priority or 0) >= CRITICAL_PRIORITY or CONFIG_SOURCE in pod.metadata.annotations


def _message(pod: Pod, used: Mapping[str, int], available_bytes: int, threshold_bytes: int) -> str:
    parts = [
        f"The node was low on resource: memory. Threshold quantity: {_shown(threshold_bytes)}, "
        f"available: {_shown(available_bytes)}. "
    ]
    for container in pod.spec.containers:
        request = container.resources.requests.get("memory")
        wanted = request.value if request is not None else 0
        usage = used.get(container.name, 0)
        if usage > wanted:
            parts.append(
                f"Container {container.name} was using {_shown(usage)}, request is {request or 0}, "
                "has larger consumption of memory. "
            )
    return "".join(parts)


def _shown(size_bytes: int) -> str:
    return str(Quantity(f"{size_bytes >> 10}Ki"))
