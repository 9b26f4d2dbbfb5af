"""Gangs under whatever comes and goes: never half a gang, nothing leaks, and what fits is placed in the end."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from tests.unit.scheduler.gangs.groups import LABEL
from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.algorithm import Algorithm, Placed
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.events import Events
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.gangs.cycle import GangCycle
from tiphys.scheduler.gangs.groups import GroupKey, PodGroup
from tiphys.scheduler.gangs.membership import Gangs
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.queue import Group, QueuedPod, SchedulingQueue
from tiphys.scheduler.template import PodInfo, Templates

API_GROUP = "scheduling.x-k8s.io"


class World:
    """A scheduler without an apiserver: whoever is placed is bound at once. Time is a number."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = 0.0
        self.cluster = Cluster()
        self.templates = Templates()
        self.cache = PodCache(self.cluster, self.templates, assumed_seconds=1e9)
        self.gangs = Gangs()
        self.gangs.served = frozenset({API_GROUP})
        self.queue = SchedulingQueue(
            initial_backoff_seconds=1,
            maximum_backoff_seconds=10,
            unschedulable_seconds=300,
            gate=lambda pod: ("GangScheduling", reason) if (reason := self.gangs.gate(pod)) else ("", ""),
        )
        self.algorithm = Algorithm(self.cluster, default_profile(), rng)
        self.cycle = GangCycle(self.gangs, self.queue, self.cache, self.cluster, lambda _: self.algorithm, self.info)
        self.pods: dict[PodKey, Pod] = {}
        self.serial = 0

    def info(self, queued: QueuedPod) -> PodInfo:
        if queued.info is None:
            queued.info = PodInfo(queued.pod, self.templates.of(queued.pod))
        return queued.info

    def group(self, pod: Pod) -> GroupKey | None:
        return self.gangs.group_of(pod)

    def add_pod(self, group: str, cpu: str) -> None:
        self.serial += 1
        made = pod(f"p{self.serial}", cpu=cpu, labels={LABEL: group} if group else {})
        key = ("default", made.metadata.name or "")
        self.pods[key] = made
        woken = frozenset(self.gangs.seen(made))
        self.queue.add(made, self.now)
        self.queue.regate(lambda queued: queued.key in woken, self.now)

    def delete_pod(self, key: PodKey) -> None:
        del self.pods[key]
        self.queue.remove(key)
        self.gangs.gone(key)
        if self.cache.gone(key) is not None:
            self.happened(Trigger.POD_GONE)

    def happened(self, trigger: Trigger) -> None:
        events = Events()
        events.add(trigger)

        def helps(group: Group, _: Trigger) -> bool | None:
            return (self.cycle if group.gang is not None else self.algorithm).helps(group, events)

        self.queue.move(trigger, helps, self.now)

    def turn(self) -> None:
        while (queued := self.queue.pop(self.now)) is not None:
            gang = self.gangs.gang_of(queued.pod)
            if gang is not None and self.cycle.needed(gang):
                outcome = self.cycle.run(gang, queued, list, self.now)
                for one in outcome.placed:
                    self.queue.remove(one.key)
                for one in outcome.refused:
                    if outcome.refusal is None:
                        self.queue.failed(one, self.now)
                    else:
                        self.queue.unschedulable(one, outcome.refusal.rejected_by, self.now, gang=gang)
                continue
            info = self.info(queued)
            decision = self.algorithm.decide(info, list)
            if isinstance(decision, Placed):
                self.cache.assume(info, decision.node_name)
                self.queue.remove(queued.key)
            else:
                self.queue.unschedulable(queued, decision.rejected_by, self.now)

    def settle(self) -> None:
        """Turns, until nobody has a turn to come within the longest backoff."""
        for _ in range(12):
            self.turn()
            self.now += 1.0
            self.queue.flush(self.now)
        self.turn()

    def check(self, *, broken: set[GroupKey]) -> None:
        placed = {key for key in self.pods if self.cache.get(key) is not None}
        waiting = {queued.key for queued in self.queue}
        assert placed | waiting == set(self.pods)
        assert not placed & waiting
        assert sum(self.queue.counts().values()) == len(waiting)
        cpu = Counter(dict.fromkeys(self.cluster.nodes.rows, 0))
        for key in placed:
            info = self.cache.get(key)
            assert info is not None
            cpu[info.node_name] += info.template.requests.get("cpu", 0)
        for name, amount in cpu.items():
            row = self.cluster.nodes.rows[name]
            assert self.cluster.nodes.requested[row, 0] == amount
        rows = np.flatnonzero(self.cluster.nodes.active)
        assert (self.cluster.nodes.requested[rows] <= self.cluster.nodes.allocatable[rows]).all()
        members: Counter[GroupKey] = Counter(
            group for key in placed if (group := self.group(self.pods[key])) is not None
        )
        for gang, count in members.items():
            # One whose pods were deleted keeps the others: it is enforced when pods are placed.
            assert count >= self.gangs.of(gang).minimum or gang in broken, f"{gang} is placed in part: {count}"


@pytest.mark.parametrize("seed", range(60))
def test_no_gang_is_ever_placed_in_part(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    minimum = {f"g{number}": rng.randint(1, 5) for number in range(4)}
    for name in rng.sample(sorted(minimum), 3):
        world.gangs.set(GroupKey(API_GROUP, "default", name), PodGroup(minimum[name]))
    broken: set[GroupKey] = set()
    for number in range(rng.randint(1, 3)):
        world.cluster.add_node(node(f"n{number}", cpu=str(rng.randint(1, 4))))
    for _ in range(40):
        act = rng.random()
        if act < 0.55:
            world.add_pod(rng.choice(["", *minimum]), rng.choice(["500m", "1", "2"]))
        elif act < 0.75 and world.pods:
            key = rng.choice(sorted(world.pods))
            if world.cache.get(key) is not None and (group := world.group(world.pods[key])) is not None:
                broken.add(group)
            world.delete_pod(key)
        elif act < 0.85:
            name = f"n{len(world.cluster.nodes.rows)}"
            world.cluster.add_node(node(name, cpu=str(rng.randint(1, 4))))
            world.happened(Trigger.NODE_ADDED)
        else:
            world.now += rng.choice([0.1, 1.0, 5.0])
            world.queue.flush(world.now)
        world.turn()
        world.check(broken=broken)
    # With room for all, everybody who is let in gets a node.
    for number in range(40):
        world.cluster.add_node(node(f"big{number}", cpu="8"))
    world.happened(Trigger.NODE_ADDED)
    world.settle()
    world.check(broken=broken)
    left = [queued for queued in world.queue if queued.place != "gated"]
    assert left == []
