"""NodeResourcesFit with LeastAllocated, and NodeResourcesBalancedAllocation: of cpu and memory, by default."""

from __future__ import annotations

from tests.property.scheduling.world import World, name_of
from tiphys.api.types.core_v1 import Container, ContainerStatus, Node, Pod

Amounts = dict[str, int]
ASSUMED = {"cpu": 100, "memory": 200 << 20}
"""What a container that requests none is taken to use, in scores."""


def _amounts(quantities: object) -> Amounts:
    assert isinstance(quantities, dict)
    return {name: q.milli if name == "cpu" else q.value for name, q in quantities.items()}


def _sum(*parts: Amounts) -> Amounts:
    return {name: sum(part.get(name, 0) for part in parts) for name in dict.fromkeys(n for p in parts for n in p)}


def _most(*parts: Amounts) -> Amounts:
    return {name: max(part.get(name, 0) for part in parts) for name in dict.fromkeys(n for p in parts for n in p)}


def _container(container: Container, pod: Pod, least: Amounts) -> Amounts:
    wanted = _amounts(container.resources.requests)
    statuses: tuple[ContainerStatus, ...] = pod.status.container_statuses
    if container in pod.spec.init_containers:
        # Only a container that keeps running can be resized.
        statuses = pod.status.init_container_statuses if container.restart_policy == "Always" else ()
    for status in statuses:
        if status.name == container.name and status.resources is not None:
            hopeless = any(c.type == "PodResizePending" and c.reason == "Infeasible" for c in pod.status.conditions)
            held = (_amounts(status.allocated_resources), _amounts(status.resources.requests))
            wanted = _most(*held) if hopeless else _most(wanted, *held)
    return least | wanted


def requests(pod: Pod, least: Amounts | None = None) -> Amounts:
    """What the pod counts with; `least`: by resource what a container counts with that does not ask for it."""
    running = _sum(*(_container(c, pod, least or {}) for c in pod.spec.containers))
    sidecars: Amounts = {}
    starting: list[Amounts] = []
    for container in pod.spec.init_containers:
        own = _container(container, pod, least or {})
        if container.restart_policy == "Always":
            sidecars = _sum(sidecars, own)
            starting.append(sidecars)
        else:
            starting.append(_sum(sidecars, own))
    total = _most(_sum(running, sidecars), *starting)
    if pod.spec.resources is not None:
        total |= _amounts(pod.spec.resources.requests)
    return _sum(total, _amounts(pod.spec.overhead))


def capacity(node: Node) -> Amounts:
    return _amounts(node.status.allocatable)


def rejected(pod: Pod, node: Node, world: World) -> list[str]:
    used = _sum(*(requests(other) for other in world.on(node)), {})
    room = capacity(node)
    said = ["Too many pods"] if len(world.on(node)) + 1 > room.get("pods", 0) else []
    for name, amount in requests(pod).items():
        if amount and used.get(name, 0) + amount > room.get(name, 0):
            said.append(f"Insufficient {name}")
    return said


def least_allocated(pod: Pod, node: Node, world: World) -> int:
    grades = []
    for name in ("cpu", "memory"):
        room = capacity(node).get(name, 0)
        if room:
            used = sum(requests(other, ASSUMED)[name] for other in (*world.on(node), pod))
            grades.append(0 if used > room else (room - used) * 100 // room)
    return sum(grades) // len(grades) if grades else 0


def balanced(pod: Pod, node: Node, world: World) -> int:
    asked = requests(pod)
    if not asked.get("cpu") and not asked.get("memory"):
        return 0
    shares = []
    for name in ("cpu", "memory"):
        room = capacity(node).get(name, 0)
        if room:
            shares.append(min(sum(requests(other).get(name, 0) for other in (*world.on(node), pod)) / room, 1.0))
    distance = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - distance) * 100)


def fit_scores(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    return {name_of(n): least_allocated(pod, n, world) for n in feasible}


def balance_scores(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    return {name_of(n): balanced(pod, n, world) for n in feasible}
