"""Counting pods by topology domain: the arithmetic that spreading and inter-pod affinity share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.template import Template

Weigh = Callable[[Template], int]


class DomainCounts:
    """A number per domain of one topology key, and where each node is.

    `ids` holds each node's domain, or the number of domains for nodes without the label; `counts` has one entry more
    than there are domains, so that ``counts[ids]`` is every node's number, and the last entry is always 0.
    """

    __slots__ = ("_weigh", "_weights", "counts", "domains", "ids", "labelled", "within")

    def __init__(
        self,
        cluster: Cluster,
        topology_key: str,
        weigh: Weigh,
        *,
        within: Bools | None = None,
        terminating: bool = True,
        among: Iterable[Template] | None = None,
        by_node: bool = False,
    ) -> None:
        """Count `weigh` for each pod (0: does not count) on the nodes `within` (None: all with the label).

        `among`: all templates placed that count are among these; None: look at every one. `by_node`: each node with
        the label is a domain of its own, whatever the label's value.
        """
        labels = cluster.nodes.labels(topology_key)
        self.labelled: Bools = labels.column >= 0
        column = np.arange(len(labels.column)) if by_node else labels.column
        self.domains = len(column) if by_node else len(labels.values)
        self.ids: Ints = np.where(self.labelled, column, self.domains)
        self.within = self.labelled if within is None else within & self.labelled
        self._weigh = weigh
        self._weights: dict[int, int] = {}
        self.counts: Ints = np.zeros(self.domains + 1, np.int64)
        for template in cluster.placed if among is None else among:
            weight = self.weight(template)
            if weight:
                self._count(template.running, weight)
                if terminating:
                    self._count(template.terminating, weight)

    def weight(self, template: Template) -> int:
        """What one pod of the template counts."""
        weight = self._weights.get(template.id)
        if weight is None:
            weight = self._weights[template.id] = int(self._weigh(template))
        return weight

    def changed(self, change: Change) -> bool:
        """Follow a change; returns whether a count moved."""
        weight = self.weight(change.template)
        if not weight or not self.within[change.row]:
            return False
        self.counts[self.ids[change.row]] += weight * change.sign
        return True

    def of_nodes(self) -> Ints:
        """Each node's domain's count; 0 for nodes without the label."""
        return self.counts[self.ids]

    def _count(self, rows: dict[int, int], weight: int) -> None:
        for row, pods in rows.items():
            if self.within[row]:
                self.counts[self.ids[row]] += weight * pods


def concerned(countings: Iterable[DomainCounts], template: Template) -> bool:
    """Whether any of them counts pods of the template."""
    return any(counts.weight(template) for counts in countings)


def follow(countings: Iterable[DomainCounts], change: Change) -> bool:
    """Tell each of a change; returns whether any count moved."""
    moved = False
    for counts in countings:
        moved |= counts.changed(change)
    return moved
