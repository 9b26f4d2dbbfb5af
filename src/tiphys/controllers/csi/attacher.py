"""Attaches volumes to nodes and detaches them, as VolumeAttachments ask: upstream's external-attacher."""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api.csi_volumes import NODE_ID_ANNOTATION
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, PersistentVolume
from tiphys.api.types.storage_v1 import CSINode, VolumeAttachment
from tiphys.base.clock import rfc3339
from tiphys.client import ObjectKey
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.driver import Driver, sanitized, secret_data
from tiphys.controllers.runtime import Environment, KeyedController, TryAgain
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.wire import ControllerRpc

KEPT_NODE_ID: Final = "csi.alpha.kubernetes.io/node-id"
"""On VolumeAttachments: what the driver called the node, for when the node is gone."""
BY_VOLUME: Final = "attached-volume"


class VolumeAttacher(KeyedController):
    """Its keys are VolumeAttachments. A driver that attaches nothing has them marked as attached."""

    name = "csi-attacher"

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._driver = driver
        self._finalizer = f"external-attacher/{sanitized(driver.name)}"
        self._attachments = environment.informer(VolumeAttachment)
        self._volumes = environment.informer(PersistentVolume)
        self._nodes = environment.informer(Node)
        self._csi_nodes = environment.informer(CSINode)
        self.watch(self._attachments)

    async def sync(self, key: ObjectKey) -> None:
        seen = self._attachments.get(key.name)
        if seen is None or seen.spec.attacher != self._driver.name:
            return
        try:
            # The informer may not show yet what the last sync wrote, and drivers should not be asked twice.
            attachment = await self._client.get(VolumeAttachment, key.name)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if attachment.metadata.deletion_timestamp is not None:
            if self._finalizer in attachment.metadata.finalizers:
                await self._detach(attachment)
        elif not attachment.status.attached:
            await self._attach(attachment)

    async def _attach(self, attachment: VolumeAttachment) -> None:
        if not self._driver.can(ControllerRpc.PUBLISH_UNPUBLISH_VOLUME):
            await self._status(attachment, {"attached": True, "attachError": None})
            return
        try:
            volume = await self._volume(attachment)
            node_id = self._node_id(attachment)
            attachment = await self._prepare(attachment, volume, node_id)
            csi = volume.spec.csi
            assert csi is not None
            metadata = await self._driver.calls.controller_publish(
                csi.volume_handle,
                node_id,
                self._driver.capability_of(volume),
                read_only=bool(csi.read_only) and self._driver.can(ControllerRpc.PUBLISH_READONLY),
                secrets=await secret_data(self._client, csi.controller_publish_secret_ref),
                volume_context=csi.volume_attributes,
            )
        except (CsiError, TryAgain) as error:
            await self._status(attachment, {"attachError": self._error(error)})
            raise TryAgain(str(error)) from None
        await self._status(attachment, {"attached": True, "attachmentMetadata": metadata, "attachError": None})

    async def _prepare(self, attachment: VolumeAttachment, volume: PersistentVolume, node_id: str) -> VolumeAttachment:
        """Before the driver is asked, nothing of it may vanish unseen."""
        if self._finalizer not in volume.metadata.finalizers:
            if volume.metadata.deletion_timestamp is not None:
                raise TryAgain(f"PersistentVolume {volume.metadata.name} is marked for deletion")
            finalizers = (*volume.metadata.finalizers, self._finalizer)
            await self._client.update(replace(volume, metadata=replace(volume.metadata, finalizers=finalizers)))
        meta = attachment.metadata
        if self._finalizer in meta.finalizers and meta.annotations.get(KEPT_NODE_ID) == node_id:
            return attachment
        finalizers = tuple(dict.fromkeys((*meta.finalizers, self._finalizer)))
        annotations = {**meta.annotations, KEPT_NODE_ID: node_id}
        changed = replace(attachment, metadata=replace(meta, finalizers=finalizers, annotations=annotations))
        return await self._client.update(changed)

    async def _detach(self, attachment: VolumeAttachment) -> None:
        if self._driver.can(ControllerRpc.PUBLISH_UNPUBLISH_VOLUME):
            try:
                volume = await self._volume(attachment)
                csi = volume.spec.csi
                assert csi is not None
                secrets = await secret_data(self._client, csi.controller_publish_secret_ref)
                node_id = self._node_id(attachment)
                await self._driver.calls.controller_unpublish(csi.volume_handle, node_id, secrets)
            except (CsiError, TryAgain) as error:
                if not (isinstance(error, CsiError) and error.code is CsiCode.NOT_FOUND):
                    await self._status(attachment, {"detachError": self._error(error)})
                    raise TryAgain(str(error)) from None
        current = await self._client.get(VolumeAttachment, attachment.metadata.name or "")
        left = tuple(f for f in current.metadata.finalizers if f != self._finalizer)
        await self._client.update(replace(current, metadata=replace(current.metadata, finalizers=left)))

    async def _volume(self, attachment: VolumeAttachment) -> PersistentVolume:
        """Raises TryAgain and ApiError."""
        name = attachment.spec.source.persistent_volume_name or ""
        try:
            found = await self._client.get(PersistentVolume, name)
        except ApiError as error:
            if error.code == 404:
                raise TryAgain(f'persistentvolume "{name}" not found') from None
            raise
        if found.spec.csi is None or found.spec.csi.driver != self._driver.name:
            raise TryAgain(f"persistentvolume {name} is not of driver {self._driver.name}")
        return found

    def _node_id(self, attachment: VolumeAttachment) -> str:
        """What the driver calls the node. Raises TryAgain."""
        name = attachment.spec.node_name
        csi_node = self._csi_nodes.get(name)
        for entry in csi_node.spec.drivers if csi_node is not None else ():
            if entry.name == self._driver.name:
                return entry.node_id
        kept = attachment.metadata.annotations.get(KEPT_NODE_ID, "")
        node = self._nodes.get(name)
        if not kept and node is not None:
            known: Any = json.loads(node.metadata.annotations.get(NODE_ID_ANNOTATION, "{}"))
            kept = known.get(self._driver.name, "") if isinstance(known, dict) else ""
        if not kept:
            raise TryAgain(f"CSINode {name} does not contain driver {self._driver.name}")
        return kept

    def _error(self, error: Exception) -> dict[str, str]:
        return {"message": str(error), "time": rfc3339(self._clock.now())}

    async def _status(self, attachment: VolumeAttachment, change: dict[str, Any]) -> None:
        name = attachment.metadata.name or ""
        if "attached" not in change:
            change = {"attached": attachment.status.attached, **change}
        await self._client.patch(VolumeAttachment, name, "", {"status": change}, type="merge", subresource="status")


class AttachedVolumeKeeper(KeyedController):
    """Lets PersistentVolumes that are being deleted go once nothing of them is attached. Its keys are volumes."""

    name = "csi-attached-volumes"

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._finalizer = f"external-attacher/{sanitized(driver.name)}"
        self._volumes = environment.informer(PersistentVolume)
        self._attachments = environment.informer(VolumeAttachment)
        self._attachments.add_index(BY_VOLUME, lambda a: (a.spec.source.persistent_volume_name or "",))
        self.watch(self._volumes)
        self._attachments.add_handler(on_delete=self._detached)

    def _detached(self, attachment: VolumeAttachment) -> None:
        if attachment.spec.source.persistent_volume_name:
            self.queue.add(ObjectKey("", attachment.spec.source.persistent_volume_name))

    async def sync(self, key: ObjectKey) -> None:
        volume = self._volumes.get(key.name)
        if volume is None or volume.metadata.deletion_timestamp is None:
            return
        if self._finalizer not in volume.metadata.finalizers or self._attachments.by_index(BY_VOLUME, key.name):
            return
        left = tuple(f for f in volume.metadata.finalizers if f != self._finalizer)
        await self._client.update(replace(volume, metadata=replace(volume.metadata, finalizers=left)))
