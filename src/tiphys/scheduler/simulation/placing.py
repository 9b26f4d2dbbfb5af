"""Places what waits, as the scheduler would: by priority, then age. Victims take their time, as they do in a cluster:
the others are placed meanwhile; then they are gone and made again by their owners, and who removed them has the room.

    waiting ──decide──► placed
       ▲        ├─────► nominated, and victims are leaving ──all others had their turn──┐
       │        └─────► fits nowhere ──something that came or went since makes it fit──┤
       └────────────────────────────────────────────────────────────────────────────────┘
"""

from __future__ import annotations

import heapq
import random
from typing import Final

from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import PodKey
from tiphys.scheduler.framework import Candidate, Rejected
from tiphys.scheduler.gangs.groups import GroupKey
from tiphys.scheduler.profiles import DEFAULT_SCHEDULER_NAME
from tiphys.scheduler.simulation.gang_placing import GangPlacing
from tiphys.scheduler.simulation.outcome import Cause, Victim
from tiphys.scheduler.simulation.world import Case, World, named
from tiphys.scheduler.template import PodInfo, Template

MAXIMUM_PREEMPTIONS: Final = 3
"""How often one pod may have others removed for it: once is enough, unless a plugin takes back what it said."""
_Alike = tuple[Template, int, str, str]


class Placing:
    """Decides on a world. The same `rng`, the same choices."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._algorithms: dict[str, Algorithm] = {
            name: world.snapshot.algorithm(name, rng) for name in world.snapshot.profiles
        }
        #: What was last said of pods that are alike, and the world's epoch then.
        self._failed: dict[_Alike, tuple[int, Unplaceable]] = {}
        self._preemptions: dict[PodInfo, int] = {}
        #: Who is leaving, and for whom; who is to have the room.
        self._leaving: dict[PodKey, tuple[PodInfo, str]] = {}
        self._promised: dict[PodKey, PodInfo] = {}
        self._gangs = GangPlacing(world)

    def settle(self) -> None:
        """Until nothing that waits fits."""
        world = self._world
        cases = list(world.waiting.values())
        while cases:
            placed = self._pass(cases)
            again = self._leave()
            # A pod that came or went may be what another one waited for.
            others = (case for case in world.waiting.values() if case not in again)
            cases = [*again, *(case for case in others if (placed or again) and self._would_fit(case))]

    def _pass(self, cases: list[Case]) -> bool:
        world, placed = self._world, False
        heap = [(-case.info.priority, case.order, case) for case in cases]
        heapq.heapify(heap)
        while heap:
            _, _, case = heapq.heappop(heap)
            if world.waiting.get(case.info.key) is not case or self._is_gated(case):
                continue
            if (gang := self._gangs.of(case)) is not None:
                self._place_gang(gang)
                placed |= world.waiting.get(case.info.key) is not case
                continue
            decision = self._decide(case.info)
            if isinstance(decision, Placed):
                placed |= self._place(case, decision.node_name)
                continue
            case.reason, case.plugins = decision.message, decision.rejected_by
            if decision.preemption is not None and self._may_preempt(case.info):
                self._preempt(case.info, decision.preemption)
        return placed

    def _place_gang(self, gang: GroupKey) -> None:
        """Enough of its pods, or none."""
        trial, cases = self._gangs.attempt(gang, self._algorithms)
        if trial is not None and trial.removals and self._may_preempt(cases[0].info):
            for removal in trial.removals:
                self._preempt(removal.info, removal.candidate)

    def _place(self, case: Case, node_name: str) -> bool:
        world = self._world
        world.snapshot.nominations.remove(case.info.key)
        try:
            world.place(case.info, node_name)
        except Rejected as error:
            case.reason, case.plugins = str(error), frozenset((error.plugin,))
            return False
        return True

    def _decide(self, info: PodInfo) -> Placed | Unplaceable:
        """As the profile says; a pod just like one that was refused, with nothing changed since, is refused too."""
        world, spec = self._world, info.pod.spec
        nominated = world.snapshot.nominations.node_of(info.key) or info.pod.status.nominated_node_name or ""
        alike = (info.template, info.priority, spec.preemption_policy or "", nominated)
        known = self._failed.get(alike)
        if known is not None and known[0] == world.epoch:
            return known[1]
        algorithm = self._algorithms[info.template.scheduler_name]
        decision = algorithm.decide(info, world.snapshot.disruptions)
        if isinstance(decision, Unplaceable) and decision.preemption is None:
            self._failed[alike] = (world.epoch, decision)
        return decision

    def _is_gated(self, case: Case) -> bool:
        pod = case.info.pod
        profile = self._world.snapshot.profiles[pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME]
        plugin, reason = profile.gate(pod)
        case.gated = bool(plugin)
        if plugin:
            case.reason, case.plugins = reason, frozenset((plugin,))
        return case.gated

    def _would_fit(self, case: Case) -> bool:
        if case.gated:
            return False
        evaluations = self._algorithms[case.info.template.scheduler_name].evaluations
        return bool(evaluations.of(case.info.template).feasible().any())

    def _may_preempt(self, info: PodInfo) -> bool:
        count = self._preemptions[info] = self._preemptions.get(info, 0) + 1
        return count <= MAXIMUM_PREEMPTIONS

    def _preempt(self, info: PodInfo, candidate: Candidate) -> None:
        """The node is kept for the pod, and its victims begin to leave."""
        world = self._world
        nominations = world.snapshot.nominations
        node_name = world.cluster.nodes.names[candidate.row]
        for other in nominations.lower(node_name, info.priority):
            nominations.remove(other.key)
        nominations.set(info, node_name)
        self._promised[info.key] = info
        for victim in candidate.victims:
            if victim.key not in self._leaving:
                self._leaving[victim.key] = (victim, named(info.key))
        world.epoch += 1

    def _leave(self) -> list[Case]:
        """Who is leaving is gone; returns who is to be looked at now: those who have the room, those made again."""
        world, again = self._world, list(self._promised)
        for victim, by in self._leaving.values():
            owner, node_name = world.owner(victim.pod), victim.node_name
            world.victims.append(
                Victim(pod=named(victim.key), owner=owner, node=node_name, by=by, recreated=bool(owner))
            )
            world.preempted.append(victim)
            world.take_off(victim)
            if owner:
                world.make_again(victim, Cause.PREEMPTED)
                again.append(victim.key)
            else:
                # What became of it is told once, among the victims.
                world.cases.pop(victim.key, None)
        self._leaving.clear()
        self._promised.clear()
        return [case for key in again if (case := world.waiting.get(key)) is not None]
