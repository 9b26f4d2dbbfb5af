"""A pod's quality-of-service class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api.types.core_v1 import PodSpec, ResourceRequirements

BEST_EFFORT: Final = "BestEffort"
BURSTABLE: Final = "Burstable"
GUARANTEED: Final = "Guaranteed"
_COUNTED: Final = ("cpu", "memory")


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort, by the CPU and memory its containers (or the pod itself) ask for."""
    if spec.resources is not None:
        return _class_of((spec.resources,))
    containers = [c.resources for c in spec.containers]
    containers.extend(c.resources for c in spec.init_containers)
    for resources in containers:
        if resources.requests or resources.limits:
            return _class_of(containers)
    return BEST_EFFORT


def _class_of(parts: Iterable[ResourceRequirements]) -> str:
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for resources in parts:
        found = 0
        for name in _COUNTED:
            request = resources.requests.get(name)
            if request is not None and request.milli > 0:
                requests[name] = requests.get(name, 0) + request.milli
            limit = resources.limits.get(name)
            if limit is not None and limit.milli > 0:
                found += 1
                limits[name] = limits.get(name, 0) + limit.milli
        guaranteed = guaranteed and found == len(_COUNTED)
    if not requests and not limits:
        return BEST_EFFORT
    return GUARANTEED if guaranteed and requests == limits else BURSTABLE
