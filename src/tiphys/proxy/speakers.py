"""Which node answers for a balancer's address on the link. Pure: every node decides alike from what it knows.

    eligible    nodes that are Ready and not excluded; with externalTrafficPolicy Local those with endpoints
    alive       of those the ones heard of lately, by heartbeats from node to node
    the holder  of those the one with the highest hash of address and name

A node that dies moves its own addresses only, and those evenly; it gets them back when it returns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from tiphys.api.types.core_v1 import Node, Service
from tiphys.api.types.discovery_v1 import EndpointSlice

EXCLUDED_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
SILENT_SECONDS: Final = 2.0
"""A node is taken for dead when it has not been heard of for so long: four heartbeats."""


def is_eligible(node: Node) -> bool:
    """Whether a balancer may send traffic to the node."""
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    return ready and node.metadata.deletion_timestamp is None and EXCLUDED_LABEL not in node.metadata.labels


def address_of(node: Node) -> str:
    """The node's IPv4 InternalIP; "" when it has told none yet."""
    return next((a.address for a in node.status.addresses if a.type == "InternalIP" and ":" not in a.address), "")


def candidates(service: Service, slices: Iterable[EndpointSlice], eligible: Iterable[str]) -> set[str]:
    """The nodes that may answer for the Service's addresses."""
    found = set(eligible)
    if service.spec.external_traffic_policy == "Local":
        found &= {
            endpoint.node_name or ""
            for slice_ in slices
            for endpoint in slice_.endpoints
            if endpoint.conditions.ready is not False or endpoint.conditions.serving
        }
    return found


def holder(address: str, nodes: Iterable[str]) -> str:
    """The node among these that answers for the address; "" when there is none."""
    return max(nodes, key=lambda node: hashlib.sha256(f"{address}/{node}".encode()).digest(), default="")


@dataclass(slots=True)
class Membership:
    """Which other nodes are alive. A node counts as heard of when it is first known, so that none is robbed early."""

    _heard: dict[str, float] = field(default_factory=dict)

    def know(self, names: Iterable[str], now: float) -> None:
        """These are the other nodes."""
        names = set(names)
        self._heard = {name: self._heard.get(name, now) for name in names}

    def heard(self, name: str, now: float) -> bool:
        """A heartbeat came; whether it came from a node that was taken for dead."""
        if name not in self._heard:
            return False
        was_dead = now - self._heard[name] >= SILENT_SECONDS
        self._heard[name] = now
        return was_dead

    def alive(self, now: float) -> set[str]:
        """The other nodes that are not silent."""
        return {name for name, at in self._heard.items() if now - at < SILENT_SECONDS}
