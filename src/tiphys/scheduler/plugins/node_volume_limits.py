"""NodeVolumeLimits: no more volumes of a CSI driver on a node than its CSINode says.

Those count that pods there use, and those that are attached though no pod uses them (any more, or yet).
"""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from tiphys.scheduler.arrays import ABSENT, Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.template import Template
from tiphys.scheduler.volumes import ClaimKey, VolumeTable

Handle = tuple[str, str]
"""(driver, volume handle); a claim without a volume stands for the one it will have."""


class NodeVolumeLimits(Plugin):
    name = "NodeVolumeLimits"
    helped_by = Trigger.NODE_ADDED | Trigger.POD_GONE | Trigger.STORAGE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        if not template.claims or not cluster.volumes.csi_nodes:
            return None
        asked = {
            handle for use in template.claims if (handle := handle_of(cluster.volumes, (template.namespace, use.name)))
        }
        limits = _limits(cluster, {driver for driver, _ in asked})
        return _Filter(asked, limits, cluster) if limits else None


def handle_of(table: VolumeTable, key: ClaimKey) -> Handle | None:
    """What the claim's volume counts as; None if it is of no CSI driver."""
    claim = table.claims.get(key)
    if claim is None:
        return None
    volume = table.volumes.get(claim.spec.volume_name or "")
    if volume is not None:
        return (volume.spec.csi.driver, volume.spec.csi.volume_handle) if volume.spec.csi is not None else None
    storage_class = table.class_of(claim)
    return (storage_class.provisioner, "/".join(key)) if storage_class is not None else None


def _limits(cluster: Cluster, drivers: set[str]) -> dict[int, dict[str, int]]:
    """By row and driver, how many volumes may be there, as far as it is limited."""
    found: dict[int, dict[str, int]] = {}
    for name, csi_node in cluster.volumes.csi_nodes.items():
        row = cluster.nodes.rows.get(name)
        if row is None:
            continue
        for driver in csi_node.spec.drivers:
            if driver.name in drivers and driver.allocatable is not None and driver.allocatable.count is not None:
                found.setdefault(row, {})[driver.name] = driver.allocatable.count
    return found


def _attached(cluster: Cluster, rows: Container[int]) -> dict[int, set[Handle]]:
    """By row, of those given, the volumes that are attached there."""
    found: dict[int, set[Handle]] = {}
    for attachment in cluster.volumes.attachments.values():
        row = cluster.nodes.rows.get(attachment.spec.node_name, ABSENT)
        volume = cluster.volumes.volumes.get(attachment.spec.source.persistent_volume_name or "")
        if row in rows and volume is not None and volume.spec.csi is not None:
            found.setdefault(row, set()).add((volume.spec.csi.driver, volume.spec.csi.volume_handle))
    return found


class _Filter(NodeFilter):
    reason = "node(s) exceed max volume count"
    resolvable = True

    def __init__(self, asked: set[Handle], limits: dict[int, dict[str, int]], cluster: Cluster) -> None:
        self._asked = asked
        self._limits = limits
        self._claims_on = cluster.claims_on
        self._attached = _attached(cluster, limits)
        self._table = cluster.volumes
        self._size = cluster.nodes.size

    def passes(self, rows: Rows) -> Bools:
        fits = np.ones(self._size, np.bool_)
        looked_at = self._limits if isinstance(rows, slice) else self._limits.keys() & set(rows.tolist())
        for row in looked_at:
            fits[row] = self._fits(row)
        return fits[rows]

    def _fits(self, row: int) -> bool:
        there = {handle for key in self._claims_on.get(row, ()) if (handle := handle_of(self._table, key))}
        there |= self._attached.get(row, set())
        fresh = self._asked - there
        for driver, limit in self._limits[row].items():
            more = sum(1 for name, _ in fresh if name == driver)
            if more and sum(1 for name, _ in there if name == driver) + more > limit:
                return False
        return True
