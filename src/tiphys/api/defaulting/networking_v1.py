"""Defaults of network policies and ingress classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.networking_v1 import IngressClass, NetworkPolicy, NetworkPolicyPort


def _network_policy(obj: NetworkPolicy) -> None:
    spec = obj.spec
    for ingress in spec.ingress:
        _ports(ingress.ports)
    for egress in spec.egress:
        _ports(egress.ports)
    if not spec.policy_types:
        spec.policy_types = ("Ingress", "Egress") if spec.egress else ("Ingress",)


def _ports(ports: tuple[NetworkPolicyPort, ...]) -> None:
    for port in ports:
        if port.protocol is None:
            port.protocol = "TCP"


def _ingress_class(obj: IngressClass) -> None:
    parameters = obj.spec.parameters
    if parameters is not None and parameters.scope is None:
        parameters.scope = "Cluster"


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {IngressClass: _ingress_class, NetworkPolicy: _network_policy}
