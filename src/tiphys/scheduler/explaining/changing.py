"""Changes made to a cluster's columns, and taken back; with what controllers would do about them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.scheduler.arrays import ABSENT
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.devices.state import DeviceState, claim_names
from tiphys.scheduler.explaining.changed_objects import empty_like, patched, patched_node
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.template import PodInfo, Template
from tiphys.scheduler.volumes import provisionable

_STORAGE: Final[dict[str, type[Any]]] = {
    "PersistentVolumeClaim": PersistentVolumeClaim,
    "PersistentVolume": PersistentVolume,
}


class Changes:
    """Makes changes of one cluster and of the devices in it."""

    def __init__(self, cluster: Cluster, devices: DeviceState | None, template_of: Callable[[Pod], Template]) -> None:
        self.cluster = cluster
        self.devices = devices
        self._template_of = template_of
        self._by_key: dict[PodKey, PodInfo] | None = None

    def make(self, pod: Pod, change: Change, undo: ExitStack) -> Pod:
        """Make the change; `undo` takes it back. Returns the pod that is asked about, for it may be what is changed."""
        if change.kind == "Pod" and change.action == "patch":
            return patched(pod, change)
        if change.kind == "Pod" and change.action == "create":
            self._create_pod(change, undo)
        elif change.kind == "Pod":
            self._delete_pod(change, undo)
        elif change.kind == "Node":
            self._change_node(change, undo)
        else:
            self._create_claim_or_volume(change, undo)
        return pod

    def _pod(self, key: PodKey) -> PodInfo | None:
        """A pod that is on a node."""
        if self._by_key is None:
            self._by_key = {info.key: info for pods in self.cluster.pods_on.values() for info in pods.values()}
        return self._by_key.get(key)

    def _node(self, name: str) -> Node:
        node = self.cluster.nodes.nodes[self.cluster.nodes.rows[name]]
        assert node is not None
        return node

    def _delete_pod(self, change: Change, undo: ExitStack) -> None:
        info = self._pod((change.namespace, change.name))
        if info is not None and info.row != ABSENT:
            node_name = info.node_name
            self.cluster.remove(info)
            undo.callback(self.cluster.place, info, node_name)
            self._free_devices(info.pod, undo)

    def _free_devices(self, pod: Pod, undo: ExitStack) -> None:
        """As when the pod is gone: claims made for it go, others that only it uses lose their devices."""
        state = self.devices
        if state is None:
            return
        for _, key in claim_names(pod):
            claim = state.claims.get(key) if key is not None else None
            if claim is None:
                continue
            if any(owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references):
                state.observe_claim(claim, gone=True)
            elif all(user.uid == pod.metadata.uid for user in claim.status.reserved_for):
                status = replace(claim.status, allocation=None, reserved_for=())
                state.observe_claim(replace(claim, status=status))
            undo.callback(state.observe_claim, claim)

    def _create_pod(self, change: Change, undo: ExitStack) -> None:
        made = from_dict(Pod, change.object or {})
        info = PodInfo(made, self._template_of(made))
        self.cluster.place(info, made.spec.node_name or "")
        undo.callback(self.cluster.remove, info)

    def _change_node(self, change: Change, undo: ExitStack) -> None:
        if change.action == "create":
            made = empty_like(self._node(change.like), change.name)
            self.cluster.add_node(patched_node(made, change) if change.patch else made)
            undo.callback(self.cluster.remove_node, change.name)
            return
        before = self._node(change.name)
        self.cluster.update_node(patched_node(before, change))
        undo.callback(self.cluster.update_node, before)

    def _create_claim_or_volume(self, change: Change, undo: ExitStack) -> None:
        """A claim or a volume, and what their controllers make of it: immediate claims are bound."""
        table = self.cluster.volumes
        if change.kind == "ResourceClaim":
            assert self.devices is not None
            asked = from_dict(ResourceClaim, change.object or {})
            self.devices.observe_claim(asked)
            undo.callback(self.devices.observe_claim, asked, gone=True)
            return
        made = from_dict(_STORAGE[change.kind], change.object or {})
        if isinstance(made, PersistentVolumeClaim):
            storage_class = table.class_of(made)
            self._observe(made, undo)
            if provisionable(storage_class) and not facts.waits_for_consumer(storage_class):
                self._bound(made, PersistentVolume(metadata=ObjectMeta(name=f"of-{change.name}")), undo)
            return
        self._observe(made, undo)
        reference = made.spec.claim_ref
        claim = table.claims.get((reference.namespace or "", reference.name or "")) if reference is not None else None
        if claim is not None and not facts.waits_for_consumer(table.class_of(claim)):
            self._bound(claim, made, undo)

    def _bound(self, claim: PersistentVolumeClaim, volume: PersistentVolume, undo: ExitStack) -> None:
        name = volume.metadata.name or ""
        if name not in self.cluster.volumes.volumes:
            self._observe(volume, undo)
        annotations = {**claim.metadata.annotations, facts.BIND_COMPLETED: "yes"}
        bound = replace(
            claim,
            metadata=replace(claim.metadata, annotations=annotations),
            spec=replace(claim.spec, volume_name=name),
            status=replace(claim.status, phase=facts.BOUND),
        )
        self._observe(bound, undo)

    def _observe(self, obj: PersistentVolumeClaim | PersistentVolume, undo: ExitStack) -> None:
        table, meta = self.cluster.volumes, obj.metadata
        before: PersistentVolumeClaim | PersistentVolume | None = (
            table.claims.get((meta.namespace or "", meta.name or ""))
            if isinstance(obj, PersistentVolumeClaim)
            else table.volumes.get(meta.name or "")
        )
        table.observe(obj)
        if before is None:
            undo.callback(table.observe, obj, gone=True)
        else:
            undo.callback(table.observe, before)
