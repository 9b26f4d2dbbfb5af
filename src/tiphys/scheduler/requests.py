"""What a pod asks of a node: the scheduler's sum over its containers.

Source: Kubernetes documentation, "Sidecar Containers: resource sharing within containers" and "Pod Overhead".
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, PodSpec

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


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    return {name: q.milli if name == CPU else q.value for name, q in quantities.items()}


def pod_requests(spec: PodSpec, *, with_defaults: bool = False) -> Amounts:
    """The pod's requests; `with_defaults` counts the default cpu and memory for containers that request none."""
    running: Amounts = {}
    for container in spec.containers:
        _add(running, _of(container, with_defaults))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.init_containers:
        requests = _of(container, with_defaults)
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


def _of(container: Container, with_defaults: bool) -> Amounts:
    requests = amounts(container.resources.requests)
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
