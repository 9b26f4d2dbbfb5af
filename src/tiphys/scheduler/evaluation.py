"""What is known of all nodes for one template, kept true by what changed.

    new ──first use──► all plugins, all rows
     ▲                       │
     └─version moved─┐       ▼
                     └── current ──pod came or went──► that row again; all rows again of a plugin whose counts moved

Ten thousand pods of one template cost ten thousand times one row, not ten thousand times all of them.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tiphys.scheduler.arrays import ABSENT, ALL, Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster, Version
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin
from tiphys.scheduler.template import Template

MAXIMUM_EVALUATIONS = 128
_NOT_ACTIVE = 1 << 40


class Diagnosis(NamedTuple):
    """Why no node can take a pod."""

    nodes: int
    reasons: Counter[str]
    """Upstream's words, each with the number of nodes it holds for."""
    rejected_by: frozenset[str]
    """The plugins that rejected some node."""
    resolvable: Ints
    """The rows that might take the pod if pods were removed from them."""
    pod_reason: str = ""
    """Not empty if it is because of the pod, whatever the nodes are like; then there are no `reasons`."""


class Evaluation:
    """Feasibility and score of every node for `template`. Call `refresh` before reading."""

    def __init__(
        self, template: Template, cluster: Cluster, filters: Sequence[Plugin], scores: Sequence[tuple[Plugin, int]]
    ) -> None:
        self.template = template
        self._cluster = cluster
        self._filter_plugins = filters
        self._score_plugins = scores
        self._position = -1
        self._diagnosis: Diagnosis | None = None
        self._version: Version = (-1, -1, -1, -1)
        self._start()

    def refresh(self) -> None:
        """Take in what changed since the last time."""
        cluster = self._cluster
        version = cluster.version(self.template)
        if cluster.position == self._position and version == self._version:
            return
        self._diagnosis = None
        changes = cluster.changes_since(self._position)
        if changes is None or version != self._version:
            self._start()
            return
        self._position = cluster.position
        self._follow(changes)

    def select(self, rng: random.Random, blocked: Sequence[int] = ()) -> int:
        """The row of the best node, one of them at random if several are; ABSENT if none is feasible.

        `blocked` rows are not considered.
        """
        totals = self._totals()
        if blocked:
            totals = totals.copy()
            totals[blocked] = -1
        best = int(totals.max())
        if best < 0:
            return ABSENT
        ties = np.flatnonzero(totals == best)
        return int(ties[rng.randrange(len(ties))] if len(ties) > 1 else ties[0])

    def feasible(self) -> Bools:
        """Which rows can take a pod of the template."""
        feasible: Bools = self._rejects == 0
        return feasible

    def takes(self, row: int) -> bool:
        return bool(self._rejects[row] == 0)

    def totals(self) -> Ints:
        """Each node's weighted score, -1 where infeasible. A copy."""
        return self._totals().copy()

    def why(self, row: int) -> Counter[str]:
        """Why that node cannot take a pod of the template."""
        return self._diagnose(np.array([row], np.int64)).reasons

    def diagnose(self) -> Diagnosis:
        """Why the infeasible nodes are: each node is attributed to the first plugin that rejects it."""
        if self._diagnosis is None:
            self._diagnosis = self._diagnose(np.flatnonzero(self._cluster.nodes.active))
        return self._diagnosis

    def _diagnose(self, candidates: Ints) -> Diagnosis:
        for name, node_filter, _ in self._filters:
            if node_filter.pod_reason:
                nobody = np.zeros(0, np.int64)
                return Diagnosis(
                    self._cluster.nodes.count, Counter(), frozenset((name,)), nobody, node_filter.pod_reason
                )
        reasons: Counter[str] = Counter()
        rejected_by: set[str] = set()
        resolvable: list[Ints] = []
        left = self._rejects[candidates]
        first = left & -left
        for name, node_filter, bit in self._filters:
            rows = candidates[first == bit]
            if not len(rows):
                continue
            rejected_by.add(name)
            for reason, holds in node_filter.reasons(rows):
                count = int(np.count_nonzero(holds))
                if count:
                    reasons[reason] += count
            resolvable.append(rows[~node_filter.unresolvable(rows)])
        helpable = np.sort(np.concatenate(resolvable)) if resolvable else np.zeros(0, np.int64)
        return Diagnosis(self._cluster.nodes.count, reasons, frozenset(rejected_by), helpable)

    def _start(self) -> None:
        cluster, template = self._cluster, self.template
        # Asking for the vector may add a resource column, which moves the version.
        cluster.vector(template)
        filters = [(plugin.name, plugin.filter(template, cluster)) for plugin in self._filter_plugins]
        self._filters: list[tuple[str, NodeFilter, int]] = [
            (name, node_filter, 1 << index)
            for index, (name, node_filter) in enumerate(filters)
            if node_filter is not None
        ]
        scores = [(plugin.score(template, cluster), weight) for plugin, weight in self._score_plugins if weight]
        self._plain: list[tuple[NodeScore, int]] = [(s, w) for s, w in scores if s is not None and not s.normalized]
        self._normalized: list[tuple[NodeScore, int]] = [(s, w) for s, w in scores if s is not None and s.normalized]
        self._local_filters = [entry for entry in self._filters if entry[1].local]
        self._wide_filters = [entry for entry in self._filters if not entry[1].local]
        self._wide_scores = [score for score, _ in (*self._plain, *self._normalized) if not score.local]
        self._version = cluster.version(template)
        self._position = cluster.position
        self._rejects: Ints = np.where(cluster.nodes.active, 0, _NOT_ACTIVE)
        self._base: Ints = np.zeros(cluster.nodes.size, np.int64)
        self._raw: list[Ints] = [score.score(ALL) for score, _ in self._normalized]
        self._judge(self._filters, ALL)
        self._weigh(ALL)
        self._masked: Ints = np.where(self._rejects == 0, self._base, -1)

    def _follow(self, changes: Sequence[Change]) -> None:
        filters_moved = [False] * len(self._wide_filters)
        scores_moved = [False] * len(self._wide_scores)
        for change in changes:
            for index, (_, node_filter, _) in enumerate(self._wide_filters):
                filters_moved[index] |= node_filter.changed(change)
            for index, score in enumerate(self._wide_scores):
                scores_moved[index] |= score.changed(change)
        touched = {change.row for change in changes}
        rows: Rows
        if len(touched) == 1:
            # The usual case, and a slice costs less than an index array.
            row = changes[0].row
            rows = slice(row, row + 1)
        else:
            rows = np.array(sorted(touched), np.int64)
        self._judge(self._local_filters, rows)
        self._weigh(rows)
        if any(filters_moved):
            wide = [entry for entry, moved_ in zip(self._wide_filters, filters_moved, strict=True) if moved_]
            self._judge(wide, ALL)
        for index, (score, _) in enumerate(self._normalized):
            if score.local:
                self._raw[index][rows] = score.score(rows)
            elif scores_moved[self._wide_scores.index(score)]:
                self._raw[index] = score.score(ALL)
        if any(filters_moved):
            self._masked = np.where(self._rejects == 0, self._base, -1)
        else:
            self._masked[rows] = np.where(self._rejects[rows] == 0, self._base[rows], -1)

    def _judge(self, filters: Iterable[tuple[str, NodeFilter, int]], rows: Rows) -> None:
        for _, node_filter, bit in filters:
            passes = node_filter.passes(rows)
            self._rejects[rows] = np.where(passes, self._rejects[rows] & ~bit, self._rejects[rows] | bit)

    def _weigh(self, rows: Rows) -> None:
        total: Ints | int = 0
        for score, weight in self._plain:
            total = total + score.score(rows) * weight
        self._base[rows] = total

    def _totals(self) -> Ints:
        if not self._normalized:
            return self._masked
        feasible = self._rejects == 0
        if not feasible.any():
            return self._masked
        total = self._base
        for (score, weight), raw in zip(self._normalized, self._raw, strict=True):
            total = total + score.normalize(raw, feasible) * weight
        return np.where(feasible, total, -1)


class Evaluations:
    """The evaluations of the templates used last.

    `filters` in the order in which a rejection is attributed; `scores` with the weight of each. Given as one sequence
    of pairs, every plugin is asked for both.
    """

    def __init__(
        self,
        cluster: Cluster,
        filters: Sequence[Plugin] | Sequence[tuple[Plugin, int]],
        scores: Sequence[tuple[Plugin, int]] | None = None,
    ) -> None:
        self._cluster = cluster
        pairs = [entry if isinstance(entry, tuple) else (entry, 0) for entry in filters]
        self._filters = tuple(plugin for plugin, _ in pairs)
        self._scores = tuple(pairs if scores is None else scores)
        self._by_template: OrderedDict[int, Evaluation] = OrderedDict()

    def of(self, template: Template) -> Evaluation:
        """The template's evaluation, up to date."""
        found = self._by_template.get(template.id)
        if found is None:
            found = self._by_template[template.id] = Evaluation(template, self._cluster, self._filters, self._scores)
            if len(self._by_template) > MAXIMUM_EVALUATIONS:
                self._by_template.popitem(last=False)
        else:
            self._by_template.move_to_end(template.id)
        found.refresh()
        return found
