"""Nodes and pods for these tests, made short."""

from __future__ import annotations

from typing import Any

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    Node,
    NodeSpec,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from tiphys.api.types.meta_v1 import ObjectMeta


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", zone: str = "", **spec: Any) -> Node:
    labels = {"kubernetes.io/hostname": name} | ({"topology.kubernetes.io/zone": zone} if zone else {})
    room = {"cpu": Quantity(cpu), "memory": Quantity(memory), "pods": Quantity(pods)}
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(**spec),
        status=NodeStatus(allocatable=room, capacity=room),
    )


def container(name: str = "c", *, cpu: str = "", memory: str = "", **fields: Any) -> Container:
    requests = {key: Quantity(value) for key, value in (("cpu", cpu), ("memory", memory)) if value}
    return Container(name=name, image="i", resources=ResourceRequirements(requests=requests), **fields)


def pod(
    name: str,
    *,
    cpu: str = "",
    memory: str = "",
    priority: int | None = None,
    labels: dict[str, str] | None = None,
    uid: str = "",
    start: str = "",
    deleted: bool = False,
    **spec: Any,
) -> Pod:
    spec.setdefault("containers", (container(cpu=cpu, memory=memory),))
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="default",
            uid=uid or f"uid-{name}",
            labels=labels or {},
            deletion_timestamp="2026-01-01T00:00:00Z" if deleted else None,
        ),
        spec=PodSpec(priority=priority, **spec),
        status=PodStatus(start_time=start or None),
    )
