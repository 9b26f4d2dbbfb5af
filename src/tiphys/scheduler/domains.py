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

    __slots__ = ("counts", "domains", "ids", "labelled", "weigh", "within")

    def __init__(
        self,
        cluster: Cluster,
        topology_key: str,
        weigh: Weigh,
        *,
        within: Bools | None = None,
        terminating: bool = True,
    ) -> None:
        """Count `weigh` for each pod (0: does not count) on the nodes `within` (None: all with the label)."""
        labels = cluster.nodes.labels(topology_key)
        self.domains = len(labels.values)
        self.labelled: Bools = labels.column >= 0
        self.ids: Ints = np.where(self.labelled, labels.column, self.domains)
        self.within = self.labelled if within is None else within & self.labelled
        self.weigh = weigh
        self.counts: Ints = np.zeros(self.domains + 1, np.int64)
        for template in cluster.placed:
            weight = weigh(template)
            if weight:
                self._count(template.running, weight)
                if terminating:
                    self._count(template.terminating, weight)

    def changed(self, change: Change) -> bool:
        """Follow a change; returns whether a count moved."""
        if not self.within[change.row]:
            return False
        weight = self.weigh(change.template)
        if not weight:
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


def follow(countings: Iterable[DomainCounts], change: Change) -> bool:
    """Tell each of a change; returns whether any count moved."""
    moved = False
    for counts in countings:
        moved |= counts.changed(change)
    return moved
