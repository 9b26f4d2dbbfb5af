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
from tiphys.scheduler.nodes import PODS_COLUMN
from tiphys.scheduler.template import PodInfo, Template

PRIORITY_OFFSET: Final = 1 << 31
"""Makes every priority positive: a sum of fewer is smaller."""
_NOBODY: Final = np.iinfo(np.int64).max
_CELLS_AT_ONCE: Final = 40_000
"""Pods looked at in one turn: a turn takes about a millisecond."""
_FIRST_WIDTH: Final = 8
_SPARE_TEMPLATES: Final = 1_000
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
        """By row and limit what is left, negative where there is too little; resources come first."""
        nodes, limits = self.cluster.nodes, self.limits
        free: Ints = (nodes.allocatable[rows] - nodes.requested[rows])[:, limits.columns] - limits.amounts
        if self.reserved is not None:
            taken = np.zeros((nodes.size, len(limits.columns)), np.int64)
            taken[self.reserved[0]] = self.reserved[1][:, limits.columns]
            free -= taken[rows]
        if not limits.others:
            return free
        return np.column_stack([free, *(self._left(limit, rows) for limit in limits.others)])

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
        left = np.ones(len(missing), np.bool_)
        resources = len(self.limits.columns)
        for index, limit in enumerate(self.limits.before):
            left = _first(limit, missing[:, resources + index] < 0, left, reasons)
        short = missing[:, :resources] < 0
        names = list(self.cluster.nodes.resources)
        for position, column in enumerate(self.limits.columns):
            count = int(np.count_nonzero(short[:, position] & left))
            if count:
                reasons["Too many pods" if column == PODS_COLUMN else f"Insufficient {names[column]}"] += count
        left &= ~short.any(axis=1)
        for index, limit in enumerate(self.limits.after, resources + len(self.limits.before)):
            left = _first(limit, missing[:, index] < 0, left, reasons)


def _first(limit: Limit, fails: Bools, left: Bools, reasons: Counter[str]) -> Bools:
    if count := int(np.count_nonzero(fails & left)):
        reasons[limit.reason] += count
    return left & ~fails


class _Part(NamedTuple):
    """Some nodes that can be made to fit, with who goes there and whom of these a budget protects. (rows, places)"""

    rows: Ints
    victims: Bools
    violating: Bools


