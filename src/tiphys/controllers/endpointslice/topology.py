"""Which zone each endpoint is for, when a Service asks for it (``service.kubernetes.io/topology-mode: Auto``). Pure.

A zone gets endpoints as it has CPUs. An endpoint is for its own zone, unless another has too few: zones with too few
endpoints would be overloaded, and then hints do more harm than good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from tiphys.api.types.core_v1 import Node, Service

MODE_ANNOTATION: Final = "service.kubernetes.io/topology-mode"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
CONTROL_PLANE_LABELS: Final = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
OVERLOAD: Final = 0.2
"""By how much a zone's endpoints may be overloaded in comparison with the others'."""


def wants_hints(service: Service) -> bool:
    return service.metadata.annotations.get(MODE_ANNOTATION) in ("Auto", "auto")


def zone_cpus(nodes: Iterable[Node]) -> dict[str, int]:
    """Zone to the CPUs of its ready nodes, in thousandths; empty when a ready node does not say its zone or CPUs."""
    found: dict[str, int] = {}
    for node in nodes:
        labels = node.metadata.labels
        ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
        if not ready or any(label in labels for label in CONTROL_PLANE_LABELS):
            continue
        zone, cpu = labels.get(ZONE_LABEL, ""), node.status.allocatable.get("cpu")
        if not zone or cpu is None:
            return {}
        found[zone] = found.get(zone, 0) + cpu.milli
    return found


def allocate(cpus: Mapping[str, int], endpoints: Mapping[str, str]) -> dict[str, str]:
    """Endpoint to the zone it is for. ``endpoints``: each to the zone it is in ("" unknown).

    Empty where hints would do harm: fewer than two zones, endpoints in no zone, or too few of them.
    """
    total = sum(cpus.values())
    if len(cpus) < 2 or not total or not all(zone in cpus for zone in endpoints.values()):
        return {}
    least = {zone: math.ceil(cpu / total * len(endpoints) / (1 + OVERLOAD)) for zone, cpu in cpus.items()}
    if sum(least.values()) > len(endpoints):
        return {}
    found = dict(sorted(endpoints.items()))
    counts = {zone: list(found.values()).count(zone) for zone in cpus}
    for zone in sorted(cpus):
        while counts[zone] < least[zone]:
            giver = max(sorted(cpus), key=lambda other: counts[other] - least[other])
            moved = max(name for name, at in found.items() if at == giver)
            found[moved] = zone
            counts[giver] -= 1
            counts[zone] += 1
    return found
