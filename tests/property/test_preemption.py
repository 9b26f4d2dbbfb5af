"""Whom preemption removes: the arithmetic for many nodes and the dry runs, against the rules said one pod at a time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import (
    Affinity,
    ContainerPort,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Disruption, NodeFilter, Plugin
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo, Template, Templates

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
Term = tuple[str, str]
"""(topology key, app)"""


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
    apart: Term | None = None
    near: Term | None = None
    spread: tuple[str, int] | None = None
    """(topology key, maxSkew) over the pods of its app."""


class Uncounted(Plugin):
    """Has nothing against any node, but does not say so in numbers: nodes are tried one by one."""

    name = "Uncounted"

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter:
        return _Anything(cluster.nodes.size)


class _Anything(NodeFilter):
    resolvable = True

    def __init__(self, size: int) -> None:
        self._size = size

    def passes(self, rows: Rows) -> Bools:
        return np.ones(self._size, np.bool_)[rows]


class World:
    """A cluster, and the same as plain lists."""

    def __init__(self, rng: random.Random, *, company: bool, counted: bool) -> None:
        """`company`: pods care about others. `counted`: all that is in the way can be counted."""
        self.rng = rng
        self.company = company
        self.cluster, self.templates = Cluster(), Templates()
        self.room: dict[str, tuple[int, int, int]] = {}
        self.zone: dict[str, str] = {}
        self.on: dict[str, list[Item]] = {}
        self.infos: dict[str, PodInfo] = {}
        plugins = [*DEFAULT_PLUGINS] if counted else [*DEFAULT_PLUGINS, (Uncounted, 0)]
        profile = Profile.of("default-scheduler", [(kind(), weight) for kind, weight in plugins])
        self.algorithm = Algorithm(self.cluster, profile, rng)
        self.promised: dict[str, list[Item]] = {}
        for number in range(rng.randint(1, 6)):
            name = f"n{number}"
            self.room[name] = (rng.randint(2, 8), rng.randint(2, 8), rng.randint(2, 7))
            self.zone[name] = rng.choice("xyz")
            cpu, memory, pods = self.room[name]
            made = node(name, cpu=str(cpu), memory=f"{memory}Gi", pods=str(pods), zone=self.zone[name])
            self.cluster.add_node(made)
            self.on[name] = []
        for number in range(rng.randint(0, 25)):
            name = rng.choice(list(self.room))
            item = self.item(f"p{number}")
            if self.passes(item, name, self.on):
                self.on[name].append(item)
                self.infos[item.name] = self.info(item)
                self.cluster.place(self.infos[item.name], name)

    def item(self, name: str, priority: int | None = None, *, wanted: bool = False) -> Item:
        rng = self.rng
        term = (rng.choice((HOST, ZONE)), rng.choice("ab"))
        cares = self.company and rng.random() < (0.8 if wanted else 0.2)
        how = rng.choice(("apart", "near", "spread") if wanted else ("apart",))
        return Item(
            name=name,
            cpu=rng.randint(0, 4),
            memory=rng.randint(0, 4),
            priority=rng.choice((-5, 0, 0, 3, 7)) if priority is None else priority,
            start=f"2026-01-01T00:00:{rng.randint(0, 9):02}Z",
            app=rng.choice("ab"),
            port=rng.choice((0, 0, 0, 80)),
            apart=term if cares and how == "apart" else None,
            near=term if cares and how == "near" else None,
            spread=(term[0], rng.randint(1, 2)) if cares and how == "spread" else None,
        )

    def info(self, item: Item) -> PodInfo:
        made = pod(item.name, cpu=str(item.cpu) if item.cpu else "", memory=f"{item.memory}Gi" if item.memory else "")
        made.metadata.labels = {"app": item.app}
        made.status.start_time = item.start
        made.spec.priority = item.priority
        if item.port:
            made.spec.containers[0].ports = (ContainerPort(container_port=80, host_port=item.port),)
        if item.apart is not None:
            anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(_term(item.apart),))
            made.spec.affinity = Affinity(pod_anti_affinity=anti)
        if item.near is not None:
            near = PodAffinity(required_during_scheduling_ignored_during_execution=(_term(item.near),))
            made.spec.affinity = Affinity(pod_affinity=near)
        if item.spread is not None:
            key, skew = item.spread
            made.spec.topology_spread_constraints = (
                TopologySpreadConstraint(
                    topology_key=key,
                    max_skew=skew,
                    when_unsatisfiable="DoNotSchedule",
                    label_selector=LabelSelector(match_labels={"app": item.app}),
                ),
            )
        return PodInfo(made, self.templates.of(made))

    def domain(self, key: str, name: str) -> str:
        return name if key == HOST else self.zone[name]

    def there(self, key: str, name: str, on: On) -> list[Item]:
        """Everyone in the node's domain."""
        return [item for other in on if self.domain(key, other) == self.domain(key, name) for item in on[other]]

    def passes(self, item: Item, name: str, on: On) -> bool:
        """Whether the node takes the pod if everyone is where `on` says."""
        cpu, memory, pods = self.room[name]
        everyone = [*on[name], item]
        return (
            not (item.port and any(other.port == item.port for other in on[name]))
            and (not item.cpu or sum(each.cpu for each in everyone) <= cpu)
            and (not item.memory or sum(each.memory for each in everyone) <= memory)
            and len(everyone) <= pods
            and self._spreads(item, name, on)
            and self._has_company(item, name, on)
        )

    def _spreads(self, item: Item, name: str, on: On) -> bool:
        if item.spread is None:
            return True
        key, skew = item.spread
        counts = [sum(each.app == item.app for each in self.there(key, other, on)) for other in on]
        here = sum(each.app == item.app for each in self.there(key, name, on))
        return here + 1 - min(counts) <= skew

    def _has_company(self, item: Item, name: str, on: On) -> bool:
        if item.apart is not None and any(each.app == item.apart[1] for each in self.there(item.apart[0], name, on)):
            return False
        for other, items in on.items():
            for each in items:
                if each.apart is not None and each.apart[1] == item.app:
                    key = each.apart[0]
                    if self.domain(key, other) == self.domain(key, name):
                        return False
        if item.near is None:
            return True
        key, app = item.near
        if not any(each.app == app for items in on.values() for each in items):
            return item.app == app
        return any(each.app == app for each in self.there(key, name, on))

    def takes(self, item: Item, name: str, on: On) -> bool:
        """The same with and without those that are to come there before it."""
        guests = [each for each in self.promised.get(name, ()) if each.priority >= item.priority]
        return self.passes(item, name, on) and self.passes(item, name, {**on, name: [*on[name], *guests]})


