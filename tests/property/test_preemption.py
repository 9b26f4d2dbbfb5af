"""Whom preemption removes: the arithmetic for many nodes and the dry runs, against the rules said one pod at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Affinity, ContainerPort, PodAffinityTerm, PodAntiAffinity
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Disruption
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

HOST = "kubernetes.io/hostname"


@dataclass(frozen=True)
class Item:
    """A pod as the rules see it."""

    name: str
    cpu: int
    memory: int
    priority: int
    start: str
    app: str
    port: int = 0


class World:
    """A cluster, and the same as plain lists."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.cluster, self.templates = Cluster(), Templates()
        self.room: dict[str, tuple[int, int, int]] = {}
        self.on: dict[str, list[Item]] = {}
        self.infos: dict[str, PodInfo] = {}
        self.algorithm = Algorithm(self.cluster, default_profile(), rng)
        self.promised: dict[str, list[Item]] = {}
        for number in range(rng.randint(1, 6)):
            name = f"n{number}"
            self.room[name] = (rng.randint(2, 8), rng.randint(2, 8), rng.randint(2, 7))
            cpu, memory, pods = self.room[name]
            self.cluster.add_node(node(name, cpu=str(cpu), memory=f"{memory}Gi", pods=str(pods)))
            self.on[name] = []
        for number in range(rng.randint(0, 25)):
            name = rng.choice(list(self.room))
            item = self.item(f"p{number}")
            if _fits(item, self.on[name], self.room[name]):
                self.on[name].append(item)
                self.infos[item.name] = self.info(item)
                self.cluster.place(self.infos[item.name], name)

    def item(self, name: str, priority: int | None = None) -> Item:
        rng = self.rng
        return Item(
            name=name,
            cpu=rng.randint(0, 4),
            memory=rng.randint(0, 4),
            priority=rng.choice((-5, 0, 0, 3, 7)) if priority is None else priority,
            start=f"2026-01-01T00:00:{rng.randint(0, 9):02}Z",
            app=rng.choice("ab"),
            port=rng.choice((0, 0, 0, 80)),
        )

    def info(self, item: Item, *, apart_from: str = "") -> PodInfo:
        made = pod(item.name, cpu=str(item.cpu) if item.cpu else "", memory=f"{item.memory}Gi" if item.memory else "")
        made.metadata.labels = {"app": item.app}
        made.metadata.creation_timestamp = item.start
        made.spec.priority = item.priority
        if item.port:
            made.spec.containers[0].ports = (ContainerPort(container_port=80, host_port=item.port),)
        if apart_from:
            term = PodAffinityTerm(topology_key=HOST, label_selector=LabelSelector(match_labels={"app": apart_from}))
            anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,))
            made.spec.affinity = Affinity(pod_anti_affinity=anti)
        return PodInfo(made, self.templates.of(made))


def _fits(item: Item, others: Sequence[Item], room: tuple[int, int, int], apart_from: str = "") -> bool:
    if apart_from and any(other.app == apart_from for other in others):
        return False
    if item.port and any(other.port == item.port for other in others):
        return False
    everyone = [*others, item]
    return (
        (not item.cpu or sum(each.cpu for each in everyone) <= room[0])
        and (not item.memory or sum(each.memory for each in everyone) <= room[1])
        and len(everyone) <= room[2]
    )


def _importance(item: Item) -> tuple[int, str]:
    return (-item.priority, item.start)


def victims_on(
    wanted: Item, there: Sequence[Item], promised: Sequence[Item], room: tuple[int, int, int], apart: str,
    budget: tuple[str, int] | None,
) -> tuple[list[Item], int] | None:  # fmt: skip
    """The victims on one node and how many of them a budget protects; None if even without all lower it is no use."""
    higher = [item for item in there if item.priority >= wanted.priority]
    lower = sorted((item for item in there if item.priority < wanted.priority), key=_importance)

    def takes(present: Sequence[Item]) -> bool:
        return _fits(wanted, present, room, apart) and _fits(wanted, [*present, *promised], room, apart)

    if not lower or not takes(higher):
        return None
    left = budget[1] if budget is not None else 0
    violating, harmless = [], []
    for item in lower:
        if budget is not None and item.app == budget[0]:
            left -= 1
            (violating if left < 0 else harmless).append(item)
        else:
            harmless.append(item)
    kept, gone = list(higher), []
    for item in (*violating, *harmless):
        if takes([*kept, item]):
            kept.append(item)
        else:
            gone.append(item)
    return sorted(gone, key=_importance), sum(item in violating for item in gone)


def badness(victims: Sequence[Item], violations: int) -> tuple[object, ...]:
    """Smaller is better."""
    highest = max((item.priority for item in victims), default=-(1 << 31))
    earliest = min((item.start for item in victims if item.priority == highest), default="")
    total = sum(item.priority + (1 << 31) for item in victims)
    return violations, highest, total, len(victims), tuple(-ord(letter) for letter in earliest)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), apart=st.sampled_from(["", "", "a"]), budgets=st.booleans())
def test_the_victims_are_the_rules(seed: int, apart: str, budgets: bool) -> None:
    rng = random.Random(seed)
    world = World(rng)
    for number in range(rng.randint(0, 3)):
        # Nominated pods: they have no node, and theirs is kept for them.
        name = rng.choice(list(world.room))
        item = world.item(f"nominated-{number}", rng.choice((0, 5, 9)))
        world.promised.setdefault(name, []).append(item)
        world.algorithm.nominations.set(world.info(item), name)
    budget = ("b", rng.randint(0, 2)) if budgets else None
    wanted = world.item("wanted", priority=5)
    info = world.info(wanted, apart_from=apart)

    def disruptions() -> list[Disruption]:
        if budget is None:
            return []
        return [Disruption(lambda other: other.template.labels.get("app") == budget[0], budget[1])]

    for _ in range(3):
        decision = world.algorithm.decide(info, disruptions)
        promised = {
            name: [item for item in world.promised.get(name, ()) if item.priority >= wanted.priority]
            for name in world.room
        }
        free = [
            name
            for name, room in world.room.items()
            if _fits(wanted, world.on[name], room, apart)
            and _fits(wanted, [*world.on[name], *promised[name]], room, apart)
        ]
        if isinstance(decision, Placed):
            assert decision.node_name in free
            return
        assert not free
        assert isinstance(decision, Unplaceable)
        found = {
            name: answer
            for name, room in world.room.items()
            if (answer := victims_on(wanted, world.on[name], promised[name], room, apart, budget)) is not None
        }
        if decision.preemption is None:
            assert not found, decision.message
            return
        chosen = world.cluster.nodes.names[decision.preemption.row]
        names = [victim.key[1] for victim in decision.preemption.victims]
        assert chosen in found
        assert sorted(names) == sorted(item.name for item in found[chosen][0])
        assert badness(*found[chosen]) == min(badness(*answer) for answer in found.values())
        # One pod goes by itself, and all is asked again: what was kept by difference must still be true.
        gone = next(item for item in world.on[chosen] if item.name == names[0])
        world.on[chosen].remove(gone)
        world.cluster.remove(world.infos[gone.name])
