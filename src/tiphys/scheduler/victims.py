"""Whom to remove from which node, for many nodes at once.

Every node's pods are a line of a table, the most important first, kept true by the cluster's change log. Preemption is
then upstream's, a column at a time: take all pods of lower priority off; then put back each that leaves what the pod
needs, the protected first, from the most important on. Who cannot be put back is a victim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Candidate, Disruption
from tiphys.scheduler.limits import Limit, Limits
from tiphys.scheduler.template import PodInfo, Template

PRIORITY_OFFSET: Final = 1 << 31
"""Makes every priority positive: a sum of fewer is smaller."""
_NOBODY: Final = np.iinfo(np.int64).max
_CELLS_AT_ONCE: Final = 40_000
"""Pods looked at in one turn: a turn takes about a millisecond."""
_SPARE_TEMPLATES: Final = 1_000
_SPARE_PLACES: Final = 8
"""Nodes fill up one pod at a time: the table has room for some more on the fullest."""
NOT_STARTED: Final = "9999-12-31T23:59:59Z"
"""When a pod that does not run yet has started: later than all that do."""


class Room(NamedTuple):
    """What a pod needs: its `limits`, once `guests` are there, of whom room for `reserved` (rows, amounts) is kept."""

    cluster: Cluster
    limits: Limits
    reserved: tuple[Ints, Ints] | None
    guests: Sequence[tuple[int, PodInfo]]
    priority: int

    def free(self, rows: Ints) -> Ints:
        """By limit and row what is left, negative where there is too little; resources come first."""
        nodes, limits = self.cluster.nodes, self.limits
        free = np.empty((len(limits.columns) + len(limits.others), len(rows)), np.int64)
        for index, (column, amount) in enumerate(zip(limits.columns.tolist(), limits.amounts.tolist(), strict=True)):
            left = nodes.allocatable[:, column] - nodes.requested[:, column]
            if self.reserved is not None:
                left[self.reserved[0]] -= self.reserved[1][:, column]
            free[index] = left[rows] - amount
        for index, limit in enumerate(limits.others, len(limits.columns)):
            free[index] = self._left(limit, rows)
        return free

    def _left(self, limit: Limit, rows: Ints) -> Ints:
        free = limit.free(rows)
        if self.guests:
            taken = np.zeros(self.cluster.nodes.size, np.int64)
            for row, guest in self.guests:
                if limit.counted is None or limit.counted[row]:
                    taken[row] += max(limit.weigh(guest.template), 0)
            free = free - taken[rows]
        return free

    def explain(self, missing: Ints, reasons: Counter[str]) -> None:
        """Why nodes do not fit even with nobody of lower priority there: by the first filter that says so."""
        left = np.ones(missing.shape[1], np.bool_)
        resources = len(self.limits.columns)
        for index, limit in enumerate(self.limits.before):
            left = _first(limit, missing[resources + index] < 0, left, reasons)
        short = missing[:resources] < 0
        names = list(self.cluster.nodes.resources)
        for position, column in enumerate(self.limits.columns):
            count = int(np.count_nonzero(short[position] & left))
            if count:
                reasons[messages.insufficient(names[column])] += count
        left &= ~short.any(axis=0)
        for index, limit in enumerate(self.limits.after, resources + len(self.limits.before)):
            left = _first(limit, missing[index] < 0, left, reasons)


def _first(limit: Limit, fails: Bools, left: Bools, reasons: Counter[str]) -> Bools:
    if count := int(np.count_nonzero(fails & left)):
        reasons[limit.reason] += count
    return left & ~fails


class _Part(NamedTuple):
    """Some nodes that can be made to fit, with who goes there and whom of these a budget protects: (places, rows)."""

    rows: Ints
    victims: Bools
    violating: Bools


class VictimTable:
    """The pods on each node by importance.

    Arrays are by place and row: that is how they are computed with. Nobody's place has the highest priority.
    """

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._position = -1
        self._version = -1
        self._seconds: dict[str, int] = {}
        self._pods: dict[int, list[PodInfo]] = {}
        self._templates: dict[Template, int] = {}
        #: One pod of each template.
        self._examples: list[PodInfo] = []
        self._covered: dict[Callable[[PodInfo], bool], list[bool]] = {}
        #: By resource and template what a pod requests; the last entry is nobody's.
        self._requests: Ints = np.zeros((0, 1), np.int64)
        self._allocate(0, 0)

    def best(
        self, room: Room, rows: Ints, wanted: int, budgets: Sequence[Disruption] = ()
    ) -> tuple[Candidate | None, Counter[str]]:
        """The best of the first nodes of `rows` that can be made to fit: of all looked at until `wanted` were found,
        and among them one without a violated budget.

        If there is none: why not, each reason with the number of nodes.
        """
        self._refresh(room.cluster)
        weights = [self._by_template(limit.weigh) for limit in room.limits.others]
        covered = [(budget, mask) for budget in budgets if (mask := self._covers(budget)).any()]
        reasons: Counter[str] = Counter()
        found: list[_Part] = []
        count, harmless = 0, False
        step = max(wanted, _CELLS_AT_ONCE // max(self._places, 1))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            part, lower = self._lower(part, room, reasons)
            fit = self._victims(part, lower, room, weights, covered, reasons)
            if len(fit.rows):
                found.append(fit)
                count += len(fit.rows)
                harmless = harmless or not (fit.victims & fit.violating).any(axis=0).all()
            if count >= wanted and harmless:
                break
        if not found:
            return None, reasons
        whole = found[0]
        if len(found) > 1:
            whole = _Part(*(np.concatenate(arrays, axis=-1) for arrays in zip(*found, strict=True)))
        return self._choose(*whole), reasons

    def hopeful(self, room: Room, rows: Ints, reasons: Counter[str]) -> Ints:
        """Of `rows` those that are within the limits without pods of lower priority. `reasons`: why the rest is not."""
        self._refresh(room.cluster)
        rows, lower = self._lower(rows, room, reasons)
        weights = [self._by_template(limit.weigh) for limit in room.limits.others]
        free = room.free(rows) + (self._used(rows, room, weights) * lower).sum(axis=1)
        enough: Bools = (free >= 0).all(axis=0)
        room.explain(free[:, ~enough], reasons)
        return rows[enough]

    def _lower(self, rows: Ints, room: Room, reasons: Counter[str]) -> tuple[Ints, Bools]:
        """Of `rows` those with pods of lower priority, and by place and row who these are."""
        lower: Bools = self._priorities[: self._places, rows] < room.priority
        some = lower.any(axis=0)
        if some.all():
            return rows, lower
        reasons[messages.NO_VICTIMS] += len(rows) - int(np.count_nonzero(some))
        return rows[some], lower[:, some]

    def _victims(
        self,
        rows: Ints,
        lower: Bools,
        room: Room,
        weights: Sequence[Ints],
        covered: Sequence[tuple[Disruption, Bools]],
        reasons: Counter[str],
    ) -> _Part:
        """Of `rows` those that can be made to fit, and who must go there."""
        used = self._used(rows, room, weights) * lower
        free = room.free(rows) + used.sum(axis=1)
        enough: Bools = (free >= 0).all(axis=0)
        if not enough.all():
            room.explain(free[:, ~enough], reasons)
            rows, lower, used, free = rows[enough], lower[:, enough], used[:, :, enough], free[:, enough]
        violating = self._violating(rows, lower, covered)
        victims = np.zeros(lower.shape, np.bool_)
        # Those that need not go are put back, the protected and the most important first.
        for back in (violating, lower & ~violating) if violating.any() else (None,):
            for place in range(len(lower) if len(rows) else 0):
                needs = used[:, place] if back is None else used[:, place] * back[place]
                left = free - needs
                # Nobody needs nothing, and fits.
                fits = (left >= 0).all(axis=0)
                victims[place] |= ~fits
                free = np.where(fits, left, free)
        return _Part(rows, victims, violating)

    def _used(self, rows: Ints, room: Room, weights: Sequence[Ints]) -> Ints:
        """By limit, place and row what the pod there uses."""
        columns, numbers = room.limits.columns.tolist(), self._numbers[: self._places, rows]
        used = np.empty((len(columns) + len(weights), *numbers.shape), np.int64)
        for index, column in enumerate(columns):
            used[index] = self._requests[column][numbers]
        for index, (limit, weight) in enumerate(zip(room.limits.others, weights, strict=True), len(columns)):
            used[index] = weight[numbers]
            if not limit.terminating:
                used[index] *= ~self._terminating[: self._places, rows]
            if limit.counted is not None:
                used[index] *= limit.counted[rows]
        return used

    def _violating(self, rows: Ints, lower: Bools, covered: Sequence[tuple[Disruption, Bools]]) -> Bools:
        """Who may not go by some budget, if all of lower priority went, the most important first."""
        violating = np.zeros(lower.shape, np.bool_)
        for budget, mask in covered:
            concerned: Bools = mask[self._numbers[: self._places, rows]] & lower
            if budget.excused:
                for index, row in enumerate(rows.tolist()):
                    for place, pod in enumerate(self._pods[row]):
                        concerned[place, index] &= pod.key[1] not in budget.excused
            violating |= concerned & (concerned.cumsum(axis=0) > budget.allowed)
        return violating

    def _choose(self, rows: Ints, victims: Bools, violating: Bools) -> Candidate:
        """Fewest violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start; the first
        of equals.
        """
        best, who = np.arange(len(rows)), victims
        for measure in (self._violations, self._highest, self._total, self._fewest, self._latest):
            values = measure(rows[best], who, violating[:, best])
            least = values == values.min()
            if not least.all():
                best, who = best[least], who[:, least]
            if len(best) == 1:
                break
        index = int(best[0])
        row = int(rows[index])
        pods = self._pods.get(row, [])
        chosen = tuple(pods[place] for place in np.flatnonzero(victims[:, index]))
        return Candidate(row, chosen, int(np.count_nonzero(victims[:, index] & violating[:, index])))

    def _violations(self, _: Ints, victims: Bools, violating: Bools) -> Ints:
        return np.asarray((victims & violating).sum(axis=0), np.int64)

    def _highest(self, rows: Ints, victims: Bools, _: Bools) -> Ints:
        """The highest priority of each node's victims."""
        priorities = self._priorities[: self._places, rows]
        return np.asarray(np.where(victims, priorities, -PRIORITY_OFFSET).max(axis=0), np.int64)

    def _total(self, rows: Ints, victims: Bools, _: Bools) -> Ints:
        priorities = self._priorities[: self._places, rows]
        return np.asarray(np.where(victims, priorities + PRIORITY_OFFSET, 0).sum(axis=0), np.int64)

    def _fewest(self, _: Ints, victims: Bools, __: Bools) -> Ints:
        return np.asarray(victims.sum(axis=0), np.int64)

    def _latest(self, rows: Ints, victims: Bools, violating: Bools) -> Ints:
        """How long ago the first of each node's most important victims started."""
        priorities = self._priorities[: self._places, rows]
        important = victims & (priorities == self._highest(rows, victims, violating))
        first: Ints = np.where(important, self._starts[: self._places, rows], _NOBODY).min(axis=0)
        return -first

    def _by_template(self, weigh: Callable[[Template], int]) -> Ints:
        """Of each template in the table's numbering; 0 for places that nobody has."""
        return np.array([*(weigh(template) for template in self._templates), 0], np.int64)

    def _covers(self, budget: Disruption) -> Bools:
        """Likewise whether a budget is about its pods."""
        known = self._covered.setdefault(budget.covers, [])
        known.extend(budget.covers(pod) for pod in self._examples[len(known) :])
        return np.array([*known, False], np.bool_)

    def _refresh(self, cluster: Cluster) -> None:
        changes = cluster.changes_since(self._position) if cluster is self._cluster else None
        nodes = cluster.nodes
        crowded = len(self._templates) > 2 * len(cluster.placed) + _SPARE_TEMPLATES
        if changes is None or crowded or self._version != nodes.version or self._priorities.shape[1] != nodes.size:
            self._allocate(nodes.size, max((len(pods) for pods in cluster.pods_on.values()), default=0))
            changed = set(cluster.pods_on)
        else:
            changed = {change.row for change in changes}
        self._cluster, self._position, self._version = cluster, cluster.position, nodes.version
        if len(self._covered) > _SPARE_TEMPLATES:
            self._covered.clear()
        for row in changed:
            self._describe(cluster, row)
        described, resources = self._requests.shape[1] - 1, len(nodes.resources)
        if described != len(self._examples) or len(self._requests) != resources:
            vectors = [cluster.vector(template) for template in self._templates]
            self._requests = np.array([*vectors, np.zeros(resources, np.int64)]).T.copy()

    def _allocate(self, rows: int, places: int) -> None:
        self._pods.clear()
        self._templates.clear()
        self._examples.clear()
        self._covered.clear()
        #: How many places any node has needed.
        self._places = 0
        places += _SPARE_PLACES
        self._priorities: Ints = np.full((places, rows), _NOBODY, np.int64)
        self._starts: Ints = np.full((places, rows), _NOBODY, np.int64)
        #: Each pod's template; -1 where nobody is.
        self._numbers: Ints = np.full((places, rows), -1, np.int64)
        self._terminating: Bools = np.zeros((places, rows), np.bool_)
        self._requests = np.zeros((0, 1), np.int64)

    def _describe(self, cluster: Cluster, row: int) -> None:
        pods = sorted(cluster.pods_on.get(row, {}).values(), key=importance)
        count = len(pods)
        if count > len(self._priorities):
            self._allocate(self._priorities.shape[1], count)
            for other in cluster.pods_on:
                self._describe(cluster, other)
            return
        self._places = max(self._places, count)
        self._pods[row] = pods
        self._priorities[:, row] = _NOBODY
        self._numbers[:, row] = -1
        if count:
            self._priorities[:count, row] = [pod.priority for pod in pods]
            self._starts[:count, row] = [self._moment(pod.start) for pod in pods]
            self._numbers[:count, row] = [self._number(pod) for pod in pods]
            self._terminating[:count, row] = [pod.terminating for pod in pods]

    def _number(self, pod: PodInfo) -> int:
        number = self._templates.setdefault(pod.template, len(self._templates))
        if number == len(self._examples):
            self._examples.append(pod)
        return number

    def _moment(self, text: str) -> int:
        known = self._seconds.get(text)
        if known is None:
            if len(self._seconds) > 100_000:
                self._seconds.clear()
            known = self._seconds[text] = int(datetime.fromisoformat(text or NOT_STARTED).timestamp())
        return known


def importance(pod: PodInfo) -> tuple[int, str, str]:
    """Sorts the most important pod first: higher priority, then earlier start; of those not yet started, the older."""
    return (-pod.priority, pod.start or NOT_STARTED, pod.pod.metadata.creation_timestamp or "")
