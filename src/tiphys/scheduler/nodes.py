"""The nodes as columns: one row a node, one array a fact.

A row is reused after its node is gone; `active` says which are in use. Arrays are replaced when the table must grow or
a resource name is new, and their contents change otherwise: `version` moves whenever anything but the numbers of pods
on nodes changed, and whoever keeps derived columns starts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tiphys.api.types.core_v1 import Node, Taint
from tiphys.scheduler.arrays import ABSENT, Bools, Ints, Rows
from tiphys.scheduler.requests import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, Amounts, amounts

_FIRST_ROWS = 16
_RESOURCES = (CPU, MEMORY, EPHEMERAL_STORAGE, PODS)
CPU_COLUMN, MEMORY_COLUMN, PODS_COLUMN = 0, 1, 3
HOSTNAME = "kubernetes.io/hostname"
CORDON_TAINT = "node.kubernetes.io/unschedulable"

Taints = tuple[tuple[str, str, str], ...]
"""(key, value, effect) of each, sorted."""


class Labels:
    """One label key: its values interned, and each node's value as a number."""

    def __init__(self, rows: int) -> None:
        self.ids: dict[str, int] = {}
        self.values: list[str] = []
        self.column: Ints = np.full(rows, ABSENT, np.int64)

    def set(self, row: int, value: str | None) -> None:
        if value is None:
            self.column[row] = ABSENT
            return
        number = self.ids.get(value)
        if number is None:
            number = self.ids[value] = len(self.values)
            self.values.append(value)
        self.column[row] = number

    def table(self, accepts: Callable[[str], bool], *, absent: bool) -> Bools:
        """A lookup table: ``table[column]`` says which nodes have an accepted value; `absent`: those without count."""
        table = np.empty(len(self.values) + 1, np.bool_)
        table[:-1] = [accepts(value) for value in self.values]
        table[ABSENT] = absent
        return table

    def table_of(self, values: Iterable[str], *, accept: bool) -> Bools:
        """The same for a set of values: one of them (`accept`), or anything else, or nothing."""
        table = np.full(len(self.values) + 1, not accept, np.bool_)
        table[[number for value in values if (number := self.ids.get(value)) is not None]] = accept
        return table


