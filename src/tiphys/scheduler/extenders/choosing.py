"""Which nodes extenders are asked about, and what follows from what they said, on the cluster as it is then. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tiphys.scheduler.algorithm import EXTENDER, Algorithm, Budgets, Placed, Unplaceable
from tiphys.scheduler.arrays import ABSENT, Ints
from tiphys.scheduler.template import PodInfo


class Opinion(NamedTuple):
    """What extenders said of the nodes that they were asked about."""

    asked: frozenset[str]
    allowed: frozenset[str]
    failed: Mapping[str, str]
    """By node, why not."""
    unresolvable: Mapping[str, str]
    """The same, where removing pods does not help."""
    scores: Mapping[str, int]
    """To be added to the plugins'."""


def candidates(algorithm: Algorithm, info: PodInfo) -> Ints:
    """The rows of the nodes that can take the pod as far as plugins say."""
    feasible = algorithm.evaluations.of(info.template).feasible().copy()
    blocked = algorithm.nominations.blocked(info, algorithm.cluster)
    feasible[list(blocked)] = False
    rows = np.flatnonzero(feasible)
    if len(algorithm.nominations):
        rows = rows[[algorithm.leaves_room(info, int(row)) for row in rows]] if len(rows) else rows
    return rows


def nominated(algorithm: Algorithm, info: PodInfo, rows: Ints) -> int:
    """The row of the node that is kept for the pod, if it is one of `rows`; else ABSENT."""
    name = algorithm.nominations.node_of(info.key) or info.pod.status.nominated_node_name or ""
    row = algorithm.cluster.nodes.rows.get(name, ABSENT)
    return row if row != ABSENT and row in rows else ABSENT


def choose(
    algorithm: Algorithm, info: PodInfo, opinion: Opinion, budgets: Budgets, rng: random.Random
) -> Placed | Unplaceable | None:
    """What becomes of the pod; None if all that was allowed is taken, or there are other nodes, meanwhile: ask anew."""
    nodes = algorithm.cluster.nodes
    rows = candidates(algorithm, info)
    if not opinion.allowed:
        if any(nodes.names[row] not in opinion.asked for row in rows.tolist()):
            # A node that nobody was asked about, perhaps the one that is kept for the pod.
            return None
        return _nowhere(algorithm, info, opinion, budgets, rows)
    among = np.zeros(nodes.size, np.bool_)
    among[[row for row in rows.tolist() if nodes.names[row] in opinion.allowed]] = True
    if not among.any():
        return None
    totals = algorithm.evaluations.of(info.template).totals_among(among)
    for name, score in opinion.scores.items():
        row = nodes.rows.get(name, ABSENT)
        if row != ABSENT and among[row]:
            totals[row] += score
    best = np.flatnonzero(among & (totals == totals.max(where=among, initial=np.iinfo(np.int64).min)))
    return Placed(nodes.names[int(best[rng.randrange(len(best))])])


def _nowhere(algorithm: Algorithm, info: PodInfo, opinion: Opinion, budgets: Budgets, rows: Ints) -> Unplaceable | None:
    """No extender-allowed node: who rejects, in whose words. Plugins' rejections may still be helped by preemption."""
    cluster = algorithm.cluster
    names = cluster.nodes.names
    asked = {names[row]: row for row in rows.tolist()}
    evaluation = algorithm.evaluations.of(info.template)
    diagnosis = evaluation.diagnose()
    said = Counter(why for name in asked if (why := (dict(opinion.failed) | dict(opinion.unresolvable)).get(name)))
    resolvable = diagnosis.resolvable
    if min(cluster.priorities, default=info.priority) >= info.priority:
        # Nobody could be removed for it, and that is what is said of nodes where removing might help an extender.
        more = [row for name, row in asked.items() if name not in opinion.unresolvable]
        resolvable = np.union1d(resolvable, np.array(more, np.int64))
    diagnosis = diagnosis._replace(
        reasons=diagnosis.reasons + said,
        rejected_by=diagnosis.rejected_by | {EXTENDER},
        resolvable=resolvable,
        pod_reason="",
    )
    feasible = np.flatnonzero(evaluation.feasible())
    blocked = np.setdiff1d(feasible, rows).tolist()
    return algorithm.unplaceable(info, diagnosis, blocked, budgets)
