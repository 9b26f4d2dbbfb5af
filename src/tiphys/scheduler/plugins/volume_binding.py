"""VolumeBinding: a pod goes where its bound volumes are, and where its unbound claims can get volumes.

Source: Kubernetes documentation, "Storage Classes" (volume binding mode, allowed topologies) and "Storage Capacity".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tiphys.api import persistent_volumes as facts
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.plugin_args import VolumeBindingArgs
from tiphys.scheduler.template import PodInfo, Template
from tiphys.scheduler.volumes import ClaimUse, VolumeTable, provisionable

UNBOUND_IMMEDIATE: Final = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT: Final = "node(s) had volume node affinity conflict"
BIND_CONFLICT: Final = "node(s) didn't find available persistent volumes to bind"
NOT_ENOUGH_SPACE: Final = "node(s) did not have enough free storage"
NO_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class VolumeBinding(Plugin):
    name = "VolumeBinding"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.STORAGE_CHANGED
    args_type = VolumeBindingArgs

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        if not template.claims:
            return None
        table, namespace = cluster.volumes, template.namespace
        found: list[PersistentVolumeClaim] = []
        for use in template.claims:
            claim = table.claims.get((namespace, use.name))
            if reason := _problem(namespace, use, claim):
                return _Refused(reason)
            assert claim is not None
            found.append(claim)
        claims = table.sort(found)
        if claims.immediate:
            return _Refused(UNBOUND_IMMEDIATE)
        return _Filter(_Answers(cluster).of(claims.bound, claims.delayed))

    def reserve(self, info: PodInfo, node_name: str) -> None:
        if info.template.claims:
            nodes = self.handle.cluster.nodes
            self.handle.volumes.reserve(info, nodes.nodes[nodes.rows[node_name]])

    def unreserve(self, info: PodInfo, node_name: str) -> None:
        self.handle.volumes.release(info.key)

    def has_work(self, info: PodInfo) -> bool:
        return bool(self.handle.volumes.is_promised(info.key))

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        await self.handle.volumes.bind(info.key, self.args.bind_timeout_seconds)


def _problem(namespace: str, use: ClaimUse, claim: PersistentVolumeClaim | None) -> str:
    """Why no node will do, whatever it is like; "" if that is not so."""
    if claim is None:
        if use.owner:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{use.name}"'
        return f'persistentvolumeclaim "{use.name}" not found'
    if claim.status.phase == facts.LOST:
        volume = claim.spec.volume_name or ""
        return f'persistentvolumeclaim "{use.name}" bound to non-existent persistentvolume "{volume}"'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{use.name}" is being deleted'
    owners = claim.metadata.owner_references
    if use.owner and not any(o.controller and o.uid == use.owner for o in owners):
        where = f"{namespace}/{use.name}"
        return f"PVC {where} was not created for pod {namespace}/{use.pod_name} (pod is not owner)"
    return ""


class _Answers:
    """For each reason which nodes it holds for; made for all nodes at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = cluster.nodes
        self._table: VolumeTable = cluster.volumes
        self._no_volume = self._none()
        self._conflict = self._none()
        self._no_match = self._none()
        self._no_space = self._none()

    def of(
        self, bound: tuple[PersistentVolumeClaim, ...], delayed: tuple[PersistentVolumeClaim, ...]
    ) -> list[tuple[str, Bools]]:
        for claim in bound:
            volume = self._table.volumes.get(claim.spec.volume_name or "")
            if volume is None:
                self._no_volume[:] = True
            else:
                self._conflict |= ~self._reach(volume)
        # By volume, the nodes where an earlier claim of the pod takes it.
        taken: dict[str, Bools] = {}
        for claim in delayed:
            self._unbound(claim, taken, is_last=claim is delayed[-1])
        return [
            (NO_VOLUME, self._no_volume),
            (NODE_CONFLICT, self._conflict),
            (BIND_CONFLICT, self._no_match),
            (NOT_ENOUGH_SPACE, self._no_space),
        ]

    def _unbound(self, claim: PersistentVolumeClaim, taken: dict[str, Bools], *, is_last: bool) -> None:
        left = ~self._none()
        selected = self._table.selected_node(claim)
        if selected:
            row = self._nodes.rows.get(selected)
            left[:] = False
            if row is not None:
                left[row] = True
            self._no_match |= ~left
        else:
            for volume in self._table.candidates(claim):
                self._offer(volume, left, taken, is_last=is_last)
            if not left.any():
                return
        storage_class = self._table.class_of(claim)
        if storage_class is None or not provisionable(storage_class):
            self._no_match |= left
            return
        self._no_match |= left & ~self._allowed(storage_class)
        if self._table.is_measured(storage_class):
            self._no_space |= left & self._allowed(storage_class) & ~self._room(storage_class, claim)

    def _offer(self, volume: PersistentVolume, left: Bools, taken: dict[str, Bools], *, is_last: bool) -> None:
        """Of the nodes that have nothing for the claim yet, those that can use the volume have it now."""
        # Most volumes of this kind are on one node: rows are looked at, not columns.
        rows = self._cluster.reach(volume)
        rows = np.flatnonzero(left) if rows is None else rows[left[rows]]
        if not len(rows):
            return
        name = volume.metadata.name or ""
        others = taken.get(name)
        if others is not None:
            rows = rows[~others[rows]]
        left[rows] = False
        if not is_last:
            taken.setdefault(name, self._none())[rows] = True

    def _none(self) -> Bools:
        return np.zeros(self._nodes.size, np.bool_)

    def _reach(self, volume: PersistentVolume) -> Bools:
        rows = self._cluster.reach(volume)
        if rows is None:
            return ~self._none()
        reach = self._none()
        reach[rows] = True
        return reach

    def _allowed(self, storage_class: StorageClass) -> Bools:
        allowed = self._none()
        if not storage_class.allowed_topologies:
            return ~allowed
        for term in storage_class.allowed_topologies:
            here = ~self._none()
            for expression in term.match_label_expressions:
                labels = self._nodes.labels(expression.key)
                here &= labels.table_of(expression.values, accept=True)[labels.column]
            allowed |= here
        return allowed

    def _room(self, storage_class: StorageClass, claim: PersistentVolumeClaim) -> Bools:
        room, asked = self._none(), facts.requested(claim).exact
        for capacity in self._table.capacities.values():
            limit = capacity.maximum_volume_size or capacity.capacity
            if capacity.storage_class_name != storage_class.metadata.name or limit is None or limit.exact < asked:
                continue
            selector = from_label_selector(capacity.node_topology)
            for row in self._nodes.rows.values():
                node = self._nodes.nodes[row]
                assert node is not None
                room[row] |= selector.matches(node.metadata.labels)
        return room


class _Filter(NodeFilter):
    def __init__(self, rejections: list[tuple[str, Bools]]) -> None:
        self._rejections = rejections
        rejected = rejections[0][1].copy()
        for _, holds in rejections[1:]:
            rejected |= holds
        self._passes = ~rejected

    def passes(self, rows: Rows) -> Bools:
        return self._passes[rows]

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        for reason, holds in self._rejections:
            yield reason, holds[rows]


class _Refused(NodeFilter):
    """No node: the reason is the pod's own."""

    def __init__(self, reason: str) -> None:
        self.pod_reason = reason
        self._size = 0

    def passes(self, rows: Rows) -> Bools:
        # One answer for whatever rows are asked about.
        return np.zeros(1, np.bool_)
