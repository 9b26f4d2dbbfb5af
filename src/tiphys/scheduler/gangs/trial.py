"""Places the pods of a gang one after the other, each where the others before leave room, and counts how many fit.

    place all that fit ──enough──► they stay, assumed                          rolled back ──► (as before)
           └── too few ──► others make room, pod by pod ──enough──► whom to remove ───┤
                                      └── still too few ──► why ──────────────────────┘

Between the first and the last nothing else is decided: no two gangs ever hold half of what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tiphys.scheduler.algorithm import Algorithm, Budgets, Placed, Unplaceable
from tiphys.scheduler.binding import reserve, unreserve
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Candidate, Disruption, Rejected
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo


class Member(NamedTuple):
    """A pod of a gang that has no node, and what decides for it."""

    info: PodInfo
    algorithm: Algorithm
    profile: Profile


class Removal(NamedTuple):
    """Pods to remove so that `info` fits beside the others of its gang; none if its node is only to be kept for it."""

    info: PodInfo
    candidate: Candidate


class Trial(NamedTuple):
    """`fits`: the placed ones are assumed in the cache, and reserved. Otherwise nothing has changed."""

    fits: bool
    placed: tuple[PodInfo, ...]
    refused: dict[PodInfo, Unplaceable]
    """Why those did not fit that did not, beside those that did."""
    removals: tuple[Removal, ...] = ()
    """If it does not fit, but would without these pods: for every member that would be placed then."""
    failed: bool = False
    """If it does not fit, because of what only another try can help."""


def attempt(
    members: Sequence[Member], needed: int, cache: PodCache, cluster: Cluster, budgets: Budgets, *, preempting: bool
) -> Trial:
    """Place at least `needed` of the members, or none. `preempting`: see whether others may make room."""
    placed: list[PodInfo] = []
    # What is kept for a pod is what it takes when it is placed: it must not count twice.
    promised = {member.info: member.algorithm.nominations.node_of(member.info.key) for member in members}
    trial: Trial | None = None
    try:
        trial = _attempt(members, needed, cache, cluster, budgets, placed, preempting=preempting)
    finally:
        if trial is None or not trial.fits:
            by_info = {member.info: member for member in members}
            for info in reversed(placed):
                unreserve(info, by_info[info].profile)
                cache.forget(info)
                if promised[info]:
                    by_info[info].algorithm.nominations.set(info, promised[info])
    return trial


def _attempt(
    members: Sequence[Member],
    needed: int,
    cache: PodCache,
    cluster: Cluster,
    budgets: Budgets,
    placed: list[PodInfo],
    *,
    preempting: bool,
) -> Trial:
    left = list(members)
    refused: dict[PodInfo, Unplaceable] = {}
    errors: list[Rejected] = []
    while left:
        before = len(placed)
        left = [member for member in left if not _place(member, cache, budgets, placed, refused, errors)]
        if len(placed) == before or not any(_may_fit_later(member.info) for member in left):
            break
    if len(placed) >= needed:
        return Trial(True, tuple(placed), refused)
    removals: list[Removal] = []
    failed = any(not error.unschedulable for error in errors)
    if preempting and left and not failed:
        removals = _make_room(left, needed, cache, cluster, budgets, placed)
    return Trial(False, tuple(placed), refused, tuple(removals), failed)


def _may_fit_later(info: PodInfo) -> bool:
    """Who wants company, or an even spread, may fit now that others are placed; nobody else does."""
    return bool(info.template.affinity or info.template.spread)


def _place(
    member: Member,
    cache: PodCache,
    budgets: Budgets,
    placed: list[PodInfo],
    refused: dict[PodInfo, Unplaceable],
    errors: list[Rejected],
) -> bool:
    info = member.info
    like = next((other for other in refused if other.template is info.template), None)
    if like is not None and like is not info and info.priority <= like.priority and not _may_fit_later(info):
        # Since that one was refused, pods have only come.
        refused[info] = refused[like]
        return False
    decision = member.algorithm.decide(info, budgets, preempting=False)
    if isinstance(decision, Unplaceable):
        refused[info] = decision
        return False
    cache.assume(info, decision.node_name)
    try:
        # At once: what this one takes, the next one cannot have.
        reserve(info, member.profile)
    except Rejected as error:
        unreserve(info, member.profile)
        cache.forget(info)
        errors.append(error)
        refused[info] = Unplaceable(str(error), frozenset({error.plugin}), None)
        return False
    refused.pop(info, None)
    member.algorithm.nominations.remove(info.key)
    placed.append(info)
    return True


def _make_room(
    left: Sequence[Member], needed: int, cache: PodCache, cluster: Cluster, budgets: Budgets, placed: list[PodInfo]
) -> list[Removal]:
    """Whom to remove so that `needed` of the gang fit; empty if that cannot be. `placed` gains those who are placed."""
    removed: list[tuple[PodInfo, str]] = []
    removals = [Removal(info, Candidate(info.row, ())) for info in placed]
    try:
        for position, member in enumerate(left):
            if len(placed) >= needed or len(placed) + len(left) - position < needed:
                break
            decision = member.algorithm.decide(member.info, _after(budgets, removed), preempting=True)
            if isinstance(decision, Placed):
                candidate = Candidate(cluster.nodes.rows[decision.node_name], ())
            elif decision.preemption is not None and not any(pod in placed for pod in decision.preemption.victims):
                candidate = decision.preemption
            else:
                # Nobody can make room; or only its own could, and that is no way to make it whole.
                continue
            for victim in candidate.victims:
                removed.append((victim, victim.node_name))
                cluster.remove(victim)
            cache.assume(member.info, cluster.nodes.names[candidate.row])
            member.algorithm.nominations.remove(member.info.key)
            placed.append(member.info)
            removals.append(Removal(member.info, candidate))
    finally:
        for victim, node_name in reversed(removed):
            cluster.place(victim, node_name)
    return removals if removed and len(placed) >= needed else []


def _after(budgets: Budgets, removed: Sequence[tuple[PodInfo, str]]) -> Callable[[], list[Disruption]]:
    """What the budgets have left once these pods are gone."""

    def left() -> list[Disruption]:
        return [
            budget._replace(allowed=budget.allowed - sum(budget.covers(victim) for victim, _ in removed))
            for budget in budgets()
        ]

    return left
