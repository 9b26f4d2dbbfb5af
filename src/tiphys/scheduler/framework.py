"""What a plugin is: it answers for many nodes at once, from columns; it has no state, does no I/O, reads no clock.

    template, cluster ──plugin.filter──► NodeFilter ──passes(rows)──► which of those nodes can take such a pod
                      ──plugin.score───► NodeScore ──score(rows)───► raw scores ──normalize(all)──► 0..100

The objects a plugin returns are prepared for one template and live as long as `Cluster.version` stands still. They hear
of every pod that comes to or leaves a node, and keep what they counted true by that difference, not by counting again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import Flag, auto
from typing import ClassVar

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.template import Template

MAXIMUM_SCORE = 100


class Trigger(Flag):
    """What happens in a cluster that can make an unschedulable pod schedulable."""

    NODE_ADDED = auto()
    NODE_CHANGED = auto()
    POD_PLACED = auto()
    POD_GONE = auto()
    POD_CHANGED = auto()
    STORAGE_CHANGED = auto()


class NodeFilter(ABC):
    """Which nodes can take a pod of one template."""

    reason: str = ""
    """Upstream's words for a rejected node: ``node(s) were unschedulable``."""
    pod_reason: str = ""
    """Not empty if it rejects every node because of the pod: then this alone is reported, without a count."""
    local: ClassVar[bool] = True
    """Whether a node's answer depends on nothing but that node and its pods."""
    resolvable: ClassVar[bool] = False
    """Whether removing pods from a rejected node might help it."""

    @abstractmethod
    def passes(self, rows: Rows) -> Bools:
        """Which of `rows` can take the pod. Entries for rows that are not active mean nothing."""

    def changed(self, change: Change) -> bool:
        """A pod came or went. Only asked if not `local`: returns whether any node's answer may differ."""
        return False

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        """Why the rows (all rejected) are: each reason with the rows it holds for."""
        yield self.reason, np.ones(len(rows), np.bool_)

    def unresolvable(self, rows: Ints) -> Bools:
        """For which of the rows (all rejected) no removal of pods helps."""
        return np.full(len(rows), not self.resolvable)


class NodeScore(ABC):
    """How good nodes are for a pod of one template."""

    local: ClassVar[bool] = True
    """As in NodeFilter, of the raw score."""
    normalized: ClassVar[bool] = False
    """Whether `normalize` does anything."""

    @abstractmethod
    def score(self, rows: Rows) -> Ints:
        """Raw scores of `rows`; 0..100 unless `normalized`."""

    def changed(self, change: Change) -> bool:
        """As in NodeFilter."""
        return False

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        """The scores of all nodes as 0..100; those where not `feasible` are never looked at."""
        return scores


class Plugin:
    """A named pair of filter and score. Either method returns None if it has nothing to say about such pods."""

    name: ClassVar[str]
    helped_by: ClassVar[Trigger] = Trigger(0)
    """After which events a pod this plugin rejected is worth another try."""

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        return None

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        return None


def default_normalize(scores: Ints, feasible: Bools, *, reverse: bool) -> Ints:
    """Scale so that the best feasible node has 100; `reverse`: the highest raw score gets 0."""
    highest = int(scores.max(where=feasible, initial=0))
    if highest == 0:
        return np.full_like(scores, MAXIMUM_SCORE) if reverse else scores
    scaled = scores * MAXIMUM_SCORE // highest
    return MAXIMUM_SCORE - scaled if reverse else scaled
