"""Pods that had others removed for them and wait for the room: nobody of lower or equal priority may take it first."""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.template import PodInfo


class Nominations:
    """Which pod waits for which node."""

    def __init__(self) -> None:
        self._pods: dict[PodKey, tuple[str, PodInfo]] = {}

    def set(self, info: PodInfo, node_name: str) -> None:
        self._pods[info.key] = (node_name, info)

    def remove(self, key: PodKey) -> None:
        self._pods.pop(key, None)

    def node_of(self, key: PodKey) -> str:
        return self._pods[key][0] if key in self._pods else ""

    def lower(self, node_name: str, priority: int) -> list[PodInfo]:
        """The pods of lower priority that wait for that node: it is taken from them."""
        return [info for name, info in self._pods.values() if name == node_name and info.priority < priority]

    def blocked(self, info: PodInfo, cluster: Cluster) -> list[int]:
        """The rows where the room left is another's."""
        if not self._pods:
            return []
        reserved: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        for key, (node_name, other) in self._pods.items():
            row = cluster.nodes.rows.get(node_name)
            if key != info.key and other.priority >= info.priority and row is not None:
                vector = cluster.vector(other.template)
                reserved[row] = reserved[row] + vector if row in reserved else vector
        wanted = cluster.vector(info.template)
        nodes = cluster.nodes
        return [
            row
            for row, vector in reserved.items()
            if ((nodes.requested[row] + vector + wanted > nodes.allocatable[row]) & (wanted > 0)).any()
        ]
