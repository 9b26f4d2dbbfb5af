"""Defaults of containers: pull policy, ports, probes, hooks, environment."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    EphemeralContainer,
    HTTPGetAction,
    LifecycleHandler,
    ObjectFieldSelector,
    Probe,
    ResourceRequirements,
)

ALWAYS: Final = "Always"
IF_NOT_PRESENT: Final = "IfNotPresent"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?P<digest>@[^@\s]+)?"
)


@lru_cache(maxsize=4096)
def pull_policy(image: str | None) -> str:
    """Always for ``:latest`` (also when implied), IfNotPresent for every other tag, for digests and for nonsense."""
    match = _IMAGE.fullmatch(image or "")
    if match is None:
        return IF_NOT_PRESENT
    tag = match["tag"]
    return ALWAYS if tag == "latest" or (tag is None and match["digest"] is None) else IF_NOT_PRESENT


def default_container(container: Container | EphemeralContainer) -> None:
    """Fill in one container."""
    if not container.image_pull_policy:
        container.image_pull_policy = pull_policy(container.image)
    if not container.termination_message_path:
        container.termination_message_path = "/dev/termination-log"
    if not container.termination_message_policy:
        container.termination_message_policy = "File"
    for port in container.ports:
        if not port.protocol:
            port.protocol = "TCP"
    for variable in container.env:
        source = variable.value_from
        if source is not None and source.field_ref is not None:
            default_field_ref(source.field_ref)
    if container.liveness_probe is not None:
        default_probe(container.liveness_probe)
    if container.readiness_probe is not None:
        default_probe(container.readiness_probe)
    if container.startup_probe is not None:
        default_probe(container.startup_probe)
    if container.lifecycle is not None:
        if container.lifecycle.post_start is not None:
            _default_handler(container.lifecycle.post_start)
        if container.lifecycle.pre_stop is not None:
            _default_handler(container.lifecycle.pre_stop)
    round_resources(container.resources)


def default_field_ref(reference: ObjectFieldSelector) -> None:
    """A field reference speaks of v1 unless it says otherwise."""
    if not reference.api_version:
        reference.api_version = "v1"


def default_probe(probe: Probe) -> None:
    """Fill in one probe; zeros count as unset."""
    if not probe.timeout_seconds:
        probe.timeout_seconds = 1
    if not probe.period_seconds:
        probe.period_seconds = 10
    if not probe.success_threshold:
        probe.success_threshold = 1
    if not probe.failure_threshold:
        probe.failure_threshold = 3
    if probe.http_get is not None:
        _default_http_get(probe.http_get)
    if probe.grpc is not None and probe.grpc.service is None:
        probe.grpc.service = ""


def _default_handler(handler: LifecycleHandler) -> None:
    if handler.http_get is not None:
        _default_http_get(handler.http_get)


def _default_http_get(action: HTTPGetAction) -> None:
    if not action.path:
        action.path = "/"
    if not action.scheme:
        action.scheme = "HTTP"


def default_requests(container: Container) -> None:
    """Requests that are not said equal the limits. In Pods only: templates keep what they were given."""
    limits = container.resources.limits
    if limits:
        requests = container.resources.requests
        for name, quantity in limits.items():
            if name not in requests:
                requests[name] = quantity


def default_host_ports(container: Container) -> None:
    """On the host's network every container port is the host's."""
    for port in container.ports:
        if not port.host_port:
            port.host_port = port.container_port


def round_resources(resources: ResourceRequirements) -> None:
    """Resources are kept to thousandths, rounded up."""
    if resources.limits:
        round_to_milli(resources.limits)
    if resources.requests:
        round_to_milli(resources.requests)


def round_to_milli(quantities: dict[str, Quantity]) -> None:
    """Replace what is finer than a thousandth; only nano and micro forms can be."""
    for name, quantity in quantities.items():
        if quantity[-1] in "nu" or "e-" in quantity:
            quantities[name] = Quantity.of_milli(quantity.milli)
