"""What some plugins say of all nodes for one template, or for all templates that look alike to these plugins.

    new ──first use──► all plugins, all rows
     ▲                       │
     └─version moved─┐       ▼
                     └── current ──pod came or went──► that row again; all rows again of a plugin whose counts moved

Ten thousand pods of one template cost ten thousand times one row, not ten thousand times all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tiphys.scheduler.arrays import ALL, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster, Version
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin
from tiphys.scheduler.template import Template


class Asked(NamedTuple):
    """A filter with its plugin's name, and the bit that says in `rejects` that it rejected a node."""

    name: str
    filter: NodeFilter
    bit: int


class Judgement:
    """The plugins' answers for `template`, true as of the last `refresh`.

    `filters` come with their bits: the place in the order in which a rejection is attributed. `narrow`: they look at
    nothing of a cluster but its nodes and the pods on each, so nothing else makes them start again.
    """

    def __init__(
        self,
        template: Template,
        cluster: Cluster,
        filters: Sequence[tuple[int, Plugin]],
        scores: Sequence[tuple[Plugin, int]],
        *,
        narrow: bool = False,
    ) -> None:
        self.asked: list[Asked] = []
        """Those that have something to say."""
        self.rejects: Ints = np.zeros(0, np.int64)
        """Each node's rejections, as bits; empty if nothing was asked."""
        self.base: Ints = self.rejects
        """Each node's score from the plugins that do not normalize, weighted; empty likewise."""
        self.normalized: list[tuple[NodeScore, int, Ints]] = []
        """The others: each with its weight and the raw scores."""
        self.generation = 0
        """Moves when more may have changed than the rows in the cluster's log."""
        self._template = template
        self._cluster = cluster
        self._filter_plugins = filters
        self._score_plugins = scores
        self._narrow = narrow
        self._position = -1
        self._version: Version = (-1, -1, -1, -1)

    @property
    def is_empty(self) -> bool:
        """Whether no plugin has anything to say: every node is feasible and equal."""
        return not len(self.rejects)

    def refresh(self) -> None:
        """Take in what changed since the last time."""
        cluster = self._cluster
        version = self._current()
        if cluster.position == self._position and version == self._version:
            return
        changes = cluster.changes_since(self._position) if version == self._version else None
        if changes is None:
            self._start()
            return
        self._position = cluster.position
        if not self.is_empty:
            self._follow(changes)

    def _current(self) -> Version:
        version = self._cluster.version(self._template)
        return (version[0], 0, 0, 0) if self._narrow else version

    def _start(self) -> None:
        cluster, template = self._cluster, self._template
        # Asking for the vector may add a resource column, which moves the version.
        cluster.vector(template)
        said_nothing = self.is_empty
        filters = [(plugin.name, plugin.filter(template, cluster), bit) for bit, plugin in self._filter_plugins]
        self.asked = [Asked(name, node_filter, bit) for name, node_filter, bit in filters if node_filter is not None]
        given = [(plugin.score(template, cluster), weight) for plugin, weight in self._score_plugins if weight]
        scores = [(score, weight) for score, weight in given if score is not None]
        self._plain = [(score, weight) for score, weight in scores if not score.normalized]
        self._local_filters = [asked for asked in self.asked if asked.filter.local]
        self._wide_filters = [asked for asked in self.asked if not asked.filter.local]
        self._wide_scores = [score for score, _ in scores if not score.local]
        self._concerned: dict[int, bool] = {}
        self._version = self._current()
        self._position = cluster.position
        size = cluster.nodes.size if self.asked or scores else 0
        if size or not said_nothing:
            self.generation += 1
        self.rejects = np.zeros(size, np.int64)
        self.base = np.zeros(size, np.int64)
        self.normalized = [(score, weight, score.score(ALL)) for score, weight in scores if score.normalized]
        self._judge(self.asked, ALL)
        self._weigh(ALL)

    def _follow(self, changes: Sequence[Change]) -> None:
        filters_moved = [False] * len(self._wide_filters)
        scores_moved = [False] * len(self._wide_scores)
        concerned = self._concerned
        for change in changes if self._wide_filters or self._wide_scores else ():
            template = change.template
            concerns = concerned.get(template.id)
            if concerns is None:
                concerns = concerned[template.id] = self._concerns(template)
            if not concerns:
                continue
            for index, asked in enumerate(self._wide_filters):
                filters_moved[index] |= asked.filter.changed(change)
            for index, score in enumerate(self._wide_scores):
                scores_moved[index] |= score.changed(change)
        rows = rows_of(changes)
        if isinstance(rows, int):
            self._judge_one(rows)
        else:
            self._judge(self._local_filters, rows)
        moved_plain = any(
            moved and not score.normalized for score, moved in zip(self._wide_scores, scores_moved, strict=True)
        )
        if moved_plain:
            self.generation += 1
        if moved_plain:
            self._weigh(ALL)
        elif isinstance(rows, int):
            self._weigh_one(rows)
        else:
            self._weigh(rows)
        if any(filters_moved):
            self.generation += 1
            self._judge((asked for asked, moved in zip(self._wide_filters, filters_moved, strict=True) if moved), ALL)
        for index, (score, weight, raw) in enumerate(self.normalized):
            if score.local:
                raw[rows] = score.score_one(rows) if isinstance(rows, int) else score.score(rows)
            elif scores_moved[self._wide_scores.index(score)]:
                self.normalized[index] = (score, weight, score.score(ALL))

    def _concerns(self, template: Template) -> bool:
        return any(asked.filter.concerns(template) for asked in self._wide_filters) or any(
            score.concerns(template) for score in self._wide_scores
        )

    def _judge(self, filters: Iterable[Asked], rows: Rows) -> None:
        for _, node_filter, bit in filters:
            passes = node_filter.passes(rows)
            self.rejects[rows] = np.where(passes, self.rejects[rows] & ~bit, self.rejects[rows] | bit)

    def _weigh(self, rows: Rows) -> None:
        if self._plain:
            total: Ints | int = 0
            for score, weight in self._plain:
                total = total + score.score(rows) * weight
            self.base[rows] = total

    def _judge_one(self, row: int) -> None:
        if self._local_filters:
            rejects = int(self.rejects[row])
            for _, node_filter, bit in self._local_filters:
                rejects = rejects & ~bit if node_filter.passes_one(row) else rejects | bit
            self.rejects[row] = rejects

    def _weigh_one(self, row: int) -> None:
        if self._plain:
            self.base[row] = sum(score.score_one(row) * weight for score, weight in self._plain)


def rows_of(changes: Sequence[Change]) -> int | Ints:
    """The rows that some changes (at least one) are about, each once; the row itself if there is but one change.

    That is the usual case, and numbers cost less than arrays of one.
    """
    if len(changes) == 1:
        return changes[0].row
    touched = {change.row for change in changes}
    return np.fromiter(touched, np.int64, len(touched))