class VictimTable:
    """The pods on each node by importance. `priorities` of places that nobody has are the highest number."""

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
        self._allocate((0, 0), 0)

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
        step = max(wanted, _CELLS_AT_ONCE // max(self._priorities.shape[1], 1))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            lower: Bools = self._priorities[part] < room.priority
            some = lower.any(axis=1)
            if missing := len(part) - int(np.count_nonzero(some)):
                reasons[messages.NO_VICTIMS] += missing
            fit = self._victims(part[some], lower[some], room, weights, covered, reasons)
            if len(fit.rows):
                found.append(fit)
                count += len(fit.rows)
                harmless = harmless or not (fit.victims & fit.violating).any(axis=1).all()
            if count >= wanted and harmless:
                break
        if not found:
            return None, reasons
        return self._choose(*(np.concatenate(columns) for columns in zip(*found, strict=True))), reasons

    def hopeful(self, room: Room, rows: Ints, reasons: Counter[str]) -> Ints:
        """Of `rows` those that are within the limits without pods of lower priority. `reasons`: why the rest is not."""
        self._refresh(room.cluster)
        lower: Bools = self._priorities[rows] < room.priority
        some = lower.any(axis=1)
        if missing := len(rows) - int(np.count_nonzero(some)):
            reasons[messages.NO_VICTIMS] += missing
        rows, lower = rows[some], lower[some]
        weights = [self._by_template(limit.weigh) for limit in room.limits.others]
        free = room.free(rows) + (self._used(rows, room, weights) * lower[:, :, np.newaxis]).sum(axis=1)
        enough: Bools = (free >= 0).all(axis=1)
        room.explain(free[~enough], reasons)
        return rows[enough]

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
        vectors = self._used(rows, room, weights) * lower[:, :, np.newaxis]
        free = room.free(rows) + vectors.sum(axis=1)
        enough: Bools = (free >= 0).all(axis=1)
        if not enough.all():
            room.explain(free[~enough], reasons)
            rows, lower, vectors, free = rows[enough], lower[enough], vectors[enough], free[enough]
        violating = self._violating(rows, lower, covered)
        victims = np.zeros(lower.shape, np.bool_)
        # Those that need not go are put back, the protected and the most important first.
        for back in (violating, lower & ~violating) if violating.any() else (lower,):
            for place in range(lower.shape[1] if len(rows) else 0):
                there = back[:, place]
                if not there.any():
                    continue
                left = free - vectors[:, place]
                fits = (left >= 0).all(axis=1)
                victims[:, place] |= there & ~fits
                free = np.where((fits & there)[:, np.newaxis], left, free)
        return _Part(rows, victims, violating)

    def _used(self, rows: Ints, room: Room, weights: Sequence[Ints]) -> Ints:
        """By row, place and limit what the pod there uses."""
        vectors = self._vectors[rows][:, :, room.limits.columns]
        if not weights:
            return vectors
        numbers, running = self._numbers[rows], ~self._terminating[rows]
        used = [vectors]
        for limit, weight in zip(room.limits.others, weights, strict=True):
            amounts: Ints = weight[numbers]
            if not limit.terminating:
                amounts = amounts * running
            if limit.counted is not None:
                amounts = amounts * limit.counted[rows][:, np.newaxis]
            used.append(amounts[:, :, np.newaxis])
        return np.concatenate(used, axis=2)

    def _violating(self, rows: Ints, lower: Bools, covered: Sequence[tuple[Disruption, Bools]]) -> Bools:
        """Who may not go by some budget, if all of lower priority went, the most important first."""
        violating = np.zeros(lower.shape, np.bool_)
        for budget, mask in covered:
            concerned: Bools = mask[self._numbers[rows]] & lower
            if budget.excused:
                for index, row in enumerate(rows.tolist()):
                    for place, pod in enumerate(self._pods[row]):
                        concerned[index, place] &= pod.key[1] not in budget.excused
            violating |= concerned & (concerned.cumsum(axis=1) > budget.allowed)
        return violating

    def _choose(self, rows: Ints, victims: Bools, violating: Bools) -> Candidate:
        """Fewest violations, lowest highest priority, lowest sum of priorities, fewest victims, latest start; the first
        of equals.
        """
        priorities = self._priorities[rows]
        violations = (victims & violating).sum(axis=1)
        highest = np.where(victims, priorities, -PRIORITY_OFFSET).max(axis=1)
        total = np.where(victims, priorities + PRIORITY_OFFSET, 0).sum(axis=1)
        first = np.where(victims & (priorities == highest[:, np.newaxis]), self._starts[rows], _NOBODY).min(axis=1)
        order = np.lexsort((-first, victims.sum(axis=1), total, highest, violations))
        index = int(order[0])
        row = int(rows[index])
        pods = self._pods.get(row, [])
        chosen = tuple(pods[place] for place in np.flatnonzero(victims[index]))
        return Candidate(row, chosen, int(violations[index]))

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
        shape = (cluster.nodes.size, len(cluster.nodes.resources))
        crowded = len(self._templates) > 2 * len(cluster.placed) + _SPARE_TEMPLATES
        if changes is None or crowded or self._version != cluster.nodes.version or self._vectors.shape[::2] != shape:
            width = max((len(pods) for pods in cluster.pods_on.values()), default=0)
            self._allocate(shape, max(width, _FIRST_WIDTH))
            changed = set(cluster.pods_on)
        else:
            changed = {change.row for change in changes}
        self._cluster, self._position, self._version = cluster, cluster.position, cluster.nodes.version
        if len(self._covered) > _SPARE_TEMPLATES:
            self._covered.clear()
        for row in changed:
            self._describe(cluster, row)

    def _allocate(self, shape: tuple[int, int], width: int) -> None:
        self._pods.clear()
        self._templates.clear()
        self._examples.clear()
        self._covered.clear()
        self._priorities: Ints = np.full((shape[0], width), _NOBODY, np.int64)
        self._starts: Ints = np.full((shape[0], width), _NOBODY, np.int64)
        #: Each pod's template; -1 where nobody is.
        self._numbers: Ints = np.full((shape[0], width), -1, np.int64)
        self._terminating: Bools = np.zeros((shape[0], width), np.bool_)
        self._vectors: Ints = np.zeros((shape[0], width, shape[1]), np.int64)

    def _describe(self, cluster: Cluster, row: int) -> None:
        pods = sorted(cluster.pods_on.get(row, {}).values(), key=importance)
        if len(pods) > self._priorities.shape[1]:
            more = len(pods)
            self._priorities = _wider(self._priorities, more, _NOBODY)
            self._starts = _wider(self._starts, more, _NOBODY)
            self._numbers = _wider(self._numbers, more, -1)
            self._terminating = _wider(self._terminating, more, 0).astype(np.bool_)
            self._vectors = _wider(self._vectors, more, 0)
        count = len(pods)
        self._pods[row] = pods
        self._priorities[row] = _NOBODY
        self._numbers[row] = -1
        self._vectors[row] = 0
        if count:
            self._priorities[row, :count] = [pod.priority for pod in pods]
            self._starts[row, :count] = [self._moment(pod.start) for pod in pods]
            self._numbers[row, :count] = [self._number(pod) for pod in pods]
            self._terminating[row, :count] = [pod.terminating for pod in pods]
            self._vectors[row, :count] = [cluster.vector(pod.template) for pod in pods]

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


def _wider(array: Ints | Bools, width: int, fill: int) -> Ints:
    """Half as wide again as needed: nodes fill up one pod at a time."""
    wider = np.full((array.shape[0], width + width // 2, *array.shape[2:]), fill, np.int64)
    wider[:, : array.shape[1]] = array
    return wider


def importance(pod: PodInfo) -> tuple[int, str, str]:
    """Sorts the most important pod first: higher priority, then earlier start; of those not yet started, the older."""
    return (-pod.priority, pod.start or NOT_STARTED, pod.pod.metadata.creation_timestamp or "")
