"""Whom to remove from which node, for many nodes at once, where pods matter by the room they take alone.

Every node's pods are a line of a table, the most important first, kept true by the cluster's change log. Preemption is
then upstream's, a column at a time: take all pods of lower priority off; then put back, from the most important on,
each that leaves enough room. Who cannot be put back is a victim.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Candidate
from tiphys.scheduler.nodes import PODS_COLUMN
from tiphys.scheduler.template import PodInfo

PRIORITY_OFFSET: Final = 1 << 31
"""Makes every priority positive: a sum of fewer is smaller."""
_NOBODY: Final = np.iinfo(np.int64).max
_CELLS_AT_ONCE: Final = 40_000
"""Pods looked at in one turn: a turn takes about a millisecond."""
_FIRST_WIDTH: Final = 8


class Room(NamedTuple):
    """What a pod needs: `amounts` free in the resource `columns`, once `reserved` (rows, amounts) is taken."""

    cluster: Cluster
    columns: Ints
    amounts: Ints
    reserved: tuple[Ints, Ints] | None
    priority: int

    def free(self, rows: Ints) -> Ints:
        """By row and column what is left for it to need, negative where there is too little."""
        nodes = self.cluster.nodes
        free: Ints = (nodes.allocatable[rows] - nodes.requested[rows])[:, self.columns] - self.amounts
        if self.reserved is not None:
            taken = np.zeros((nodes.size, len(self.columns)), np.int64)
            taken[self.reserved[0]] = self.reserved[1][:, self.columns]
            free -= taken[rows]
        return free


class VictimTable:
    """The pods on each node by importance. `priorities` of places that nobody has are the highest number."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._position = -1
        self._version = -1
        self._seconds: dict[str, int] = {}
        self._pods: dict[int, list[PodInfo]] = {}
        self._priorities: Ints = np.zeros((0, 0), np.int64)
        self._starts: Ints = self._priorities
        self._vectors: Ints = np.zeros((0, 0, 0), np.int64)

    def best(self, cluster: Cluster, room: Room, rows: Ints, wanted: int) -> tuple[Candidate | None, Counter[str]]:
        """The best of the first nodes of `rows` that can be made to fit: of all looked at until `wanted` were found.

        If there is none: why not, each reason with the number of nodes.
        """
        self._refresh(cluster)
        reasons: Counter[str] = Counter()
        found: list[tuple[Ints, Bools]] = []
        count = 0
        step = max(wanted, _CELLS_AT_ONCE // max(self._priorities.shape[1], 1))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            lower: Bools = self._priorities[part] < room.priority
            some = lower.any(axis=1)
            if missing := len(part) - int(np.count_nonzero(some)):
                reasons[messages.NO_VICTIMS] += missing
            part, victims = self._victims(part[some], lower[some], room, reasons)
            if len(part):
                found.append((part, victims))
                count += len(part)
            if count >= wanted:
                break
        if not found:
            return None, reasons
        return self._choose(np.concatenate([r for r, _ in found]), np.concatenate([v for _, v in found])), reasons

    def _victims(self, rows: Ints, lower: Bools, room: Room, reasons: Counter[str]) -> tuple[Ints, Bools]:
        """Of `rows` those that can be made to fit, and who must go there."""
        vectors = self._vectors[rows][:, :, room.columns] * lower[:, :, np.newaxis]
        free = room.free(rows) + vectors.sum(axis=1)
        enough: Bools = (free >= 0).all(axis=1)
        if not enough.all():
            _explain(room, free[~enough], reasons)
            rows, lower, vectors, free = rows[enough], lower[enough], vectors[enough], free[enough]
        victims = np.zeros(lower.shape, np.bool_)
        for place in range(lower.shape[1] if len(rows) else 0):
            there = lower[:, place]
            if not there.any():
                continue
            left = free - vectors[:, place]
            fits = (left >= 0).all(axis=1)
            victims[:, place] = there & ~fits
            free = np.where(fits[:, np.newaxis], left, free)
        return rows, victims

    def _choose(self, rows: Ints, victims: Bools) -> Candidate:
        """Lowest highest priority, lowest sum of priorities, fewest victims, latest start; the first of equals."""
        priorities = self._priorities[rows]
        highest = np.where(victims, priorities, -PRIORITY_OFFSET).max(axis=1)
        total = np.where(victims, priorities + PRIORITY_OFFSET, 0).sum(axis=1)
        first = np.where(victims & (priorities == highest[:, np.newaxis]), self._starts[rows], _NOBODY).min(axis=1)
        order = np.lexsort((-first, victims.sum(axis=1), total, highest))
        index = int(order[0])
        row = int(rows[index])
        pods = self._pods.get(row, [])
        return Candidate(row, tuple(pods[place] for place in np.flatnonzero(victims[index])))

    def _refresh(self, cluster: Cluster) -> None:
        changes = cluster.changes_since(self._position) if cluster is self._cluster else None
        shape = (cluster.nodes.size, len(cluster.nodes.resources))
        if changes is None or self._version != cluster.nodes.version or self._priorities.shape[:1] != shape[:1]:
            width = max((len(pods) for pods in cluster.pods_on.values()), default=0)
            self._allocate(shape, max(width, _FIRST_WIDTH))
            self._pods.clear()
            changed = set(cluster.pods_on)
        else:
            changed = {change.row for change in changes}
        self._cluster, self._position, self._version = cluster, cluster.position, cluster.nodes.version
        for row in changed:
            self._describe(cluster, row)

    def _allocate(self, shape: tuple[int, int], width: int) -> None:
        self._priorities = np.full((shape[0], width), _NOBODY, np.int64)
        self._starts = np.full((shape[0], width), _NOBODY, np.int64)
        self._vectors = np.zeros((shape[0], width, shape[1]), np.int64)

    def _describe(self, cluster: Cluster, row: int) -> None:
        pods = sorted(cluster.pods_on.get(row, {}).values(), key=importance)
        if len(pods) > self._priorities.shape[1]:
            more = len(pods)
            self._priorities = _wider(self._priorities, more, _NOBODY)
            self._starts = _wider(self._starts, more, _NOBODY)
            self._vectors = _wider(self._vectors, more, 0)
        count = len(pods)
        self._pods[row] = pods
        self._priorities[row] = _NOBODY
        self._vectors[row] = 0
        if count:
            self._priorities[row, :count] = [pod.priority for pod in pods]
            self._starts[row, :count] = [self._moment(pod.start) for pod in pods]
            self._vectors[row, :count] = [cluster.vector(pod.template) for pod in pods]

    def _moment(self, text: str) -> int:
        known = self._seconds.get(text)
        if known is None:
            if len(self._seconds) > 100_000:
                self._seconds.clear()
            known = self._seconds[text] = int(datetime.fromisoformat(text).timestamp()) if text else 0
        return known


def _wider(array: Ints, width: int, fill: int) -> Ints:
    """Half as wide again as needed: nodes fill up one pod at a time."""
    wider = np.full((array.shape[0], width + width // 2, *array.shape[2:]), fill, np.int64)
    wider[:, : array.shape[1]] = array
    return wider


def _explain(room: Room, missing: Ints, reasons: Counter[str]) -> None:
    """What there is too little of even with nobody of lower priority there."""
    names = list(room.cluster.nodes.resources)
    for position, column in enumerate(room.columns):
        count = int(np.count_nonzero(missing[:, position] < 0))
        if count:
            reasons["Too many pods" if column == PODS_COLUMN else f"Insufficient {names[column]}"] += count


def importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important pod first: higher priority, then earlier start."""
    return (-pod.priority, pod.start)
