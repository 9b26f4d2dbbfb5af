"""Defaults of pod specs: in Pods, and in the templates of everything that makes Pods."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tiphys.api.defaulting.containers import (
    default_container,
    default_host_ports,
    default_requests,
    round_resources,
    round_to_milli,
)
from tiphys.api.defaulting.volumes import default_volume
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Pod, PodSecurityContext, PodSpec

TERMINATION_GRACE_SECONDS: Final = 30
_POD_LEVEL: Final = ("cpu", "memory")


def default_pod(pod: Pod) -> None:
    """Fill in a Pod: its spec, and what only Pods get (requests from limits, host ports, service links)."""
    spec = pod.spec
    default_pod_spec(spec)
    for container in spec.containers:
        default_requests(container)
    for container in spec.init_containers:
        default_requests(container)
    if spec.enable_service_links is None:
        spec.enable_service_links = True
    if spec.host_network:
        for container in spec.containers:
            default_host_ports(container)
        for container in spec.init_containers:
            default_host_ports(container)
    if spec.resources is not None and spec.resources.limits:
        _default_pod_requests(spec)


def default_pod_spec(spec: PodSpec) -> None:
    """Fill in a pod spec, as Pods and templates share it."""
    if not spec.dns_policy:
        spec.dns_policy = "ClusterFirst"
    if not spec.restart_policy:
        spec.restart_policy = "Always"
    if spec.security_context is None:
        spec.security_context = PodSecurityContext()
    if spec.termination_grace_period_seconds is None:
        spec.termination_grace_period_seconds = TERMINATION_GRACE_SECONDS
    if not spec.scheduler_name:
        spec.scheduler_name = "default-scheduler"
    # The deprecated alias always mirrors the name.
    spec.service_account_name = spec.service_account = spec.service_account_name or spec.service_account or None
    for container in spec.containers:
        default_container(container)
    for container in spec.init_containers:
        default_container(container)
    for ephemeral in spec.ephemeral_containers:
        default_container(ephemeral)
    for volume in spec.volumes:
        default_volume(volume)
    if spec.overhead:
        round_to_milli(spec.overhead)
    if spec.resources is not None:
        round_resources(spec.resources)


def _default_pod_requests(spec: PodSpec) -> None:
    """Pod-level requests that are not said: what the containers request together, else the pod-level limit."""
    resources = spec.resources
    assert resources is not None
    for name in _POD_LEVEL:
        if name in resources.requests:
            continue
        total = containers_request(spec, name)
        if total is not None:
            resources.requests[name] = total
        elif name in resources.limits:
            resources.requests[name] = resources.limits[name]
    for name, quantity in resources.limits.items():
        if name.startswith("hugepages-") and name not in resources.requests:
            resources.requests[name] = quantity


def containers_request(spec: PodSpec, resource: str) -> Quantity | None:
    """What the containers of a pod request together of one resource; None if none names it.

    Init containers run one after the other beside the sidecars started so far; the larger need counts.
    """
    amounts = [c.resources.requests[resource] for c in spec.containers if resource in c.resources.requests]
    total = sum((a.exact for a in amounts), Fraction())
    named = bool(amounts)
    peak = sidecars = Fraction()
    for container in spec.init_containers:
        quantity = container.resources.requests.get(resource)
        if quantity is not None:
            named = True
        need = quantity.exact if quantity is not None else Fraction()
        if container.restart_policy == "Always":
            sidecars += need
            need = Fraction()
        peak = max(peak, sidecars + need)
    if not named:
        return None
    most = max(total + sidecars, peak)
    if resource == "cpu":
        return Quantity.of_milli(int(most * 1000))
    mebibytes = most / 2**20
    return Quantity(f"{int(mebibytes)}Mi" if mebibytes.denominator == 1 else f"{int(most)}")
