"""ImageLocality."""

from __future__ import annotations

from tests.property.scheduling.world import World, name_of
from tiphys.api.types.core_v1 import Node, Pod

_MIB = 1 << 20


def has(node: Node, image: str) -> int | None:
    """The image's size if the node has it."""
    full = image if ":" in image.rpartition("/")[2] else f"{image}:latest"
    return next((found.size_bytes or 0 for found in node.status.images if full in found.names), None)


def scores(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    result = {}
    for node in feasible:
        total = 0
        for container in containers:
            size = has(node, container.image or "")
            if size is not None:
                holders = sum(has(other, container.image or "") is not None for other in world.nodes.values())
                total += int(size * (holders / len(world.nodes)))
        most = 1000 * _MIB * len(containers)
        result[name_of(node)] = 100 * (min(max(total, 23 * _MIB), most) - 23 * _MIB) // (most - 23 * _MIB)
    return result
