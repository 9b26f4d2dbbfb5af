"""Preemption: which pods of lower priority to remove so that a pod fits, if any.

Source: Kubernetes documentation, "Pod Priority and Preemption". A dry run on the cluster's own columns: pods are taken
off a node, the answer is read, and they are put back before anything else happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tiphys.scheduler import messages
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Diagnosis, Evaluations
from tiphys.scheduler.framework import Candidate, Disruption, Refusal
from tiphys.scheduler.template import PodInfo

MAXIMUM_CANDIDATES = 100
_PRIORITY_OFFSET = 1 << 31


def preempt(
    info: PodInfo,
    diagnosis: Diagnosis,
    cluster: Cluster,
    evaluations: Evaluations,
    budgets: Sequence[Disruption],
) -> Candidate | Refusal:
    """The best node to make room on for `info`, which `diagnosis` says fits nowhere. Leaves `cluster` as it was."""
    if info.pod.spec.preemption_policy == "Never":
        return Refusal(messages.NEVER_PREEMPTS)
    candidates: list[Candidate] = []
    reasons: Counter[str] = Counter()
    unhelpful = diagnosis.nodes - len(diagnosis.resolvable)
    if unhelpful:
        reasons[messages.NOT_HELPFUL] = unhelpful
    if min(cluster.priorities, default=info.priority) >= info.priority:
        # The usual case, and it must be cheap: everyone is as important as the pod.
        reasons[messages.NO_VICTIMS] += len(diagnosis.resolvable)
        return Refusal(messages.unavailable(diagnosis.nodes, +reasons))
    for row in map(int, diagnosis.resolvable):
        lower = [pod for pod in cluster.pods_on[row].values() if pod.priority < info.priority]
        if not lower:
            reasons[messages.NO_VICTIMS] += 1
            continue
        if len(candidates) >= MAXIMUM_CANDIDATES:
            break
        found = _dry_run(info, row, lower, cluster, evaluations, budgets)
        if isinstance(found, Candidate):
            candidates.append(found)
        else:
            reasons.update(found)
    if not candidates:
        return Refusal(messages.unavailable(diagnosis.nodes, reasons))
    return min(candidates, key=_badness)


def _dry_run(
    info: PodInfo,
    row: int,
    lower: list[PodInfo],
    cluster: Cluster,
    evaluations: Evaluations,
    budgets: Sequence[Disruption],
) -> Candidate | Counter[str]:
    node_name = cluster.nodes.names[row]
    removed: list[PodInfo] = []
    try:
        for pod in lower:
            cluster.remove(pod)
            removed.append(pod)
        evaluation = evaluations.of(info.template)
        if not evaluation.takes(row):
            return evaluation.why(row)
        violating, harmless = _split(sorted(lower, key=_importance), budgets)
        victims: list[PodInfo] = []
        violations = 0
        # Those that need not go are put back, the most important and the protected first.
        for pod in (*violating, *harmless):
            cluster.place(pod, node_name)
            removed.remove(pod)
            if not evaluations.of(info.template).takes(row):
                cluster.remove(pod)
                removed.append(pod)
                victims.append(pod)
                violations += pod in violating
        return Candidate(row, tuple(sorted(victims, key=_importance)), violations)
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


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important pod first: higher priority, then earlier start."""
    return (-pod.priority, pod.start)


def _badness(candidate: Candidate) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Fewest violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start."""
    victims = candidate.victims
    highest = victims[0].priority if victims else -_PRIORITY_OFFSET
    total = sum(pod.priority + _PRIORITY_OFFSET for pod in victims)
    earliest = min((pod.start for pod in victims if pod.priority == highest), default="")
    # RFC 3339 times in UTC sort as text; the latest is wanted, so each character counts backwards.
    return (candidate.violations, highest, total, len(victims), tuple(-ord(letter) for letter in earliest))
