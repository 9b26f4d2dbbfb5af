"""What is known of all nodes for one template, put together from what the plugins say of them.

    plugins that look at no labels ──Judgement──► shared by all templates of one shape ─┐
                                                                                       ├─► feasible, totals ──► a node
    spreading, affinity to pods, … ──Judgement──► the template's own ───────────────────┘

A template that nobody wants to be near or away from has nothing of its own: deciding for it costs what its shape does,
however many templates there are.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tiphys.scheduler.arrays import ABSENT, ALL, Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin
from tiphys.scheduler.judgement import Asked, Judgement, rows_of
from tiphys.scheduler.limits import Limit, Limits
from tiphys.scheduler.template import Template

MAXIMUM_EVALUATIONS = 128
"""At least so many templates' evaluations are kept."""
_MOST_EVALUATIONS = 4_096
_MAXIMUM_BYTES = 64 << 20
_BYTES_A_NODE = 4 * 8
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
        self, template: Template, cluster: Cluster, shared: Judgement, own: Judgement | None, bare: Evaluation | None
    ) -> None:
        """`bare`: what is to be said if `own` has nothing to add; both None for that evaluation itself."""
        self.template = template
        self._cluster = cluster
        self._shared = shared
        self._own = own
        self._bare = bare
        #: The cluster's position and both generations, as last taken in; -1 for what has nothing to say.
        self._seen = (-1, -1, -1)
        self._diagnosis: Diagnosis | None = None
        #: The score from what does not normalize, -1 where infeasible. It may be `bare`'s.
        self._masked: Ints = np.zeros(0, np.int64)

    def refresh(self) -> None:
        """Take in what changed since the last time."""
        own, bare = self._own, self._bare
        if own is not None and bare is not None:
            own.refresh()
            if own.is_empty:
                bare.refresh()
                if self._seen != bare._seen:
                    self._seen, self._masked, self._diagnosis = bare._seen, bare._masked, None
                return
        self._shared.refresh()
        before = self._seen
        self._seen = (
            self._cluster.position,
            self._shared.generation,
            -1 if own is None else own.generation,
        )
        if self._seen == before:
            return
        self._diagnosis = None
        changes = self._cluster.changes_since(before[0]) if self._seen[1:] == before[1:] else None
        if changes is None:
            self._masked = np.where(self._rejects(ALL) == 0, self._base(ALL), -1)
        else:
            rows = rows_of(changes)
            if isinstance(rows, int):
                self._masked[rows] = self._one(rows)
            else:
                self._masked[rows] = np.where(self._rejects(rows) == 0, self._base(rows), -1)

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
        feasible: Bools = self._masked >= 0
        return feasible

    def takes(self, row: int) -> bool:
        return bool(self._masked[row] >= 0)

    def totals(self) -> Ints:
        """Each node's weighted score, -1 where infeasible. A copy."""
        return self._totals().copy()

    def totals_among(self, rows: Bools) -> Ints:
        """The same as if only these nodes were there to be compared. A copy."""
        feasible, total = self.feasible() & rows, self._masked.copy()
        for part in self._parts:
            for score, weight, raw in part.normalized:
                total = total + score.normalize(raw, feasible) * weight
        return np.where(feasible, total, -1)

    def why(self, row: int) -> Counter[str]:
        """Why that node cannot take a pod of the template."""
        return self._diagnose(np.array([row], np.int64)).reasons

    def diagnose(self) -> Diagnosis:
        """Why the infeasible nodes are: each node is attributed to the first plugin that rejects it."""
        if self._diagnosis is None:
            self._diagnosis = self._diagnose(np.flatnonzero(self._cluster.nodes.active))
        return self._diagnosis

    def _diagnose(self, candidates: Ints, bits: int = -1) -> Diagnosis:
        asked = self._asked
        for name, node_filter, _ in asked:
            if node_filter.pod_reason:
                nobody = np.zeros(0, np.int64)
                return Diagnosis(
                    self._cluster.nodes.count, Counter(), frozenset((name,)), nobody, node_filter.pod_reason
                )
        reasons: Counter[str] = Counter()
        rejected_by: set[str] = set()
        resolvable: list[Ints] = []
        left = self._rejects(candidates) & bits
        first = left & -left
        for name, node_filter, bit in asked:
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

    def room(self) -> tuple[Ints, Ints] | None:
        """(columns, amounts) that every such pod takes of its node's free room; None if no plugin looks at that."""
        filters = (node_filter for part in self._parts for _, node_filter, _ in part.asked)
        return next((demand for each in filters if (demand := each.demand()) is not None), None)

    def demand(self) -> tuple[Ints, Ints] | None:
        """(columns, amounts) if pods are in the way by nothing but the room they take; None if there is more to it."""
        found: tuple[Ints, Ints] | None = None
        for part in self._parts:
            for _, node_filter, _ in part.asked:
                demand = node_filter.demand()
                if demand is not None and found is None:
                    found = demand
                elif demand is not None or node_filter.resolvable or overrides_unresolvable(node_filter):
                    return None
        return found

    def limits(self) -> tuple[Limits, bool]:
        """What removing pods from a node can change as far as it can be counted, and whether that is all of it."""
        columns = amounts = np.zeros(0, np.int64)
        before: list[Limit] = []
        after: list[Limit] = []
        bits, demanded, complete = 0, False, True
        for _, node_filter, bit in self._asked:
            demand, limits = node_filter.demand(), node_filter.limits()
            if demand is not None and not demanded:
                (columns, amounts), demanded = demand, True
            elif limits is not None:
                (after if demanded else before).extend(limits)
            elif demand is not None or node_filter.resolvable or overrides_unresolvable(node_filter):
                complete = False
            else:
                continue
            bits |= bit
        return Limits(columns, amounts, tuple(before), tuple(after), bits), complete

    def rejected_otherwise(self, rows: Ints, bits: int) -> Bools:
        """Which of the rows are rejected by a filter that is not among `bits`."""
        return np.asarray((self._rejects(rows) & ~bits) != 0, np.bool_)

    def why_otherwise(self, rows: Ints, bits: int) -> Counter[str]:
        """Why these are."""
        return self._diagnose(rows, ~bits).reasons

    @property
    def _asked(self) -> list[Asked]:
        """All filters that have something to say, in the order in which a rejection is attributed."""
        return sorted((entry for part in self._parts for entry in part.asked), key=_bit)

    @property
    def _parts(self) -> Sequence[Judgement]:
        """Those that have something to say."""
        both = (self._shared,) if self._own is None else (self._shared, self._own)
        return [part for part in both if not part.is_empty]

    def _rejects(self, rows: Rows) -> Ints:
        """Why the rows are not feasible, as bits; 0: they are."""
        rejects: Ints = np.where(self._cluster.nodes.active[rows], 0, _NOT_ACTIVE)
        for part in self._parts:
            rejects |= part.rejects[rows]
        return rejects

    def _base(self, rows: Rows) -> Ints:
        base: Ints = np.zeros(self._cluster.nodes.size, np.int64)[rows]
        for part in self._parts:
            base += part.base[rows]
        return base

    def _one(self, row: int) -> int:
        parts = self._parts
        if not self._cluster.nodes.active[row] or any(part.rejects[row] for part in parts):
            return -1
        return sum(int(part.base[row]) for part in parts)

    def _totals(self) -> Ints:
        normalized = [entry for part in self._parts for entry in part.normalized]
        if not normalized:
            return self._masked
        feasible = self._masked >= 0
        if not feasible.any():
            return self._masked
        total = self._masked
        for score, weight, raw in normalized:
            total = total + score.normalize(raw, feasible) * weight
        return np.where(feasible, total, -1)


