"""Makes volumes on nodes for claims, deletes those whose claims are gone, and says so when a node is in the way.

Keys with a namespace are claims, those without are volumes.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api import local_path as local
from tiphys.api import persistent_volumes as facts
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.controllers.localpath.reconcile import (
    Refused,
    growth,
    is_ours,
    is_ready,
    is_to_be_deleted,
    least_used,
    provisioned,
    volumes_by_node,
)
from tiphys.controllers.runtime import Environment, KeyedController

_BY_NODE: Final = "local-path-node"
_WAITING_SECONDS: Final = 300.0
"""How often it is said again that a volume cannot be deleted because its node is away."""
_NO_NODE_SECONDS: Final = 15.0
"""Before a claim that needs no pod is offered again to nodes of which none could take it."""
_MISSING_SECONDS: Final = 30.0
"""How long a node must be missing before its volumes count as gone with it: it may be registering anew."""


class LocalPathController(KeyedController):
    """The provisioner ``tiphys.io/local-path``: also its resizer."""

    name = "local-path-provisioner-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder(local.PROVISIONER)
        self._claims = environment.informer(PersistentVolumeClaim)
        self._volumes = environment.informer(PersistentVolume)
        self._nodes = environment.informer(Node)
        self._classes = environment.informer(StorageClass)
        self._missing_since: dict[str, float] = {}
        self._volumes.add_index(_BY_NODE, _node_index)
        self.watch(self._claims)
        self._volumes.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed)
        self._classes.add_handler(on_add=self._class_added)
        self._nodes.add_handler(on_add=self._node_seen, on_update=self._node_changed, on_delete=self._node_seen)

    async def sync(self, key: ObjectKey) -> None:
        if not key.namespace:
            volume = self._volumes.get(key.name)
            if volume is not None and local.is_local_path(volume):
                await self._sync_volume(key, volume)
            return
        claim = self._claims.get(key.name, key.namespace)
        if claim is None:
            return
        storage_class = self._classes.get(facts.class_of_claim(claim))
        if storage_class is not None and is_ours(claim, storage_class):
            await self._provision(claim, storage_class)
        elif claim.spec.volume_name and (volume := self._volumes.get(claim.spec.volume_name)) is not None:
            await self._grow(claim, volume)

    async def _provision(self, claim: PersistentVolumeClaim, storage_class: StorageClass) -> None:
        node_name = claim.metadata.annotations.get(facts.SELECTED_NODE, "")
        node = self._nodes.get(node_name) if node_name else None
        if not node_name:
            node = least_used(self._nodes.list(), volumes_by_node(self._volumes.list()))
            node_name = (node.metadata.name or "") if node is not None else "any"
        wanted = provisioned(claim, storage_class, node, node_name)
        if isinstance(wanted, Refused):
            await self._refuse(claim, storage_class, wanted)
            return
        name = wanted.metadata.name
        if self._volumes.get(name or "") is not None:
            return
        key = f"{claim.metadata.namespace}/{claim.metadata.name}"
        self._recorder.event(
            claim, NORMAL, "Provisioning", f'External provisioner is provisioning volume for claim "{key}"'
        )
        try:
            await self._client.create(wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        self._recorder.event(claim, NORMAL, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    async def _refuse(self, claim: PersistentVolumeClaim, storage_class: StorageClass, refused: Refused) -> None:
        text = f'failed to provision volume with StorageClass "{storage_class.metadata.name}": {refused.message}'
        self._recorder.event(claim, WARNING, "ProvisioningFailed", text)
        if refused.elsewhere and facts.SELECTED_NODE in claim.metadata.annotations:
            kept = {k: v for k, v in claim.metadata.annotations.items() if k != facts.SELECTED_NODE}
            await self._client.update(replace(claim, metadata=replace(claim.metadata, annotations=kept)))
        elif refused.elsewhere:
            self.queue.add_after(key_of(claim), _NO_NODE_SECONDS)

    async def _grow(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        size = growth(claim, volume)
        if size is None:
            return
        if facts.capacity(volume).exact < size.exact:
            spec = replace(volume.spec, capacity={**volume.spec.capacity, facts.STORAGE: size})
            await self._client.update(replace(volume, spec=spec))
        done = tuple(c for c in claim.status.conditions if c.type not in ("Resizing", "FileSystemResizePending"))
        status = replace(claim.status, capacity={**claim.status.capacity, facts.STORAGE: size}, conditions=done)
        await self._client.update_status(replace(claim, status=status))
        self._recorder.event(claim, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _sync_volume(self, key: ObjectKey, volume: PersistentVolume) -> None:
        if is_to_be_deleted(volume):
            meta = volume.metadata
            # The version guards against one that was bound again meanwhile.
            await self._client.delete(
                PersistentVolume, meta.name or "", uid=meta.uid or "", resource_version=meta.resource_version or ""
            )
            return
        if not local.is_given_up(volume):
            return
        name = local.node_of(volume)
        node = self._nodes.get(name)
        if node is None:
            await self._node_is_gone(key, volume, name)
        elif not is_ready(node):
            text = f'waiting for node "{name}" to remove the directory of volume "{key.name}": the node is not ready'
            self._recorder.event(volume, WARNING, "VolumeFailedDelete", text)
            self.queue.add_after(key, _WAITING_SECONDS)
        else:
            self.queue.add_after(key, _WAITING_SECONDS)

    async def _node_is_gone(self, key: ObjectKey, volume: PersistentVolume, name: str) -> None:
        now = self._clock.monotonic()
        since = self._missing_since.setdefault(name, now)
        if now - since < _MISSING_SECONDS:
            self.queue.add_after(key, _MISSING_SECONDS - (now - since))
            return
        path = volume.spec.local.path if volume.spec.local is not None else ""
        text = f'node "{name}" is gone; volume "{key.name}" is deleted, its data is left at {path} of that machine'
        self._recorder.event(volume, WARNING, "VolumeFailedDelete", text)
        await self._client.update(local.let_go(volume))

    def _class_added(self, storage_class: StorageClass) -> None:
        if storage_class.provisioner == local.PROVISIONER:
            for claim in self._claims.list():
                if not claim.spec.volume_name and facts.class_of_claim(claim) == storage_class.metadata.name:
                    self.enqueue(claim)

    def _node_seen(self, node: Node) -> None:
        name = node.metadata.name or ""
        if self._nodes.get(name) is not None:
            self._missing_since.pop(name, None)
        for volume in self._volumes.by_index(_BY_NODE, name):
            if volume.metadata.deletion_timestamp is not None:
                self.enqueue(volume)

    def _node_changed(self, old: Node, new: Node) -> None:
        if is_ready(old) != is_ready(new):
            self._node_seen(new)
        if not local.root_of(old) and local.root_of(new):
            for claim in self._claims.list():
                if not claim.spec.volume_name:
                    self.enqueue(claim)


def _node_index(volume: PersistentVolume) -> tuple[str, ...]:
    name = local.node_of(volume)
    return (name,) if name else ()
