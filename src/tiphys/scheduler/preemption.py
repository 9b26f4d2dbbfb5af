"""Preemption: which pods of lower priority to remove so that a pod fits, if any.

Source: Kubernetes documentation, "Pod Priority and Preemption". Nodes are tried in turns, starting elsewhere each time,
until enough were found that can be made to fit; then the one whose victims matter least is chosen. Where pods are in
the way by what can be counted (`limits.py`), a turn is a few hundred nodes and arithmetic (`victims.py`). Otherwise it
is one node and a dry run on the cluster's own columns: pods are taken off, the answer is read, and they are put back
before anything else happens.

Upstream samples nodes by minCandidateNodesPercentage and minCandidateNodesAbsolute. Here these are the least that is
looked at: the node chosen is at least as good as upstream's of the same sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.framework import Candidate, Disruption, Failure, Refusal
from tiphys.scheduler.plugin_args import DefaultPreemptionArgs
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.victims import NOT_STARTED, PRIORITY_OFFSET, Room, VictimTable, importance

MAXIMUM_DRY_RUNS = 100
"""Candidates that are found by dry runs, which keep everybody waiting, at most."""


def preempt(failure: Failure, args: DefaultPreemptionArgs, table: VictimTable) -> Candidate | Refusal:
    """The best node to make room on for a pod that fits nowhere. Leaves the cluster as it was."""
    info, diagnosis, cluster = failure.info, failure.diagnosis, failure.cluster
    if info.pod.spec.preemption_policy == "Never":
        return Refusal(messages.NEVER_PREEMPTS)
    nominated = cluster.nodes.rows.get(failure.nominations.node_of(info.key))
    # Where removing pods cannot help any more, it does not matter that some are being removed.
    if (
        nominated is not None
        and nominated in diagnosis.resolvable
        and failure.nominations.waits_for_victims(info, cluster)
    ):
        return Refusal(messages.VICTIMS_TERMINATING)
    rows = diagnosis.resolvable
    reasons: Counter[str] = Counter()
    if diagnosis.nodes > len(rows):
        reasons[messages.NOT_HELPFUL] = diagnosis.nodes - len(rows)
    if not len(rows) or min(cluster.priorities, default=info.priority) >= info.priority:
        # The usual case, and it must be cheap: everyone is as important as the pod.
        reasons[messages.NO_VICTIMS] += len(rows)
        return Refusal(messages.unavailable(diagnosis.nodes, +reasons), ends_nomination=True)
    rows = np.roll(rows, -(cluster.position % len(rows)))
    wanted = max(args.min_candidate_nodes_absolute, len(rows) * args.min_candidate_nodes_percentage // 100)
    best = _best(failure, table, rows, wanted, reasons)
    if best is None:
        return Refusal(messages.unavailable(diagnosis.nodes, reasons), ends_nomination=True)
    return best


def _best(failure: Failure, table: VictimTable, rows: Ints, wanted: int, reasons: Counter[str]) -> Candidate | None:
    info, cluster, nominations = failure.info, failure.cluster, failure.nominations
    evaluation = failure.evaluations.of(info.template)
    limits, complete = evaluation.limits()
    stubborn = evaluation.rejected_otherwise(rows, limits.bits)
    if stubborn.any():
        reasons.update(evaluation.why_otherwise(rows[stubborn], limits.bits))
        rows = rows[~stubborn]
    guests = nominations.guests(info, cluster)
    room = Room(cluster, limits, nominations.reserved(info, cluster), guests, info.priority)
    budgets = failure.budgets()
    # What a guest thinks of the pod is not among the pod's limits: there it is tried.
    picky = {row for row, guest in guests if guest.template.anti_affinity}
    odd = rows if not complete else rows[np.isin(rows, list(picky))] if picky else rows[:0]
    candidates: list[Candidate] = []
    if len(odd) < len(rows):
        best, found = table.best(room, rows[~np.isin(rows, odd)] if len(odd) else rows, wanted, budgets)
        candidates += [best] if best is not None else []
        reasons.update(found)
    if len(odd):
        hopeful = table.hopeful(room, odd, reasons)
        candidates += _dry_runs(failure, hopeful, min(wanted, MAXIMUM_DRY_RUNS), budgets, reasons)
    return min(candidates, key=_badness, default=None)


def _dry_runs(
    failure: Failure, rows: Ints, wanted: int, budgets: Sequence[Disruption], reasons: Counter[str]
) -> list[Candidate]:
    """The first `wanted` candidates, and as many more as it takes to have one without a violated budget."""
    candidates: list[Candidate] = []
    harmless = False
    for row in map(int, rows):
        found = _dry_run(failure, row, budgets)
        if isinstance(found, Candidate):
            candidates.append(found)
            harmless = harmless or not found.violations
            if len(candidates) >= wanted and harmless:
                break
        else:
            reasons.update(found)
    return candidates


def _dry_run(failure: Failure, row: int, budgets: Sequence[Disruption]) -> Candidate | Counter[str]:
    """Others may be to come to the node before the pod: they must have room, and may be what it waits for."""
    info, cluster, evaluations = failure.info, failure.cluster, failure.evaluations
    node_name = cluster.nodes.names[row]
    lower = [pod for pod in cluster.pods_on[row].values() if pod.priority < info.priority]
    others = failure.nominations.before(info, node_name)
    removed: list[PodInfo] = []

    def takes() -> bool:
        if not evaluations.of(info.template).takes(row):
            return False
        if not others:
            return True
        with cluster.hosting(others, node_name):
            return evaluations.of(info.template).takes(row)

    try:
        for pod in lower:
            cluster.remove(pod)
            removed.append(pod)
        if not takes():
            if why := evaluations.of(info.template).why(row):
                return why
            with cluster.hosting(others, node_name):
                return evaluations.of(info.template).why(row)
        violating, harmless = _split(sorted(lower, key=importance), budgets)
        victims: list[PodInfo] = []
        violations = 0
        # Those that need not go are put back, the protected and the most important first.
        for pod in (*violating, *harmless):
            cluster.place(pod, node_name)
            removed.remove(pod)
            if not takes():
                cluster.remove(pod)
                removed.append(pod)
                victims.append(pod)
                violations += pod in violating
        return Candidate(row, tuple(sorted(victims, key=importance)), violations)
    finally:
        for pod in removed:
            cluster.place(pod, node_name)


def _split(pods: list[PodInfo], budgets: Sequence[Disruption]) -> tuple[list[PodInfo], list[PodInfo]]:
    left = [budget.allowed for budget in budgets]
    violating: list[PodInfo] = []
    harmless: list[PodInfo] = []
    for pod in pods:
        covering = [
            index for index, budget in enumerate(budgets) if pod.key[1] not in budget.excused and budget.covers(pod)
        ]
        for index in covering:
            left[index] -= 1
        (violating if any(left[index] < 0 for index in covering) else harmless).append(pod)
    return violating, harmless


def _badness(candidate: Candidate) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Fewest violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start."""
    victims = candidate.victims
    highest = victims[0].priority if victims else -PRIORITY_OFFSET
    total = sum(pod.priority + PRIORITY_OFFSET for pod in victims)
    earliest = min((pod.start or NOT_STARTED for pod in victims if pod.priority == highest), default="")
    # RFC 3339 times in UTC sort as text; the latest is wanted, so each character counts backwards.
    return (candidate.violations, highest, total, len(victims), tuple(-ord(letter) for letter in earliest))