On = dict[str, list[Item]]


def _term(term: Term) -> PodAffinityTerm:
    return PodAffinityTerm(topology_key=term[0], label_selector=LabelSelector(match_labels={"app": term[1]}))


def _importance(item: Item) -> tuple[int, str]:
    return (-item.priority, item.start)


@dataclass(frozen=True)
class Budget:
    app: str
    allowed: int
    excused: frozenset[str]

    def covers(self, item: Item) -> bool:
        return item.app == self.app and item.name not in self.excused

    def disruption(self) -> Disruption:
        return Disruption(lambda info: info.template.labels["app"] == self.app, self.allowed, self.excused)


def victims_on(world: World, wanted: Item, name: str, budgets: Sequence[Budget]) -> tuple[list[Item], int] | None:
    """The victims on one node and how many of them a budget protects; None if even without all lower it is no use."""
    higher = [item for item in world.on[name] if item.priority >= wanted.priority]
    lower = sorted((item for item in world.on[name] if item.priority < wanted.priority), key=_importance)

    def takes(present: list[Item]) -> bool:
        return world.takes(wanted, name, {**world.on, name: present})

    if not lower or not takes(higher):
        return None
    left = [budget.allowed for budget in budgets]
    violating, harmless = [], []
    for item in lower:
        violated = False
        for index, budget in enumerate(budgets):
            if budget.covers(item):
                left[index] -= 1
                violated |= left[index] < 0
        (violating if violated else harmless).append(item)
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


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), company=st.booleans(), budgeted=st.booleans(), counted=st.booleans())
def test_the_victims_are_the_rules(seed: int, company: bool, budgeted: bool, counted: bool) -> None:
    rng = random.Random(seed)
    world = World(rng, company=company, counted=counted)
    for number in range(rng.randint(0, 3)):
        # Nominated pods: they have no node, and theirs is kept for them.
        name = rng.choice(list(world.room))
        item = world.item(f"nominated-{number}", rng.choice((0, 5, 9)))
        world.promised.setdefault(name, []).append(item)
        world.algorithm.nominations.set(world.info(item), name)
    names = [item.name for items in world.on.values() for item in items]
    budgets = [
        Budget(rng.choice("ab"), rng.randint(0, 2), frozenset(rng.sample(names, min(len(names), rng.randint(0, 2)))))
        for _ in range(rng.randint(1, 2) if budgeted else 0)
    ]
    wanted = world.item("wanted", 5, wanted=True)
    info = world.info(wanted)
    for _ in range(3):
        decision = world.algorithm.decide(info, lambda: [budget.disruption() for budget in budgets])
        free = [name for name in world.room if world.takes(wanted, name, world.on)]
        if isinstance(decision, Placed):
            assert decision.node_name in free
            return
        assert not free
        assert isinstance(decision, Unplaceable)
        found = {
            name: answer for name in world.room if (answer := victims_on(world, wanted, name, budgets)) is not None
        }
        # Where no pod at all would be near enough, removing some is not even tried.
        if decision.preemption is None:
            assert not found, decision.message
            return
        chosen = world.cluster.nodes.names[decision.preemption.row]
        victims = [victim.key[1] for victim in decision.preemption.victims]
        assert chosen in found
        assert sorted(victims) == sorted(item.name for item in found[chosen][0])
        assert decision.preemption.violations == found[chosen][1]
        assert badness(*found[chosen]) == min(badness(*answer) for answer in found.values())
        # One pod goes by itself, and all is asked again: what was kept by difference must still be true.
        gone = next(item for item in world.on[chosen] if item.name == victims[0])
        world.on[chosen].remove(gone)
        world.cluster.remove(world.infos[gone.name])
