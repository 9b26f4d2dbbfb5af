"""Gangs in a simulation: enough of their waiting pods are placed together, or none."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.scheduler.algorithm import Algorithm
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.framework import Point
from tiphys.scheduler.gangs.cycle import PLUGIN
from tiphys.scheduler.gangs.groups import GroupKey
from tiphys.scheduler.gangs.minimum_resources import lacking, said_of
from tiphys.scheduler.gangs.trial import Member, Trial, attempt
from tiphys.scheduler.requests import Amounts
from tiphys.scheduler.simulation.world import Case, World
from tiphys.scheduler.template import PodInfo, Templates


class GangPlacing:
    """Tries gangs on a world, each once as long as nothing changes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gangs = world.snapshot.handle.gangs
        self._tried: dict[GroupKey, int] = {}
        self._knowing = frozenset(
            name
            for name, profile in world.snapshot.profiles.items()
            if any(plugin.name == PLUGIN for plugin in profile.at(Point.PRE_ENQUEUE))
        )

    def of(self, case: Case) -> GroupKey | None:
        """The gang that the pod must be placed with; None if it is placed by itself."""
        if case.info.template.scheduler_name not in self._knowing:
            return None
        gang = self._gangs.gang_of(case.info.pod)
        return gang if gang is not None and self._needed(gang) else None

    def attempt(self, gang: GroupKey, algorithms: Mapping[str, Algorithm]) -> tuple[Trial | None, list[Case]]:
        """Place enough of its waiting pods, or say of all why not; with them. None: it was not tried."""
        world = self._world
        cases = [case for key in self._gangs.members(gang) if (case := world.waiting.get(key)) and not case.gated]
        if self._tried.get(gang) == world.epoch:
            return None, cases
        if (short := self._lacking(gang)) and self._needed(gang):
            self._tried[gang] = world.epoch
            for case in cases:
                case.reason, case.plugins = f'pod group "{gang.name}": {said_of(short)}', frozenset((PLUGIN,))
            return None, cases
        needed = self._needed(gang)
        members = [_member(case.info, algorithms) for case in sorted(cases, key=_order)]
        # A cache of its own: what stays is adopted by the world, and the rest was forgotten.
        cache = PodCache(world.cluster, Templates(), assumed_seconds=0.0)
        lower = min(world.cluster.priorities, default=0) < max(case.info.priority for case in cases)
        trial = attempt(members, needed, cache, world.cluster, world.snapshot.disruptions, preempting=lower)
        if trial.fits:
            for info in trial.placed:
                world.adopt(info)
            return trial, cases
        self._tried[gang] = world.epoch
        fits = len(members) - len(trial.refused)
        why = next((refused.message for refused in trial.refused.values()), "")
        for case in cases:
            case.reason = f'pod group "{gang.name}": only {fits} of at least {needed} pods fit. {why}'.rstrip()
            rejecting = (refused.rejected_by for refused in trial.refused.values())
            case.plugins = frozenset[str]().union(*rejecting) or frozenset((PLUGIN,))
        return trial, cases

    def _lacking(self, gang: GroupKey) -> Amounts:
        bound = self._world.bound
        placed = (bound[key] for key in self._gangs.members(gang) if key in bound)
        return lacking(self._gangs.of(gang).minimum_resources, placed, self._world.cluster)

    def _needed(self, gang: GroupKey) -> int:
        """How many more of it must get a node."""
        placed = sum(key in self._world.bound for key in self._gangs.members(gang))
        return max(0, self._gangs.of(gang).minimum - placed)


def _member(info: PodInfo, algorithms: Mapping[str, Algorithm]) -> Member:
    algorithm = algorithms[info.template.scheduler_name]
    return Member(info, algorithm, algorithm.profile)


def _order(case: Case) -> tuple[int, int, int]:
    """As the scheduler's: the important before the others, the large before the small."""
    cpu_millis, memory_bytes = case.info.template.nonzero.tolist()
    return (-case.info.priority, -cpu_millis, -memory_bytes)
