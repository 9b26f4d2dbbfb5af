"""NodePorts: host ports are free. A port on all addresses collides with the same port on any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.limits import Limit
from tiphys.scheduler.template import HostPort, Template

_EVERY_ADDRESS = "0.0.0.0"


class NodePorts(Plugin):
    name = "NodePorts"
    of_shape = True
    helped_by = Trigger.NODE_ADDED | Trigger.POD_GONE

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        return _Filter(template.host_ports, cluster) if template.host_ports else None


class _Filter(NodeFilter):
    reason = "node(s) didn't have free ports for the requested pod ports"
    resolvable = True

    def __init__(self, wanted: frozenset[HostPort], cluster: Cluster) -> None:
        self._wanted = wanted
        self._used = cluster.host_ports
        self._size = cluster.nodes.size

    def passes(self, rows: Rows) -> Bools:
        free = np.ones(self._size, np.bool_)
        for port, users in self._used.items():
            if users and self._collides(port):
                free[list(users)] = False
        return free[rows]

    def limits(self) -> Sequence[Limit]:
        return (Limit(self.reason, self._free, lambda other: sum(map(self._collides, other.host_ports))),)

    def _free(self, rows: Ints) -> Ints:
        free = np.zeros(self._size, np.int64)
        for port, users in self._used.items():
            if users and self._collides(port):
                free[list(users)] -= list(users.values())
        return free[rows]

    def _collides(self, port: HostPort) -> bool:
        address, protocol, number = port
        return any(
            protocol == other_protocol
            and number == other_number
            and (address == other or _EVERY_ADDRESS in (address, other))
            for other, other_protocol, other_number in self._wanted
        )
