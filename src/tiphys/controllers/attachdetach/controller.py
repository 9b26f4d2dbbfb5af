"""Keeps VolumeAttachments and ``status.volumesAttached`` of nodes. Its keys are PersistentVolumes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from tiphys.api import codec
from tiphys.api.csi_volumes import attachment_name, is_attachment_name, unique_name
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import AttachedVolume, Node, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import CSIDriver, VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec
from tiphys.client import NORMAL, WARNING, ObjectKey
from tiphys.controllers.attachdetach.reconcile import (
    MANAGED,
    Attachment,
    decide,
    is_shared,
    multi_attach_message,
    place_of,
    wants,
)
from tiphys.controllers.claims import BY_CLAIM, claim_keys
from tiphys.controllers.runtime import Environment, KeyedController

BY_VOLUME: Final = "persistent-volume"
BY_NODE: Final = "attached-node"
BY_ATTACHED: Final = "volumes-attached"
"""Node index: the unique names of volumes that the node's status says are attached."""
TRIES: Final = 8


def _volume_of(attachment: VolumeAttachment) -> tuple[str, ...]:
    name = attachment.spec.source.persistent_volume_name
    return (name,) if name else ()


class AttachDetachController(KeyedController):
    """Only CSI volumes are attached, and only those whose driver asks for it."""

    name = "persistentvolume-attach-detach-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("attachdetach-controller")
        self._pods = environment.informer(Pod)
        self._nodes = environment.informer(Node)
        self._claims = environment.informer(PersistentVolumeClaim)
        self._volumes = environment.informer(PersistentVolume)
        self._drivers = environment.informer(CSIDriver)
        self._attachments = environment.informer(VolumeAttachment)
        self._node_locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unwanted_since: dict[tuple[str, str], float] = {}
        self._leaving: set[tuple[str, str]] = set()
        self._told: dict[str, set[tuple[str, str]]] = defaultdict(set)
        """By volume, what pods have been told: (pod's uid, what)."""
        self._pods.add_index(BY_CLAIM, claim_keys)
        self._attachments.add_index(BY_VOLUME, _volume_of)
        self._attachments.add_index(BY_NODE, lambda a: (a.spec.node_name,))
        self._pods.add_handler(on_add=self._pod_seen, on_update=self._pod_changed, on_delete=self._pod_seen)
        self._claims.add_handler(on_add=self._claim_seen, on_update=lambda _, new: self._claim_seen(new))
        self._attachments.add_handler(
            on_add=self._attachment_seen,
            on_update=lambda _, new: self._attachment_seen(new),
            on_delete=self._attachment_seen,
        )
        self._nodes.add_index(BY_ATTACHED, lambda node: [a.name for a in node.status.volumes_attached])
        self._volumes.add_handler(on_add=self.enqueue, on_update=self._volume_changed, on_delete=self.enqueue)
        self._nodes.add_handler(on_add=self._node_seen, on_update=self._node_changed, on_delete=self._node_seen)
        self._drivers.add_handler(on_add=self._driver_seen, on_update=lambda _, new: self._driver_seen(new))

    # -- what to look at -------------------------------------------------------------------------------------------

    def _enqueue_volume(self, name: str | None) -> None:
        if name:
            self.queue.add(ObjectKey("", name))

    def _pod_seen(self, pod: Pod) -> None:
        for key in claim_keys(pod):
            namespace, _, name = key.partition("/")
            claim = self._claims.get(name, namespace)
            if claim is not None:
                self._enqueue_volume(claim.spec.volume_name)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if wants(old) != wants(new):
            self._pod_seen(new)

    def _claim_seen(self, claim: PersistentVolumeClaim) -> None:
        self._enqueue_volume(claim.spec.volume_name)

    def _volume_changed(self, old: PersistentVolume, new: PersistentVolume) -> None:
        if old.spec != new.spec:
            self.enqueue(new)

    def _attachment_seen(self, attachment: VolumeAttachment) -> None:
        self._enqueue_volume(attachment.spec.source.persistent_volume_name)

    def _node_seen(self, node: Node) -> None:
        for attachment in self._attachments.by_index(BY_NODE, node.metadata.name or ""):
            self._attachment_seen(attachment)

    def _node_changed(self, old: Node, new: Node) -> None:
        if (
            old.status.volumes_in_use != new.status.volumes_in_use
            or old.spec.taints != new.spec.taints
            or place_of(old, "").healthy != place_of(new, "").healthy
        ):
            self._node_seen(new)

    def _driver_seen(self, driver: CSIDriver) -> None:
        for attachment in self._attachments.list():
            if attachment.spec.attacher == driver.metadata.name:
                self._attachment_seen(attachment)

    # -- one volume ------------------------------------------------------------------------------------------------

    async def sync(self, key: ObjectKey) -> None:
        volume = self._volumes.get(key.name)
        found = self._attachments.by_index(BY_VOLUME, key.name)
        if volume is None or volume.spec.csi is None:
            await self._forget(key.name, found)
            return
        csi = volume.spec.csi
        unique = unique_name(csi.driver, csi.volume_handle)
        users = self._users(volume) if self._needs_attach(csi.driver) else []
        wanted = {p.spec.node_name or "" for p in users if self._is_managed(p.spec.node_name or "")}
        attachments = {
            a.spec.node_name: Attachment(
                a.metadata.name or "", a.status.attached, a.metadata.deletion_timestamp is not None
            )
            for a in found
        }
        seen = {name: self._nodes.get(name) for name in attachments}
        places = {name: place_of(node, unique) for name, node in seen.items() if node is not None}
        decision = decide(
            wanted, attachments, places, self._unwanted(key.name, wanted, attachments), shared=is_shared(volume)
        )
        self._leaving = {(v, n) for v, n in self._leaving if v != key.name} | {(key.name, n) for n in decision.leave}
        for node in decision.attach:
            await self._attach(volume, node)
        self._tell(volume, users, found, decision.blocked)
        for stale in self._nodes.by_index(BY_ATTACHED, unique):
            if stale.metadata.name not in attachments:
                await self._report(stale.metadata.name or "", key.name, unique, Attachment("", attached=False))
        for node in attachments:
            reported = await self._report(node, key.name, unique, attachments[node])
            if node in decision.detach and (reported is None or _may_detach(reported, unique, node, places)):
                await self._detach(attachments[node])
        if decision.again_seconds is not None:
            self.queue.add_after(key, decision.again_seconds)

    def _needs_attach(self, driver: str) -> bool:
        found = self._drivers.get(driver)
        return found is None or found.spec.attach_required is not False

    def _is_managed(self, node_name: str) -> bool:
        node = self._nodes.get(node_name)
        return node is not None and node.metadata.annotations.get(MANAGED) == "true"

    def _users(self, volume: PersistentVolume) -> list[Pod]:
        """The pods that need the volume where they are."""
        reference = volume.spec.claim_ref
        if reference is None:
            return []
        claim = self._claims.get(reference.name or "", reference.namespace or "")
        if claim is None or claim.metadata.uid != reference.uid or claim.spec.volume_name != volume.metadata.name:
            return []
        return [p for p in self._pods.by_index(BY_CLAIM, f"{reference.namespace}/{reference.name}") if wants(p)]

    def _unwanted(self, volume: str, wanted: set[str], attachments: Iterable[str]) -> dict[str, float]:
        """For how long each attachment has not been wanted; starts counting."""
        now = self._clock.monotonic()
        for key in [k for k in self._unwanted_since if k[0] == volume and (k[1] in wanted or k[1] not in attachments)]:
            del self._unwanted_since[key]
        return {
            node: now - self._unwanted_since.setdefault((volume, node), now)
            for node in attachments
            if node not in wanted
        }

    async def _attach(self, volume: PersistentVolume, node: str) -> None:
        csi = volume.spec.csi
        assert csi is not None
        source = VolumeAttachmentSource(persistent_volume_name=volume.metadata.name)
        attachment = VolumeAttachment(
            metadata=ObjectMeta(name=attachment_name(csi.volume_handle, csi.driver, node)),
            spec=VolumeAttachmentSpec(attacher=csi.driver, node_name=node, source=source),
        )
        try:
            await self._client.create(attachment)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise

    async def _detach(self, attachment: Attachment) -> None:
        try:
            await self._client.delete(VolumeAttachment, attachment.name)
        except ApiError as error:
            if error.code != 404:
                raise

    async def _report(self, node_name: str, volume: str, unique: str, attachment: Attachment) -> Node | None:
        """Have the node's status say whether it may use the volume; the node as it then is, None if it is gone."""
        usable = attachment.attached and not attachment.deleting and (volume, node_name) not in self._leaving
        seen = self._nodes.get(node_name)
        if seen is None:
            return None
        if usable and _reports(seen, unique):
            return seen
        async with self._node_locks[node_name]:
            for _ in range(TRIES):
                try:
                    # Not the informer's: whether the volume is in use must be as new as what is written.
                    node = await self._client.get(Node, node_name)
                    if _reports(node, unique) == usable:
                        return node
                    return await self._write(node, unique, usable=usable)
                except ApiError as error:
                    if error.code == 404:
                        return None
                    if error.code != 409:
                        raise
        raise TimeoutError(f"status of node {node_name} changes too often to be written")

    async def _write(self, node: Node, unique: str, *, usable: bool) -> Node:
        others = tuple(a for a in node.status.volumes_attached if a.name != unique)
        listed = (*others, AttachedVolume(name=unique, device_path="")) if usable else others
        change: dict[str, Any] = {
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "status": {"volumesAttached": [codec.to_dict(a) for a in listed] or None},
        }
        name = node.metadata.name or ""
        return await self._client.patch(Node, name, "", change, type="merge", subresource="status")

    async def _forget(self, volume: str, found: list[VolumeAttachment]) -> None:
        """The volume is gone: so must the attachments be that were made here. Others' are theirs to take away."""
        self._told.pop(volume, None)
        for key in [k for k in self._unwanted_since if k[0] == volume]:
            del self._unwanted_since[key]
        self._leaving = {key for key in self._leaving if key[0] != volume}
        for attachment in found:
            if attachment.metadata.deletion_timestamp is None and is_attachment_name(attachment.metadata.name or ""):
                await self._detach(Attachment(attachment.metadata.name or "", attachment.status.attached))

    # -- what pods are told ----------------------------------------------------------------------------------------

    def _tell(
        self, volume: PersistentVolume, users: list[Pod], found: list[VolumeAttachment], blocked: tuple[str, ...]
    ) -> None:
        name = volume.metadata.name or ""
        state = {a.spec.node_name: a for a in found}
        told: set[tuple[str, str]] = set()
        for pod in users:
            node = pod.spec.node_name or ""
            attachment = state.get(node)
            if node in blocked:
                others = [p for p in users if p.spec.node_name != node]
                fact = ("blocked", WARNING, "FailedAttachVolume", multi_attach_message(name, pod, others))
            elif attachment is not None and attachment.status.attached:
                if pod.status.phase != "Pending":
                    continue
                text = f'AttachVolume.Attach succeeded for volume "{name}" '
                fact = ("attached", NORMAL, "SuccessfulAttachVolume", text)
            elif attachment is not None and attachment.status.attach_error is not None:
                error = attachment.status.attach_error
                text = f'AttachVolume.Attach failed for volume "{name}" : {error.message}'
                fact = (f"failed {error.time}", WARNING, "FailedAttachVolume", text)
            else:
                continue
            key = (pod.metadata.uid or "", fact[0])
            told.add(key)
            if key not in self._told[name]:
                self._recorder.event(pod, fact[1], fact[2], fact[3])
        self._told[name] = told


def _reports(node: Node, unique: str) -> bool:
    return any(a.name == unique for a in node.status.volumes_attached)


def _may_detach(node: Node, unique: str, name: str, places: Any) -> bool:
    """Looked at again in the node's newest state: its kubelet may have begun to use the volume meanwhile."""
    began = unique in node.status.volumes_in_use and not places[name].in_use
    return not began
