"""Room made by removing pods: the fewest from one node. Only pods no more important than the one that waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, called, delete_pods, listed
from tiphys.scheduler.nodes import MEMORY_COLUMN
from tiphys.scheduler.template import PodInfo

MAXIMUM_NODES: Final = 8
MAXIMUM_PODS: Final = 5


def evict(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    """Enough room on one node, by as few pods as possible."""
    best: tuple[int, int, list[PodInfo]] | None = None
    for row in _nearest(scene, rows):
        found = _fewest(scene, row)
        if found is not None and (best is None or len(found) < best[0]):
            best = (len(found), row, found)
    if best is None:
        return
    _, row, pods = best
    names = listed([called(pod) for pod in pods])
    text = f"remove {'pod' if len(pods) == 1 else f'{len(pods)} pods'} {names} from node {scene.name(row)}"
    changes = delete_pods([pod.key for pod in pods])
    yield Candidate("RemovePods", text, changes, 6 + len(pods), np.array([row]))


def _nearest(scene: Scene, rows: Ints) -> list[int]:
    """The nodes with the least missing, of those large enough."""
    nodes, vector = scene.cluster.nodes, scene.cluster.vector(scene.template)
    asked = vector > 0
    able = rows[((nodes.allocatable[rows] >= vector) | ~asked).all(axis=1)]
    missing = np.maximum(vector + nodes.requested[able] - nodes.allocatable[able], 0) / np.maximum(vector, 1)
    order = np.argsort(missing[:, asked].max(axis=1), kind="stable")
    return [int(row) for row in able[order[:MAXIMUM_NODES]]]


def _fewest(scene: Scene, row: int) -> list[PodInfo] | None:
    cluster = scene.cluster
    nodes, vector = cluster.nodes, cluster.vector(scene.template)
    asked = vector > 0
    priority = scene.pod.spec.priority or 0
    missing = np.where(asked, vector + nodes.requested[row] - nodes.allocatable[row], 0)
    movable = [pod for pod in cluster.pods_on[row].values() if pod.priority <= priority and not _stays(pod)]
    chosen: list[PodInfo] = []
    while (missing > 0).any() and len(chosen) < MAXIMUM_PODS:
        wanted = np.maximum(missing, 0)
        # The pod that frees most of what is still missing; of equals the smallest, the least important.
        pod = max(movable, key=lambda pod: _gain(scene, pod, wanted), default=None)
        if pod is None or _gain(scene, pod, wanted)[0] <= 0:
            return None
        chosen.append(pod)
        movable.remove(pod)
        missing = missing - cluster.vector(pod.template)
    return None if (missing > 0).any() or not chosen else chosen


def _gain(scene: Scene, pod: PodInfo, wanted: Ints) -> tuple[float, int, int, tuple[str, str]]:
    vector = scene.cluster.vector(pod.template)
    freed = float((np.minimum(vector, wanted) / np.maximum(wanted, 1)).sum())
    return (freed, -pod.priority, -int(vector[: MEMORY_COLUMN + 1].sum()), pod.key)


def _stays(pod: PodInfo) -> bool:
    """Pods that come back at once, or that only their node can end."""
    meta = pod.pod.metadata
    return "kubernetes.io/config.mirror" in meta.annotations or any(
        owner.kind == "DaemonSet" for owner in meta.owner_references
    )
