"""Preemption: which pods of lower priority to remove so that a pod fits, if any.

Source: Kubernetes documentation, "Pod Priority and Preemption". Nodes are tried in turns, starting elsewhere each time,
until enough were found that can be made to fit; then the one whose victims matter least is chosen. Where pods are in
the way by nothing but the room they take, a turn is a few hundred nodes and arithmetic (`victims.py`). Otherwise it is
one node and a dry run on the cluster's own columns: pods are taken off, the answer is read, and they are put back
before anything else happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.framework import Candidate, Disruption, Failure, Refusal
from tiphys.scheduler.plugin_args import DefaultPreemptionArgs
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.victims import PRIORITY_OFFSET, Room, VictimTable, importance

MAXIMUM_DRY_RUNS = 100
"""Candidates that are found by dry runs, which keep everybody waiting, at most."""
Found = tuple[list[Candidate], Counter[str]]


def preempt(failure: Failure, args: DefaultPreemptionArgs, table: VictimTable) -> Candidate | Refusal:
    """The best node to make room on for a pod that fits nowhere. Leaves the cluster as it was."""
    info, diagnosis, cluster = failure.info, failure.diagnosis, failure.cluster
    if info.pod.spec.preemption_policy == "Never":
        return Refusal(messages.NEVER_PREEMPTS)
    rows = diagnosis.resolvable
    reasons: Counter[str] = Counter()
    if diagnosis.nodes > len(rows):
        reasons[messages.NOT_HELPFUL] = diagnosis.nodes - len(rows)
    if not len(rows) or min(cluster.priorities, default=info.priority) >= info.priority:
        # The usual case, and it must be cheap: everyone is as important as the pod.
        reasons[messages.NO_VICTIMS] += len(rows)
        return Refusal(messages.unavailable(diagnosis.nodes, +reasons))
    rows = np.roll(rows, -(cluster.position % len(rows)))
    wanted = max(args.min_candidate_nodes_absolute, len(rows) * args.min_candidate_nodes_percentage // 100)
    demand = failure.evaluations.of(info.template).demand()
    budgets = failure.budgets()
    if demand is not None and not budgets:
        reserved = failure.nominations.reserved(info, cluster)
        room = Room(cluster, *demand, reserved, info.priority)
        best, found = table.best(cluster, room, rows, wanted)
        if best is not None:
            return best
        reasons.update(found)
        return Refusal(messages.unavailable(diagnosis.nodes, reasons))
    candidates, found = _dry_runs(failure, rows, min(wanted, MAXIMUM_DRY_RUNS), budgets)
    if not candidates:
        reasons.update(found)
        return Refusal(messages.unavailable(diagnosis.nodes, reasons))
    return min(candidates, key=_badness)


def _dry_runs(failure: Failure, rows: Ints, wanted: int, budgets: Sequence[Disruption]) -> Found:
    info, cluster = failure.info, failure.cluster
    candidates: list[Candidate] = []
    reasons: Counter[str] = Counter()
    for row in map(int, rows):
        lower = [pod for pod in cluster.pods_on[row].values() if pod.priority < info.priority]
        if not lower:
            reasons[messages.NO_VICTIMS] += 1
            continue
        others = failure.nominations.before(info, cluster.nodes.names[row])
        found = _dry_run(info, row, lower, others, cluster, failure.evaluations, budgets)
        if isinstance(found, Candidate):
            candidates.append(found)
            if len(candidates) >= wanted:
                break
        else:
            reasons.update(found)
    return candidates, reasons


def _dry_run(
    info: PodInfo,
    row: int,
    lower: list[PodInfo],
    others: list[PodInfo],
    cluster: Cluster,
    evaluations: Evaluations,
    budgets: Sequence[Disruption],
) -> Candidate | Counter[str]:
    """`others` are to come to the node before the pod, and must leave it room; they may also be what it waits for."""
    node_name = cluster.nodes.names[row]
    removed: list[PodInfo] = []
    guests = [PodInfo(other.pod, other.template) for other in others]

    def takes() -> bool:
        if not evaluations.of(info.template).takes(row):
            return False
        with_guests = True
        if guests:
            for guest in guests:
                cluster.place(guest, node_name)
            with_guests = evaluations.of(info.template).takes(row)
            for guest in guests:
                cluster.remove(guest)
        return with_guests

    try:
        for pod in lower:
            cluster.remove(pod)
            removed.append(pod)
        if not takes():
            why = evaluations.of(info.template).why(row)
            return why or Counter({messages.NOMINATED_ROOM: 1})
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
        covering = [index for index, budget in enumerate(budgets) if budget.covers(pod)]
        for index in covering:
            left[index] -= 1
        (violating if any(left[index] < 0 for index in covering) else harmless).append(pod)
    return violating, harmless


def _badness(candidate: Candidate) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Fewest violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start."""
    victims = candidate.victims
    highest = victims[0].priority if victims else -PRIORITY_OFFSET
    total = sum(pod.priority + PRIORITY_OFFSET for pod in victims)
    earliest = min((pod.start for pod in victims if pod.priority == highest), default="")
    # RFC 3339 times in UTC sort as text; the latest is wanted, so each character counts backwards.
    return (candidate.violations, highest, total, len(victims), tuple(-ord(letter) for letter in earliest))