class NodeTable:
    """Columns of all nodes. Arrays have `size` entries; only rows where `active` mean anything."""

    def __init__(self) -> None:
        self.version = 0
        self.size = _FIRST_ROWS
        self.count = 0
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = [None] * self.size
        self.names: list[str] = [""] * self.size
        self.resources: dict[str, int] = {name: column for column, name in enumerate(_RESOURCES)}
        self.active: Bools = np.zeros(self.size, np.bool_)
        self.unschedulable: Bools = np.zeros(self.size, np.bool_)
        #: Shape (size, resources); columns by `resources`, each contiguous: that is how they are computed with.
        self.allocatable: Ints = np.zeros((self.size, len(_RESOURCES)), np.int64, order="F")
        self.requested: Ints = np.zeros_like(self.allocatable)
        #: Shape (size, 2): cpu and memory requested, with defaults for pods that request none; for scores only.
        self.nonzero: Ints = np.zeros((self.size, 2), np.int64, order="F")
        #: Each node's taints as an index into `taint_sets`.
        self.taints: Ints = np.zeros(self.size, np.int64)
        self.taint_sets: list[Taints] = [()]
        #: Image name to its size in bytes and the rows that have it.
        self.images: dict[str, tuple[int, set[int]]] = {}
        self._taint_ids: dict[Taints, int] = {(): 0}
        self._labels: dict[str, Labels] = {}
        self._free: list[int] = list(range(self.size - 1, -1, -1))

    def add(self, node: Node) -> int:
        """A node appears; returns its row."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        name = node.metadata.name or ""
        self.rows[name] = row
        self.names[row] = name
        self.active[row] = True
        self.count += 1
        self._describe(row, node)
        return row

    def update(self, node: Node) -> bool:
        """A node changed; returns whether in anything that matters here."""
        row = self.rows[node.metadata.name or ""]
        before = self.nodes[row]
        assert before is not None
        if _facts(before) == _facts(node):
            self.nodes[row] = node
            return False
        self._forget(row, before)
        self._describe(row, node)
        return True

    def remove(self, name: str) -> int:
        """A node is gone; returns the row it had. Its pods must have been removed before."""
        row = self.rows.pop(name)
        before = self.nodes[row]
        assert before is not None
        self._forget(row, before)
        for labels in self._labels.values():
            labels.set(row, None)
        self.active[row] = False
        self.nodes[row] = None
        self.names[row] = ""
        self.allocatable[row] = self.requested[row] = 0
        self.nonzero[row] = 0
        self.taints[row] = 0
        self.unschedulable[row] = False
        self.count -= 1
        self._free.append(row)
        self.version += 1
        return row

    def labels(self, key: str) -> Labels:
        """The column of a label key, made when first asked for."""
        labels = self._labels.get(key)
        if labels is None:
            labels = self._labels[key] = Labels(self.size)
            for row in self.rows.values():
                node = self.nodes[row]
                assert node is not None
                labels.set(row, node.metadata.labels.get(key))
        return labels

    def vector(self, requests: Mapping[str, int]) -> Ints:
        """A pod's requests in the order of `resources`, itself counted in the pods column."""
        for name in requests:
            if name not in self.resources:
                self._add_resource(name)
        vector = np.zeros(len(self.resources), np.int64)
        for name, amount in requests.items():
            vector[self.resources[name]] = amount
        vector[PODS_COLUMN] = 1
        return vector

    def by_taints(self, answer: Callable[[Taints], Any], rows: Rows, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """``answer`` for each node's taints, asked once per distinct set."""
        return np.array([answer(taints) for taints in self.taint_sets], dtype)[self.taints[rows]]

    def _describe(self, row: int, node: Node) -> None:
        self.version += 1
        self.nodes[row] = node
        allocatable: Amounts = amounts(node.status.allocatable)
        for name in allocatable:
            if name not in self.resources:
                self._add_resource(name)
        self.allocatable[row] = 0
        for name, amount in allocatable.items():
            self.allocatable[row, self.resources[name]] = amount
        self.unschedulable[row] = bool(node.spec.unschedulable)
        self.taints[row] = self._taint_id(node.spec.taints)
        for key, labels in self._labels.items():
            labels.set(row, node.metadata.labels.get(key))
        for image in node.status.images:
            for name in image.names:
                self.images.setdefault(name, (image.size_bytes or 0, set()))[1].add(row)

    def _forget(self, row: int, node: Node) -> None:
        for image in node.status.images:
            for name in image.names:
                known = self.images.get(name)
                if known is not None:
                    known[1].discard(row)
                    if not known[1]:
                        del self.images[name]

    def _taint_id(self, taints: tuple[Taint, ...]) -> int:
        key: Taints = tuple(sorted((taint.key, taint.value or "", taint.effect) for taint in taints))
        number = self._taint_ids.get(key)
        if number is None:
            number = self._taint_ids[key] = len(self.taint_sets)
            self.taint_sets.append(key)
        return number

    def _add_resource(self, name: str) -> None:
        self.resources[name] = len(self.resources)
        self.allocatable = np.pad(self.allocatable, ((0, 0), (0, 1)))
        self.requested = np.pad(self.requested, ((0, 0), (0, 1)))
        self.version += 1

    def _grow(self) -> None:
        more = self.size
        self._free = list(range(self.size + more - 1, self.size - 1, -1))
        self.size += more
        self.nodes += [None] * more
        self.names += [""] * more
        self.active = np.pad(self.active, (0, more))
        self.unschedulable = np.pad(self.unschedulable, (0, more))
        self.allocatable = np.pad(self.allocatable, ((0, more), (0, 0)))
        self.requested = np.pad(self.requested, ((0, more), (0, 0)))
        self.nonzero = np.pad(self.nonzero, ((0, more), (0, 0)))
        self.taints = np.pad(self.taints, (0, more))
        for labels in self._labels.values():
            labels.column = np.pad(labels.column, (0, more), constant_values=ABSENT)
        self.version += 1


def _facts(node: Node) -> tuple[Any, ...]:
    status = node.status
    return (node.metadata.labels, node.spec.taints, node.spec.unschedulable, status.allocatable, status.images)
