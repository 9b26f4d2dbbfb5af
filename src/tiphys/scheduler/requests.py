"""What a pod asks of a node: the scheduler's sum over its containers.

Source: Kubernetes documentation, "Sidecar Containers: resource sharing within containers", "Pod Overhead" and
"Resize CPU and Memory Resources assigned to Containers".
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, ContainerStatus, Pod, PodSpec

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

Amounts = dict[str, int]
"""By resource: cpu in thousandths, everything else in whole units (bytes, devices)."""

DEFAULT_CPU_MILLIS = 100
DEFAULT_MEMORY_BYTES = 200 << 20
"""What scoring takes a container that requests nothing to use, so that such pods spread too."""

_POD_LEVEL = (CPU, MEMORY)
RESIZE_PENDING = "PodResizePending"


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    return {name: q.milli if name == CPU else q.value for name, q in quantities.items()}


def in_use(pod: Pod) -> dict[str, Amounts]:
    """What containers count with, by name, where that is not what they request.

    While a resize in place is under way: the most of what is wanted, allocated and in use. If it cannot be done, what
    is wanted does not count.
    """
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    if not statuses:
        return {}
    # Of init containers only those that keep running can be resized.
    sidecars = (c for c in pod.spec.init_containers if c.restart_policy == "Always")
    wanted = {c.name: c.resources.requests for c in (*pod.spec.containers, *sidecars)}
    infeasible = any(c.type == RESIZE_PENDING and c.reason == "Infeasible" for c in pod.status.conditions)
    return {
        status.name: held
        for status in statuses
        if status.resources is not None
        and status.name in wanted
        and (held := _held(status, {} if infeasible else wanted[status.name])) != amounts(wanted[status.name])
    }


def _held(status: ContainerStatus, wanted: Mapping[str, Quantity]) -> Amounts:
    held = amounts(wanted)
    _raise_to(held, amounts(status.allocated_resources))
    if status.resources is not None:
        _raise_to(held, amounts(status.resources.requests))
    return held


def pod_requests(spec: PodSpec, *, with_defaults: bool = False, in_use: Mapping[str, Amounts] | None = None) -> Amounts:
    """The pod's requests; `with_defaults` counts the default cpu and memory for containers that request none.

    `in_use`: what some containers count with instead of their requests, by name.
    """
    instead = in_use or {}
    running: Amounts = {}
    for container in spec.containers:
        _add(running, _of(container, with_defaults, instead))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.init_containers:
        requests = _of(container, with_defaults, instead)
        if container.restart_policy == "Always":
            _add(sidecars, requests)
            _raise_to(starting, sidecars)
        else:
            # It runs beside the sidecars started before it, and before the containers.
            _add(requests, sidecars)
            _raise_to(starting, requests)
    _add(running, sidecars)
    _raise_to(running, starting)
    if spec.resources is not None:
        for name, amount in amounts(spec.resources.requests).items():
            if name in _POD_LEVEL or name.startswith("hugepages-"):
                running[name] = amount
    _add(running, amounts(spec.overhead))
    return running


def _of(container: Container, with_defaults: bool, instead: Mapping[str, Amounts]) -> Amounts:
    held = instead.get(container.name)
    requests = amounts(container.resources.requests) if held is None else dict(held)
    if with_defaults:
        requests.setdefault(CPU, DEFAULT_CPU_MILLIS)
        requests.setdefault(MEMORY, DEFAULT_MEMORY_BYTES)
    return requests


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        if amount > total.get(name, 0):
            total[name] = amount