def overrides_unresolvable(node_filter: NodeFilter) -> bool:
    """Whether it depends on the node if removing pods may help against the filter."""
    return type(node_filter).unresolvable is not NodeFilter.unresolvable


def _bit(asked: Asked) -> int:
    return asked.bit


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
        asked = [(1 << index, plugin) for index, (plugin, _) in enumerate(pairs)]
        rated = tuple(pairs if scores is None else scores)
        self._shared = (
            [(bit, plugin) for bit, plugin in asked if plugin.of_shape],
            [(plugin, weight) for plugin, weight in rated if plugin.of_shape],
        )
        self._own = (
            [(bit, plugin) for bit, plugin in asked if not plugin.of_shape],
            [(plugin, weight) for plugin, weight in rated if not plugin.of_shape],
        )
        self._by_template: OrderedDict[int, Evaluation] = OrderedDict()
        self._by_shape: OrderedDict[bytes, Evaluation] = OrderedDict()

    def of(self, template: Template) -> Evaluation:
        """The template's evaluation, up to date."""
        bare = self._bare(template)
        found = self._by_template.get(template.id)
        if found is None or found._bare is not bare:
            own = Judgement(template, self._cluster, *self._own)
            found = self._by_template[template.id] = Evaluation(template, self._cluster, bare._shared, own, bare)
            self._bound(self._by_template)
        self._by_template.move_to_end(template.id)
        found.refresh()
        return found

    def _bare(self, template: Template) -> Evaluation:
        """What all templates of the shape have in common."""
        found = self._by_shape.get(template.shape)
        if found is None:
            shared = Judgement(template, self._cluster, *self._shared, narrow=True)
            found = self._by_shape[template.shape] = Evaluation(template, self._cluster, shared, None, None)
            self._bound(self._by_shape)
        self._by_shape.move_to_end(template.shape)
        return found

    def _bound(self, kept: OrderedDict[Any, Evaluation]) -> None:
        fit = _MAXIMUM_BYTES // (_BYTES_A_NODE * self._cluster.nodes.size)
        while len(kept) > max(MAXIMUM_EVALUATIONS, min(fit, _MOST_EVALUATIONS)):
            kept.popitem(last=False)
