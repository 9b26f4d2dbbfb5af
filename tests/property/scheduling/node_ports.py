"""NodePorts."""

from __future__ import annotations

from collections.abc import Iterator

from tests.property.scheduling.world import World
from tiphys.api.types.core_v1 import Node, Pod

Port = tuple[str, str, int]


def host_ports(pod: Pod) -> Iterator[Port]:
    sidecars = [c for c in pod.spec.init_containers if c.restart_policy == "Always"]
    for container in [*pod.spec.containers, *sidecars]:
        for port in container.ports:
            if port.host_port:
                yield port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port


def collide(one: Port, other: Port) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or "0.0.0.0" in (one[0], other[0]))


def rejected(pod: Pod, node: Node, world: World) -> str:
    used = [port for other in world.on(node) for port in host_ports(other)]
    if any(collide(mine, theirs) for mine in host_ports(pod) for theirs in used):
        return "node(s) didn't have free ports for the requested pod ports"
    return ""
