"""Nodes grouped by the same set of reasons, and named by what they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from tiphys.api.types.core_v1 import Toleration
from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.explaining.explanation import MAXIMUM_EXAMPLES, shorten
from tiphys.scheduler.explaining.judging import Judgement, Reason
from tiphys.scheduler.nodes import CORDON_TAINT, HOSTNAME, Taints
from tiphys.scheduler.tolerations import NO_EXECUTE, NO_SCHEDULE, untolerated

TAINT_TOLERATION: Final = "TaintToleration"
NODE_UNSCHEDULABLE: Final = "NodeUnschedulable"
MAXIMUM_LABELS: Final = 4
MAXIMUM_VALUES: Final = 3

#: Labels by which people know their nodes, the most telling first.
TELLING: Final = (
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "kubernetes.azure.com/agentpool",
    "node.kubernetes.io/pool",
    "pool",
    "topology.kubernetes.io/region",
    "kubernetes.io/arch",
    "kubernetes.io/os",
)


class Group(NamedTuple):
    """The rows that reject the pod for exactly `reasons`."""

    rows: Ints
    reasons: tuple[Reason, ...]

    def of(self, plugin: str) -> tuple[Reason, ...]:
        return tuple(reason for reason in self.reasons if reason.plugin == plugin)


def reasons_of(judgement: Judgement, cluster: Cluster) -> list[Reason]:
    """All reasons; a taint is one for itself, and the one that a cordon puts on is the cordon's."""
    found: list[Reason] = []
    for reason in judgement.reasons():
        if reason.plugin == TAINT_TOLERATION:
            found += _by_taint(reason, judgement, cluster)
        else:
            found.append(reason)
    return found


def group(judgement: Judgement, reasons: Sequence[Reason]) -> list[Group]:
    """The rejecting nodes by their set of reasons: those with few reasons first, then large groups."""
    # The sum of a random-looking number per reason stands for the set; columns stay columns.
    signature = np.zeros(len(judgement.active), np.uint64)
    for index, reason in enumerate(reasons):
        signature[reason.rows] += np.uint64(_scatter(index))
    rows = np.flatnonzero(judgement.active & ~judgement.feasible)
    if not len(rows) or not reasons:
        return []
    _, first, inverse, counts = np.unique(signature[rows], return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.concatenate(([0], np.cumsum(counts)))
    why: list[list[Reason]] = [[] for _ in first]
    for reason in reasons:
        for number in np.flatnonzero(reason.rows[rows[first]]):
            why[number].append(reason)
    # No reason at all: only what is the pod's own keeps it from these.
    groups = [
        Group(rows[order[starts[number] : starts[number + 1]]], tuple(found))
        for number, found in enumerate(why)
        if found
    ]
    groups.sort(key=lambda found: (len(found.reasons), -len(found.rows), int(found.rows[0])))
    return groups


def shared_labels(rows: Ints, cluster: Cluster, more: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """The labels that name these nodes: all have the key, in few values, and in fewer than the whole cluster has.

    `more` are keys the pod itself speaks of.
    """
    found: dict[str, tuple[str, ...]] = {}
    nodes = cluster.nodes
    for key in dict.fromkeys((*more, *TELLING)):
        if key == HOSTNAME or len(found) >= MAXIMUM_LABELS:
            continue
        labels = nodes.labels(key)
        present = np.unique(labels.column[rows])
        if present[0] < 0 or len(present) > MAXIMUM_VALUES:
            continue
        if not np.array_equal(present, np.unique(labels.column[nodes.active])):
            found[shorten(key, 100)] = tuple(labels.values[number] for number in present)
    return found


def shared_taints(rows: Ints, cluster: Cluster) -> tuple[str, ...]:
    """The taints that all these nodes have."""
    nodes = cluster.nodes
    sets = [set(nodes.taint_sets[number]) for number in np.unique(nodes.taints[rows])[:64]]
    both = set.intersection(*sets) if sets else set()
    return tuple(shorten(taint_text(taint), 120) for taint in sorted(both)[:MAXIMUM_VALUES])


def examples(rows: Ints, cluster: Cluster) -> tuple[str, ...]:
    return tuple(sorted(cluster.nodes.names[row] for row in rows[:MAXIMUM_EXAMPLES]))


def taint_text(taint: tuple[str, str, str]) -> str:
    """``key=value:effect``, as kubectl writes it."""
    key, value, effect = taint
    return f"{key}={value}:{effect}" if value else f"{key}:{effect}"


def hindering(taints: Taints, tolerations: tuple[Toleration, ...], *, cordoned: bool) -> Taints:
    """Which of a node's taints keep the pod away; a cordoned node's own taint goes with the cordon."""
    effects = (NO_SCHEDULE, NO_EXECUTE)
    return tuple(
        taint
        for taint in taints
        if untolerated((taint,), tolerations, effects) and not (cordoned and taint[0] == CORDON_TAINT)
    )


def _by_taint(reason: Reason, judgement: Judgement, cluster: Cluster) -> list[Reason]:
    nodes, tolerations = cluster.nodes, judgement.template.tolerations
    explained = judgement.rejects.get(NODE_UNSCHEDULABLE)
    columns: dict[str, Bools] = {}
    for number in np.unique(nodes.taints[reason.rows]):
        rows = reason.rows & (nodes.taints == number)
        for cordoned in (False, True):
            some = rows if explained is None else rows & (explained if cordoned else ~explained)
            if (cordoned and explained is None) or not some.any():
                continue
            taints = hindering(nodes.taint_sets[number], tolerations, cordoned=cordoned)
            if taints:
                subject = ", ".join(map(taint_text, taints))
                known = columns.get(subject)
                columns[subject] = some if known is None else known | some
    return [Reason(reason.plugin, reason.words, subject, rows) for subject, rows in columns.items()]


def _scatter(index: int) -> int:
    """A number with many different bits for each index (splitmix64's finisher)."""
    mixed = (index + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return mixed ^ mixed >> 31
