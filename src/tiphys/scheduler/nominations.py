"""Pods that had others removed for them and wait for the room: nobody of lower or equal priority may take it first.

What they will take is kept as a matrix like the nodes' own, so that asking costs the same for one and for thousands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from tiphys.scheduler import messages
from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.template import PodInfo


class Nominations:
    """Which pod waits for which node."""

    def __init__(self) -> None:
        self._pods: dict[PodKey, tuple[str, PodInfo]] = {}
        self._on: dict[str, dict[PodKey, PodInfo]] = {}
        self._priorities: Counter[int] = Counter()
        #: By row and resource column what all of them will take; with the version of the node table it was made for.
        self._reserved: Ints = np.zeros((0, 0), np.int64)
        self._version = -1
        #: (1 came or -1 went, node, pod) since.
        self._changes: list[tuple[int, str, PodInfo]] = []
        #: The uids of the pods that are being removed for each.
        self._victims: dict[PodKey, set[str]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def set(self, info: PodInfo, node_name: str, victims: Iterable[str] = ()) -> None:
        """`victims`: the uids of the pods that are removed for it; as long as they are there it asks for no others."""
        self.remove(info.key)
        self._victims[info.key] = set(victims)
        self._pods[info.key] = (node_name, info)
        self._on.setdefault(node_name, {})[info.key] = info
        self._priorities[info.priority] += 1
        self._changes.append((1, node_name, info))

    def remove(self, key: PodKey) -> bool:
        """Nothing is kept for the pod any more; returns whether something was."""
        found = self._pods.pop(key, None)
        if found is None:
            return False
        node_name, info = found
        del self._victims[key]
        del self._on[node_name][key]
        if not self._on[node_name]:
            del self._on[node_name]
        self._priorities[info.priority] -= 1
        if not self._priorities[info.priority]:
            del self._priorities[info.priority]
        self._changes.append((-1, node_name, info))
        return True

    def wants_gone(self, key: PodKey, victim: str) -> bool:
        """Whether that pod is still to be removed for it."""
        return victim in self._victims.get(key, ())

    def spare(self, key: PodKey, victim: str) -> None:
        """A victim does not go after all."""
        if key in self._victims:
            self._victims[key].discard(victim)

    def waits_for_victims(self, info: PodInfo, cluster: Cluster) -> bool:
        """Whether pods that were removed for it are still on its node: it shall not have others removed besides.

        Of those that another scheduler, or we before a restart, removed, their status tells.
        """
        row = cluster.nodes.rows.get(self.node_of(info.key))
        if row is None:
            return False
        victims = self._victims[info.key]
        return any(
            pod.priority < info.priority and (pod.uid in victims or _is_victim(pod))
            for pod in cluster.pods_on[row].values()
        )

    def node_of(self, key: PodKey) -> str:
        return self._pods[key][0] if key in self._pods else ""

    def on(self, node_name: str) -> list[PodInfo]:
        """The pods that wait for that node."""
        return list(self._on.get(node_name, {}).values())

    def lower(self, node_name: str, priority: int) -> list[PodInfo]:
        """The pods of lower priority that wait for that node: it is taken from them."""
        return [info for info in self._on.get(node_name, {}).values() if info.priority < priority]

    def before(self, info: PodInfo, node_name: str) -> list[PodInfo]:
        """The others that wait for that node and are no less important: they count as there."""
        there = self._on.get(node_name)
        if not there:
            return []
        return [other for key, other in there.items() if key != info.key and other.priority >= info.priority]

    def guests(self, info: PodInfo, cluster: Cluster) -> list[tuple[int, PodInfo]]:
        """(row, pod) of all others that are no less important and wait for a node that is there."""
        rows = cluster.nodes.rows
        return [
            (rows[node_name], other)
            for key, (node_name, other) in self._pods.items()
            if other.priority >= info.priority and key != info.key and node_name in rows
        ]

    def reserved(self, info: PodInfo, cluster: Cluster) -> tuple[Ints, Ints] | None:
        """(rows, what will be taken there by pods no less important than `info`); None if there is nothing."""
        if not self._pods:
            return None
        own = self._pods.get(info.key)
        if min(self._priorities) < info.priority:
            others = self._pods.values()
            matter = [(1, name, o) for name, o in others if o.priority >= info.priority and o.key != info.key]
            matrix = _added(np.zeros_like(cluster.nodes.requested), matter, cluster)
        else:
            matrix = self._all(cluster)
            row = None if own is None else cluster.nodes.rows.get(own[0])
            if own is not None and row is not None:
                matrix = matrix.copy()
                matrix[row] -= cluster.vector(info.template)
        rows = np.flatnonzero(matrix.any(axis=1))
        return (rows, matrix[rows]) if len(rows) else None

    def blocked(self, info: PodInfo, cluster: Cluster) -> list[int]:
        """The rows where the room left is another's."""
        reserved = self.reserved(info, cluster)
        if reserved is None:
            return []
        rows, short = _short(info, cluster, *reserved)
        found: list[int] = rows[short.any(axis=1)].tolist()
        return found

    def lacking(self, info: PodInfo, cluster: Cluster, among: Ints) -> tuple[Counter[str], Ints]:
        """Of those rows, on how many each resource is another's (``{"Insufficient cpu": 2}``); and where none is."""
        reserved = self.reserved(info, cluster)
        if reserved is None:
            return Counter(), among
        rows, short = _short(info, cluster, *reserved)
        short &= np.isin(rows, among)[:, None]
        names = list(cluster.nodes.resources)
        counts = np.count_nonzero(short, axis=0)
        said = Counter({messages.insufficient(names[column]): int(counts[column]) for column in np.flatnonzero(counts)})
        return said, np.setdiff1d(among, rows[short.any(axis=1)])

    def _all(self, cluster: Cluster) -> Ints:
        nodes, changes = cluster.nodes, self._changes
        for _, _, info in changes:
            cluster.vector(info.template)  # a new resource name widens the node table
        if self._version != nodes.version or self._reserved.shape != nodes.requested.shape:
            self._reserved, self._version = np.zeros_like(nodes.requested), nodes.version
            changes = [(1, node_name, info) for node_name, info in self._pods.values()]
        self._reserved = _added(self._reserved, changes, cluster)
        self._changes.clear()
        return self._reserved


def _short(info: PodInfo, cluster: Cluster, rows: Ints, amounts: Ints) -> tuple[Ints, Bools]:
    """(rows, by row and resource whether there is too little for `info` besides `amounts`)."""
    wanted, nodes = cluster.vector(info.template), cluster.nodes
    over: Bools = nodes.requested[rows] + amounts + wanted > nodes.allocatable[rows]
    return rows, over & (wanted > 0)


def _is_victim(pod: PodInfo) -> bool:
    """Whether the pod is going because of a preemption."""
    return pod.terminating and any(
        condition.type == "DisruptionTarget"
        and condition.status == "True"
        and condition.reason == "PreemptionByScheduler"
        for condition in pod.pod.status.conditions
    )


def _added(matrix: Ints, changes: Iterable[tuple[int, str, PodInfo]], cluster: Cluster) -> Ints:
    for sign, node_name, info in changes:
        row = cluster.nodes.rows.get(node_name)
        if row is not None:
            matrix[row] += sign * cluster.vector(info.template)
    return matrix
