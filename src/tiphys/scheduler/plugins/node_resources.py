"""NodeResourcesFit, with its scoring strategies, and NodeResourcesBalancedAllocation.

Source: Kubernetes documentation, "Resource Bin Packing". Scores are integers, and divided as integers are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tiphys.api.types.core_v1 import Node
from tiphys.api.validation.resources import is_extended
from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import MAXIMUM_SCORE, Event, NodeFilter, NodeScore, Plugin, Trigger
from tiphys.scheduler.nodes import MEMORY_COLUMN
from tiphys.scheduler.plugin_args import (
    CPU_AND_MEMORY,
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    NodeResourcesBalancedAllocationArgs,
    NodeResourcesFitArgs,
    ResourceSpec,
    UtilizationShapePoint,
)
from tiphys.scheduler.requests import CPU, EPHEMERAL_STORAGE, MEMORY, amounts
from tiphys.scheduler.template import Template


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    of_shape = True
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_GONE | Trigger.POD_CHANGED
    args_type = NodeResourcesFitArgs

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        return _Fit(template, cluster, self._is_ignored)

    def may_help(self, template: Template, event: Event) -> bool:
        if not isinstance(event.new, Node):
            return not isinstance(event.old, Node)
        # Empty, it must be large enough. Whether it is larger than before does not matter: it may have come after the
        # pod was rejected, and have been closed by another plugin's rule until now.
        has = amounts(event.new.status.allocatable)
        return all(has.get(name, 0) >= wanted or self._is_ignored(name) for name, wanted in template.requests.items())

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        strategy = self.args.scoring_strategy
        resources = strategy.resources or CPU_AND_MEMORY
        if strategy.type == LEAST_ALLOCATED:
            if resources == CPU_AND_MEMORY:
                return _LeastAllocated(template, cluster)
            return _Strategy(template, cluster, resources, _least)
        if strategy.type == MOST_ALLOCATED:
            return _Strategy(template, cluster, resources, _most)
        shape = strategy.requested_to_capacity_ratio.shape
        return _Ratio(template, cluster, resources, _broken_line(shape))

    def _is_ignored(self, resource: str) -> bool:
        """Only extended resources can be: cpu always counts."""
        ignored, groups = self.args.ignored_resources, self.args.ignored_resource_groups
        if not (ignored or groups) or not is_extended(resource):
            return False
        return resource in ignored or resource.partition("/")[0] in groups


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    of_shape = True
    args_type = NodeResourcesBalancedAllocationArgs

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        names = [resource.name for resource in self.args.resources or CPU_AND_MEMORY]
        if not any(template.requests.get(name) for name in names):
            # A pod that requests none of them changes no balance.
            return None
        if names == ["cpu", "memory"]:
            return _Balanced(cluster.vector(template), cluster)
        return _BalancedOver(names, template, cluster)


class _Fit(NodeFilter):
    resolvable = True

    def __init__(self, template: Template, cluster: Cluster, is_ignored: Callable[[str], bool]) -> None:
        vector = cluster.vector(template)
        # Only what is asked for must fit: a node over its capacity in another resource is no worse for it.
        asked = [(name, c) for name, c in cluster.nodes.resources.items() if vector[c] and not is_ignored(name)]
        self._columns = np.array([c for _, c in asked], np.int64)
        self._vector = vector[self._columns]
        self._nodes = cluster.nodes
        self._one = tuple((c, int(vector[c])) for _, c in asked)
        self._words = [messages.insufficient(name) for name, _ in asked]

    def passes(self, rows: Rows) -> Bools:
        passes: Bools = np.logical_and.reduce(self._fits(rows), axis=1)
        return passes

    def passes_one(self, row: int) -> bool:
        allocatable, requested = self._nodes.allocatable[row].tolist(), self._nodes.requested[row].tolist()
        return all(allocatable[column] - requested[column] >= amount for column, amount in self._one)

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        fits = self._fits(rows)
        for index, words in enumerate(self._words):
            yield words, ~fits[:, index]

    def unresolvable(self, rows: Ints) -> Bools:
        least = self._nodes.allocatable[rows][:, self._columns]
        return np.asarray((least < self._vector).any(axis=1), np.bool_)

    def demand(self) -> tuple[Ints, Ints] | None:
        return self._columns, self._vector

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
        self._one: list[int] = template.nonzero.tolist()

    def score(self, rows: Rows) -> Ints:
        allocatable = self._nodes.allocatable[rows, : MEMORY_COLUMN + 1]
        free = allocatable - self._nodes.nonzero[rows] - self._nonzero
        np.maximum(free, 0, out=free)
        # A resource the node does not have gives 0 * 100 // 1 and is left out of the mean.
        scores = free * MAXIMUM_SCORE // np.maximum(allocatable, 1)
        weights = np.count_nonzero(allocatable, axis=1)
        mean: Ints = scores.sum(axis=1) // np.maximum(weights, 1)
        return mean

    def score_one(self, row: int) -> int:
        nodes, (cpu, memory) = self._nodes, self._one
        cpu_room, memory_room, *_ = nodes.allocatable[row].tolist()
        cpu_used, memory_used = nodes.nonzero[row].tolist()
        scores = max(cpu_room - cpu_used - cpu, 0) * MAXIMUM_SCORE // (cpu_room or 1)
        scores += max(memory_room - memory_used - memory, 0) * MAXIMUM_SCORE // (memory_room or 1)
        return int(scores // max(bool(cpu_room) + bool(memory_room), 1))


class _Balanced(NodeScore):
    def __init__(self, vector: Ints, cluster: Cluster) -> None:
        self._nodes = cluster.nodes
        self._vector = vector[: MEMORY_COLUMN + 1]
        self._one: list[int] = self._vector.tolist()

    def score(self, rows: Rows) -> Ints:
        allocatable = self._nodes.allocatable[rows, : MEMORY_COLUMN + 1]
        asked = self._nodes.requested[rows, : MEMORY_COLUMN + 1] + self._vector
        used = np.minimum(asked / np.maximum(allocatable, 1), 1.0)
        # The standard deviation of two numbers is half their distance.
        distance = np.abs(used[:, 0] - used[:, 1]) / 2
        distance[(allocatable == 0).any(axis=1)] = 0.0
        balance: Ints = ((1.0 - distance) * MAXIMUM_SCORE).astype(np.int64)
        return balance

    def score_one(self, row: int) -> int:
        cpu_room, memory_room, *_ = self._nodes.allocatable[row].tolist()
        if not cpu_room or not memory_room:
            return MAXIMUM_SCORE
        cpu_used, memory_used, *_ = self._nodes.requested[row].tolist()
        cpu = min((cpu_used + self._one[0]) / cpu_room, 1.0)
        memory = min((memory_used + self._one[1]) / memory_room, 1.0)
        return int((1.0 - abs(cpu - memory) / 2) * MAXIMUM_SCORE)


class _BalancedOver(NodeScore):
    """The same over any resources: of those a node has, how far their utilizations lie from their mean."""

    def __init__(self, names: Sequence[str], template: Template, cluster: Cluster) -> None:
        vector = cluster.vector(template)
        known = [column for name in names if (column := _column(name, template, cluster)) is not None]
        self._columns = np.array(known, np.int64)
        self._vector = vector[self._columns]
        self._nodes = cluster.nodes

    def score(self, rows: Rows) -> Ints:
        allocatable = self._nodes.allocatable[rows][:, self._columns]
        asked = self._nodes.requested[rows][:, self._columns] + self._vector
        present = allocatable > 0
        used = np.where(present, np.minimum(asked / np.maximum(allocatable, 1), 1.0), 0.0)
        count = np.maximum(present.sum(axis=1), 1)
        mean = used.sum(axis=1) / count
        squares = np.where(present, (used - mean[:, np.newaxis]) ** 2, 0.0).sum(axis=1)
        deviation = np.sqrt(squares / count)
        # Of two, half their distance: without the rounding of a root.
        pair = count == 2
        most, least = used.max(axis=1, initial=0.0), np.where(present, used, 1.0).min(axis=1, initial=1.0)
        deviation[pair] = (most - least)[pair] / 2
        balance: Ints = ((1.0 - deviation) * MAXIMUM_SCORE).astype(np.int64)
        return balance


Grade = Callable[[Ints, Ints], Ints]
"""(requested, allocatable) of some nodes, a column a resource: 0..100 each."""


def _least(requested: Ints, allocatable: Ints) -> Ints:
    grades: Ints = np.maximum(allocatable - requested, 0) * MAXIMUM_SCORE // np.maximum(allocatable, 1)
    return grades


def _most(requested: Ints, allocatable: Ints) -> Ints:
    grades: Ints = np.minimum(requested, allocatable) * MAXIMUM_SCORE // np.maximum(allocatable, 1)
    return grades


def _broken_line(shape: Sequence[UtilizationShapePoint]) -> Grade:
    """The score of each utilization of 0..100 %, looked up; what is requested over capacity counts as 100 %."""
    scale = MAXIMUM_SCORE // 10
    points = [(point.utilization, point.score * scale) for point in shape]
    table = np.array([_on_line(points, percent) for percent in range(101)], np.int64)

    def grade(requested: Ints, allocatable: Ints) -> Ints:
        over = (requested > allocatable) | (allocatable == 0)
        percent = np.where(over, 100, requested * 100 // np.maximum(allocatable, 1))
        grades: Ints = table[percent]
        return grades

    return grade


def _on_line(points: Sequence[tuple[int, int]], percent: int) -> int:
    before = points[0]
    for point in points:
        if percent <= point[0]:
            if point is points[0]:
                return point[1]
            rise, run = (point[1] - before[1]) * (percent - before[0]), point[0] - before[0]
            # Towards zero, also where the line falls.
            return before[1] + (rise // run if rise >= 0 else -(-rise // run))
        before = point
    return points[-1][1]


def _column(name: str, template: Template, cluster: Cluster) -> int | None:
    """Where the resource is; None if it does not count: nobody has it, or it is extended and the pod asks for none."""
    if name not in (CPU, MEMORY, EPHEMERAL_STORAGE) and not template.requests.get(name):
        return None
    return cluster.nodes.resources.get(name)


class _Strategy(NodeScore):
    """The weighted mean of the grades of those resources that a node has."""

    def __init__(self, template: Template, cluster: Cluster, resources: Sequence[ResourceSpec], grade: Grade) -> None:
        vector = cluster.vector(template)
        known = [(column, r) for r in resources if (column := _column(r.name, template, cluster)) is not None]
        self._nodes = cluster.nodes
        self._grade = grade
        self._columns = np.array([column for column, _ in known], np.int64)
        self._weights = np.array([resource.weight for _, resource in known], np.int64)
        self._asked = vector[self._columns]
        #: (position, 0 for cpu or 1 for memory) of those that pods without requests are taken to ask for, too.
        self._assumed = [(i, int(r.name == MEMORY)) for i, (_, r) in enumerate(known) if r.name in (CPU, MEMORY)]
        for position, column in self._assumed:
            self._asked[position] = template.nonzero[column]

    def score(self, rows: Rows) -> Ints:
        grades, present = self._grades(rows)
        weights = present * self._weights
        mean: Ints = (grades * weights).sum(axis=1) // np.maximum(weights.sum(axis=1), 1)
        return mean

    def _grades(self, rows: Rows) -> tuple[Ints, Bools]:
        allocatable = self._nodes.allocatable[rows][:, self._columns]
        requested = self._nodes.requested[rows][:, self._columns]
        for position, column in self._assumed:
            requested[:, position] = self._nodes.nonzero[rows, column]
        return self._grade(requested + self._asked, allocatable), allocatable > 0


class _Ratio(_Strategy):
    """RequestedToCapacityRatio: resources of grade 0 are left out of the mean, which is rounded."""

    def score(self, rows: Rows) -> Ints:
        grades, present = self._grades(rows)
        weights = (present & (grades > 0)) * self._weights
        mean = (grades * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
        rounded: Ints = np.floor(mean + 0.5).astype(np.int64)
        return rounded
