"""A gang's turn: its waiting pods are gathered, tried as a whole, and what is to be said of them is put in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tiphys.api.types.core_v1 import Pod
from tiphys.base.logging import get_logger
from tiphys.scheduler.algorithm import Algorithm, Budgets, Unplaceable
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.events import Events
from tiphys.scheduler.gangs.groups import GroupKey
from tiphys.scheduler.gangs.membership import Gangs
from tiphys.scheduler.gangs.minimum_resources import lacking, said_of
from tiphys.scheduler.gangs.room import room_for
from tiphys.scheduler.gangs.trial import Member, Removal, attempt
from tiphys.scheduler.queue import Group, QueuedPod, SchedulingQueue
from tiphys.scheduler.requests import Amounts
from tiphys.scheduler.template import PodInfo

PLUGIN: Final = "GangScheduling"
_FIT: Final = "NodeResourcesFit"
_NOT_ASKED: Final = "an extender is interested in its pods, and extenders are not asked about groups"
_logger = get_logger(__name__)


class Outcome(NamedTuple):
    """What became of a gang. Either some are placed, assumed in the cache, or `refusal` is what all are told."""

    placed: tuple[QueuedPod, ...] = ()
    refused: tuple[QueuedPod, ...] = ()
    """Beyond the minimum, and placed one by one when there is room for them; or all of them."""
    refusal: Unplaceable | None = None
    removals: tuple[Removal, ...] = ()
    """What would make room for the gang; its nodes are to be kept for it."""
    waits_for_victims: bool = False
    failed: bool = False
    """Refused because of what only another try can help."""


class GangCycle:
    """Tries gangs as a whole. `algorithm_of`: what decides for a pod; `info_of`: makes a queued pod's info.

    `wanted`: whether an extender is to be asked about a pod. None is asked about gangs, so such pods are refused.
    """

    def __init__(
        self,
        gangs: Gangs,
        queue: SchedulingQueue,
        cache: PodCache,
        cluster: Cluster,
        algorithm_of: Callable[[Pod], Algorithm],
        info_of: Callable[[QueuedPod], PodInfo],
        wanted: Callable[[Pod], bool] | None = None,
    ) -> None:
        self._gangs = gangs
        self._queue = queue
        self._cache = cache
        self._cluster = cluster
        self._algorithm_of = algorithm_of
        self._info_of = info_of
        self._wanted = wanted

    def needed(self, gang: GroupKey) -> int:
        """How many more of the gang must get a node for it to have as many as it must; 0: they are placed by one."""
        placed = sum(self._cache.get(key) is not None for key in self._gangs.members(gang))
        return max(0, self._gangs.of(gang).minimum - placed)

    def run(self, gang: GroupKey, first: QueuedPod, budgets: Budgets, now: float) -> Outcome:
        """Place at least as many of the gang as are needed, or none. `first` was popped; the others are taken."""
        queued = self._gather(gang, first, now)
        if self._gangs.gate(first.pod):
            # Some are gone since they were let in: the others wait outside again.
            for one in queued:
                self._queue.admit(one, now)
            return Outcome()
        try:
            return self._try(gang, queued, budgets)
        except Exception as error:
            # All of them were taken from the queue: all of them go back.
            _logger.exception("gang not scheduled", gang="/".join(gang))
            return Outcome((), queued, self._refusal(gang, f"scheduling failed: {error!r}", frozenset()), failed=True)

    def _try(self, gang: GroupKey, queued: tuple[QueuedPod, ...], budgets: Budgets) -> Outcome:
        needed = self.needed(gang)
        infos = {self._info_of(one): one for one in queued}
        if self._wanted is not None and any(self._wanted(one.pod) for one in queued):
            return Outcome((), queued, self._refusal(gang, _NOT_ASKED, frozenset()))
        members = [self._member(info) for info in sorted(infos, key=_order)]
        if len(members) < needed:
            said = f"only {len(members)} of at least {needed} pods can be considered now"
            return Outcome((), queued, self._refusal(gang, said, frozenset()))
        waits = any(member.algorithm.waits_for_victims(member.info) for member in members)
        if short := self._lacking(gang):
            # Nobody is removed for it: what one node would gain says little of the sum.
            return Outcome((), queued, self._refusal(gang, said_of(short), frozenset({PLUGIN, _FIT})), (), waits)
        preempting = not waits and min(self._cluster.priorities, default=0) < max(info.priority for info in infos)
        if not preempting and (room := self._room(infos)) < needed:
            rejected_by = frozenset[str]().union(*(self._rejected_by(member) for member in members))
            said = f"the nodes have room for at most {room} of at least {needed} pods{self._reason(members, budgets)}"
            return Outcome((), queued, self._refusal(gang, said, rejected_by | {_FIT}), (), waits)
        trial = attempt(members, needed, self._cache, self._cluster, budgets, preempting=preempting)
        if trial.fits:
            placed = frozenset(trial.placed)
            there = tuple(infos[info] for info in infos if info in placed)
            return Outcome(there, tuple(infos[info] for info in infos if info not in placed))
        why = next(iter(trial.refused.values()))
        rejected_by = frozenset[str]().union(*(refusal.rejected_by for refusal in trial.refused.values()))
        fits = len(members) - len(trial.refused)
        said = f"only {fits} of at least {needed} pods fit. {why.message}"
        return Outcome((), queued, self._refusal(gang, said, rejected_by), trial.removals, waits, trial.failed)

    def helps(self, group: Group, events: Events, groups: int = 1) -> bool | None:
        """As `Algorithm.helps`, for a gang that was refused as a whole: by whether there is room for enough of it."""
        gang = group.gang
        assert isinstance(gang, GroupKey)
        waiting = [queued for key in self._gangs.members(gang) if (queued := self._queue.get(key)) is not None]
        infos = [queued.info for queued in waiting if queued.info is not None and queued.place != "gated"]
        if not infos:
            return True
        if not self._algorithm_of(infos[0].pod).concerns(group, events, groups):
            return False
        return (not self._lacking(gang) and self._room(infos) >= self.needed(gang)) or None

    def _gather(self, gang: GroupKey, first: QueuedPod, now: float) -> tuple[QueuedPod, ...]:
        """Its pods that can be tried now, those that are being deleted left out."""
        others = (self._queue.take(key, now) for key in tuple(self._gangs.members(gang)) if key != first.key)
        gathered: list[QueuedPod] = []
        for queued in (first, *(other for other in others if other is not None)):
            if queued.pod.metadata.deletion_timestamp is None:
                gathered.append(queued)
            else:
                self._queue.remove(queued.key)
        return tuple(gathered)

    def _member(self, info: PodInfo) -> Member:
        algorithm = self._algorithm_of(info.pod)
        return Member(info, algorithm, algorithm.profile)

    def _lacking(self, gang: GroupKey) -> Amounts:
        placed = (info for key in self._gangs.members(gang) if (info := self._cache.get(key)) is not None)
        return lacking(self._gangs.of(gang).minimum_resources, placed, self._cluster)

    @staticmethod
    def _reason(members: Sequence[Member], budgets: Budgets) -> str:
        """Why one of them fits nowhere even now; empty if each has some node."""
        for member in members:
            if not member.algorithm.evaluations.of(member.info.template).feasible().any():
                decision = member.algorithm.decide(member.info, budgets, preempting=False)
                return f". {decision.message}" if isinstance(decision, Unplaceable) else ""
        return ""

    def _room(self, infos: Sequence[PodInfo] | dict[PodInfo, QueuedPod]) -> int:
        kinds = ((info.template, self._algorithm_of(info.pod).evaluations) for info in infos)
        return room_for(kinds, self._cluster)

    @staticmethod
    def _rejected_by(member: Member) -> frozenset[str]:
        return member.algorithm.evaluations.of(member.info.template).diagnose().rejected_by

    @staticmethod
    def _refusal(gang: GroupKey, said: str, rejected_by: frozenset[str]) -> Unplaceable:
        return Unplaceable(f'pod group "{gang.name}": {said}', rejected_by or frozenset({PLUGIN}), None)


def _order(info: PodInfo) -> tuple[int, int, int]:
    """The important before the others, the large before the small: what is left for the last is little."""
    cpu_millis, memory_bytes = info.template.nonzero.tolist()
    return (-info.priority, -cpu_millis, -memory_bytes)
