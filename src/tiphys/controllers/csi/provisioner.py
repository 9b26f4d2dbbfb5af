"""Makes volumes for claims, and deletes those whose claims are gone: upstream's external-provisioner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from zlib import crc32

from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import SELECTED_NODE, class_of_claim, mode_of, requested
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, SecretReference
from tiphys.api.types.storage_v1 import CSINode, StorageClass, VolumeAttachment
from tiphys.client import NORMAL, WARNING, ObjectKey
from tiphys.controllers.csi import reconcile
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.driver import Driver, secret_data
from tiphys.controllers.csi.reconcile import PROVISIONER_FINALIZER, Misconfigured, Parameters, Places, volume_name
from tiphys.controllers.runtime import Environment, KeyedController, TryAgain
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.types import Capability, CreatedVolume, TopologyRequirement
from tiphys.csi.volume_access import access_mode
from tiphys.csi.wire import ControllerRpc

ATTACHED_VOLUME: Final = "volume"


class VolumeProvisioner(KeyedController):
    """Its keys are claims."""

    name = "csi-provisioner"

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._driver = driver
        self._config = config
        self._recorder = environment.recorder(f"{driver.name}_{config.identity}")
        self._claims = environment.informer(PersistentVolumeClaim)
        self._classes = environment.informer(StorageClass)
        self._nodes = environment.informer(Node)
        self._csi_nodes = environment.informer(CSINode)
        self._started: set[str] = set()
        self.watch(self._claims)

    async def sync(self, key: ObjectKey) -> None:
        claim = self._claims.get(key.name, key.namespace)
        if claim is None:
            return
        storage_class = self._classes.get(class_of_claim(claim))
        uid = claim.metadata.uid or ""
        if storage_class is None or not reconcile.is_ours(claim, storage_class, self._driver.name):
            self._started.discard(uid)
            return
        if uid not in self._started:
            self._started.add(uid)
            text = f'External provisioner is provisioning volume for claim "{key}"'
            self._recorder.event(claim, NORMAL, "Provisioning", text)
        try:
            volume = await self._provision(claim, storage_class)
        except (Misconfigured, CsiError, TryAgain) as error:
            text = f'failed to provision volume with StorageClass "{storage_class.metadata.name}": {error}'
            self._recorder.event(claim, WARNING, "ProvisioningFailed", text)
            if isinstance(error, CsiError) and error.code is CsiCode.RESOURCE_EXHAUSTED:
                await self._choose_another_node(claim)
            raise TryAgain(text) from None
        self._started.discard(uid)
        if volume is not None:
            text = f"Successfully provisioned volume {volume.metadata.name}"
            self._recorder.event(claim, NORMAL, "ProvisioningSucceeded", text)

    async def _provision(self, claim: PersistentVolumeClaim, storage_class: StorageClass) -> PersistentVolume | None:
        """The new object; None if it was there. Raises Misconfigured, CsiError, TryAgain and ApiError."""
        if not self._driver.can(ControllerRpc.CREATE_DELETE_VOLUME):
            raise Misconfigured("CSI driver does not support dynamic provisioning: plugin controller capability "
                                "CREATE_DELETE_VOLUME not found")  # fmt: skip
        given = reconcile.parameters(storage_class, claim)
        made = await self._create(claim, storage_class, given)
        wanted = requested(claim).value
        secrets = await secret_data(self._client, given.secrets.get("provisioner-secret"))
        if made.capacity_bytes and made.capacity_bytes < wanted:
            await self._driver.calls.delete_volume(made.volume_id, secrets)
            raise Misconfigured(f"created volume capacity {made.capacity_bytes} less than requested capacity {wanted}")
        volume = reconcile.new_volume(
            claim,
            storage_class,
            given,
            driver=self._driver.name,
            identity=f"{self._config.identity}-{self._driver.name}",
            handle=made.volume_id,
            size_bytes=made.capacity_bytes,
            context=made.context,
            accessible=made.accessible_topology,
        )
        try:
            return await self._client.create(volume)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def _create(
        self, claim: PersistentVolumeClaim, storage_class: StorageClass, given: Parameters
    ) -> CreatedVolume:
        driver_parameters = dict(given.driver)
        if self._config.extra_create_metadata:
            driver_parameters |= reconcile.claim_metadata(claim)
        places = self._places(claim, storage_class)
        return await self._driver.calls.create_volume(
            volume_name(claim),
            required_bytes=requested(claim).value,
            limit_bytes=limit.value if (limit := claim.spec.resources.limits.get("storage")) is not None else 0,
            capabilities=self._capabilities(claim, storage_class, given),
            parameters=driver_parameters,
            secrets=await secret_data(self._client, given.secrets.get("provisioner-secret")),
            topology=TopologyRequirement(places.requisite, places.preferred) if places is not None else None,
        )

    def _capabilities(
        self, claim: PersistentVolumeClaim, storage_class: StorageClass, given: Parameters
    ) -> list[Capability]:
        """One for each access mode of the claim."""
        multi_writer = self._driver.can(ControllerRpc.SINGLE_NODE_MULTI_WRITER)
        modes = [access_mode([mode], multi_writer=multi_writer) for mode in claim.spec.access_modes]
        if mode_of(claim) == "Block":
            return [Capability(mode, block=True) for mode in modes]
        return [Capability(mode, False, given.fs_type, storage_class.mount_options) for mode in modes]

    def _places(self, claim: PersistentVolumeClaim, storage_class: StorageClass) -> Places | None:
        """Raises Misconfigured and TryAgain."""
        if not self._driver.has_topology:
            return None
        name = claim.metadata.annotations.get(SELECTED_NODE, "")
        selected: Mapping[str, str] | None = None
        if name:
            node = self._nodes.get(name)
            if node is not None:
                selected = reconcile.segments_of(node, self._csi_nodes.get(name), self._driver.name)
            if selected is None:
                raise TryAgain(f"error generating accessibility requirements: no topology key found on CSINode {name}")
        everywhere = [
            segments
            for node in self._nodes.list()
            if (
                segments := reconcile.segments_of(
                    node, self._csi_nodes.get(node.metadata.name or ""), self._driver.name
                )
            )
        ]
        strict = self._config.strict_topology
        seed = crc32((claim.metadata.name or "").encode())
        return reconcile.places(storage_class, selected, everywhere, strict=strict, seed=seed)

    async def _choose_another_node(self, claim: PersistentVolumeClaim) -> None:
        """There is no room there: the scheduler is to look again."""
        if SELECTED_NODE not in claim.metadata.annotations:
            return
        annotations = {k: v for k, v in claim.metadata.annotations.items() if k != SELECTED_NODE}
        await self._client.update(replace(claim, metadata=replace(claim.metadata, annotations=annotations)))


class VolumeDeleter(KeyedController):
    """Its keys are PersistentVolumes."""

    name = "csi-deleter"

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._driver = driver
        self._recorder = environment.recorder(f"{driver.name}_{config.identity}")
        self._volumes = environment.informer(PersistentVolume)
        self._attachments = environment.informer(VolumeAttachment)
        self._attachments.add_index(ATTACHED_VOLUME, lambda a: (a.spec.source.persistent_volume_name or "",))
        self.watch(self._volumes)
        self._attachments.add_handler(on_delete=self._detached)

    def _detached(self, attachment: VolumeAttachment) -> None:
        if attachment.spec.source.persistent_volume_name:
            self.queue.add(ObjectKey("", attachment.spec.source.persistent_volume_name))

    async def sync(self, key: ObjectKey) -> None:
        volume = self._volumes.get(key.name)
        if volume is None or volume.spec.csi is None or not reconcile.may_delete(volume, self._driver.name):
            return
        if not self._driver.can(ControllerRpc.CREATE_DELETE_VOLUME):
            return
        if attachments := self._attachments.by_index(ATTACHED_VOLUME, key.name):
            # The end of the attachment brings the key again.
            text = f"persistentvolume {key.name} is still attached to node {attachments[0].spec.node_name}"
            self._recorder.event(volume, WARNING, "VolumeFailedDelete", text)
            return
        annotations = volume.metadata.annotations
        secret = SecretReference(
            name=annotations.get(reconcile.DELETION_SECRET_NAME),
            namespace=annotations.get(reconcile.DELETION_SECRET_NAMESPACE),
        )
        try:
            secrets = await secret_data(self._client, secret)
            await self._driver.calls.delete_volume(volume.spec.csi.volume_handle, secrets)
        except (CsiError, TryAgain) as error:
            if not (isinstance(error, CsiError) and error.code is CsiCode.NOT_FOUND):
                self._recorder.event(volume, WARNING, "VolumeFailedDelete", str(error))
                raise TryAgain(str(error)) from None
        await self._let_go(volume)

    async def _let_go(self, volume: PersistentVolume) -> None:
        name = volume.metadata.name or ""
        try:
            if volume.metadata.deletion_timestamp is None:
                await self._client.delete(PersistentVolume, name, uid=volume.metadata.uid or "")
            current = await self._client.get(PersistentVolume, name)
            left = tuple(f for f in current.metadata.finalizers if f != PROVISIONER_FINALIZER)
            if left != current.metadata.finalizers:
                await self._client.update(replace(current, metadata=replace(current.metadata, finalizers=left)))
        except ApiError as error:
            if error.code != 404:
                raise
