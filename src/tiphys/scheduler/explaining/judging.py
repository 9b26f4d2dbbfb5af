"""What every plugin says of every node for one pod, and in which words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tiphys.scheduler.arrays import ALL, Bools, Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin
from tiphys.scheduler.template import Template


class Reason(NamedTuple):
    """What a plugin says of nodes. `rows` is a column: for which of them."""

    plugin: str
    words: str
    subject: str
    """What tells it from the plugin's other reasons: the taints, for a taint."""
    rows: Bools


class Judgement:
    """What all filters say of all nodes for one pod. Columns are as long as the node table was."""

    def __init__(self, template: Template, cluster: Cluster, plugins: Sequence[Plugin]) -> None:
        # Asking for the vector may add a resource column: before any filter is made.
        cluster.vector(template)
        self.template = template
        self.active: Bools = cluster.nodes.active.copy()
        self.filters: list[tuple[str, NodeFilter]] = []
        self.rejects: dict[str, Bools] = {}
        #: Reasons that are the pod's own, whatever the nodes are like: (plugin, words).
        self.pod_reasons: list[tuple[str, str]] = []
        self.feasible: Bools = self.active.copy()
        for plugin in plugins:
            node_filter = plugin.filter(template, cluster)
            if node_filter is None:
                continue
            if node_filter.pod_reason:
                self.pod_reasons.append((plugin.name, node_filter.pod_reason))
                self.feasible[:] = False
                continue
            rejected = self.active & ~node_filter.passes(ALL)
            if rejected.any():
                self.filters.append((plugin.name, node_filter))
                self.rejects[plugin.name] = rejected
                self.feasible &= ~rejected

    @property
    def rows(self) -> Ints:
        """The rows that would take the pod."""
        return np.flatnonzero(self.feasible)

    def reasons(self) -> Iterator[Reason]:
        """Every reason of every plugin, each with the rows it holds for; also of nodes that others reject too."""
        for name, node_filter in self.filters:
            rows = np.flatnonzero(self.rejects[name])
            for words, holds in node_filter.reasons(rows):
                if holds.any():
                    column = np.zeros(len(self.active), np.bool_)
                    column[rows[holds]] = True
                    yield Reason(name, words, "", column)
