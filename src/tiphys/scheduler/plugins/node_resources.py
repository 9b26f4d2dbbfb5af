"""NodeResourcesFit (with LeastAllocated scores) and NodeResourcesBalancedAllocation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import MAXIMUM_SCORE, NodeFilter, NodeScore, Plugin, Trigger
from tiphys.scheduler.nodes import CPU_COLUMN, MEMORY_COLUMN, PODS_COLUMN
from tiphys.scheduler.template import Template


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_GONE | Trigger.POD_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        return _Fit(template, cluster)

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        return _LeastAllocated(template, cluster)


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        vector = cluster.vector(template)
        # A pod that requests neither changes no balance.
        return _Balanced(vector, cluster) if vector[CPU_COLUMN] or vector[MEMORY_COLUMN] else None


class _Fit(NodeFilter):
    resolvable = True

    def __init__(self, template: Template, cluster: Cluster) -> None:
        vector = cluster.vector(template)
        # Only what is asked for must fit: a node over its capacity in another resource is no worse for it.
        self._columns = np.flatnonzero(vector)
        self._vector = vector[self._columns]
        self._nodes = cluster.nodes
        self._words = ["Too many pods" if c == PODS_COLUMN else f"Insufficient {name}"
                       for name, c in cluster.nodes.resources.items() if vector[c]]  # fmt: skip

    def passes(self, rows: Rows) -> Bools:
        passes: Bools = np.logical_and.reduce(self._fits(rows), axis=1)
        return passes

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        fits = self._fits(rows)
        for index, words in enumerate(self._words):
            yield words, ~fits[:, index]

    def unresolvable(self, rows: Ints) -> Bools:
        least = self._nodes.allocatable[rows][:, self._columns]
        return np.asarray((least < self._vector).any(axis=1), np.bool_)

    def _fits(self, rows: Rows) -> Bools:
        # (rows, resources asked for); resource columns are ordered by name in `resources`, as the words are.
        nodes = self._nodes
        free = nodes.allocatable[rows] - nodes.requested[rows]
        fits: Bools = free[:, self._columns] >= self._vector
        return fits


class _LeastAllocated(NodeScore):
    def __init__(self, template: Template, cluster: Cluster) -> None:
        self._nodes = cluster.nodes
        self._nonzero = template.nonzero

    def score(self, rows: Rows) -> Ints:
        allocatable = self._nodes.allocatable[rows, : MEMORY_COLUMN + 1]
        free = allocatable - self._nodes.nonzero[rows] - self._nonzero
        np.maximum(free, 0, out=free)
        # A resource the node does not have gives 0 * 100 // 1 and is left out of the mean.
        scores = free * MAXIMUM_SCORE // np.maximum(allocatable, 1)
        weights = np.count_nonzero(allocatable, axis=1)
        mean: Ints = scores.sum(axis=1) // np.maximum(weights, 1)
        return mean


class _Balanced(NodeScore):
    def __init__(self, vector: Ints, cluster: Cluster) -> None:
        self._nodes = cluster.nodes
        self._vector = vector[: MEMORY_COLUMN + 1]

    def score(self, rows: Rows) -> Ints:
        allocatable = self._nodes.allocatable[rows, : MEMORY_COLUMN + 1]
        asked = self._nodes.requested[rows, : MEMORY_COLUMN + 1] + self._vector
        used = np.minimum(asked / np.maximum(allocatable, 1), 1.0)
        # The standard deviation of two numbers is half their distance.
        distance = np.abs(used[:, 0] - used[:, 1]) / 2
        distance[(allocatable == 0).any(axis=1)] = 0.0
        balance: Ints = ((1.0 - distance) * MAXIMUM_SCORE).astype(np.int64)
        return balance
