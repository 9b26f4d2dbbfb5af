"""How much room a driver has, and where: CSIStorageCapacity objects, which the scheduler places pods by.

One object for each StorageClass of the driver and each place nodes are in, while its CSIDriver says `storageCapacity`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from tiphys.api import codec
from tiphys.api.errors import ApiError
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Node, PersistentVolume
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass
from tiphys.client import ObjectKey
from tiphys.controllers.csi import reconcile
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.driver import Driver
from tiphys.controllers.runtime import Environment, KeyedController, TryAgain
from tiphys.csi.errors import CsiError
from tiphys.csi.types import Capability
from tiphys.csi.wire import AccessMode, ControllerRpc

REFRESH_SECONDS: Final = 60.0
"""Drivers tell of no change, so they are asked."""
MANAGED_BY: Final = {"csi.storage.k8s.io/managed-by": "external-provisioner"}
DRIVER_LABEL: Final = "csi.storage.k8s.io/drivername"


class CapacityPublisher(KeyedController):
    """Its keys are StorageClasses."""

    name = "csi-capacity"
    workers = 1

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._driver = driver
        self._namespace = config.leader_election_namespace
        self._classes = environment.informer(StorageClass)
        self._drivers = environment.informer(CSIDriver)
        self._nodes = environment.informer(Node)
        self._csi_nodes = environment.informer(CSINode)
        self._volumes = environment.informer(PersistentVolume)
        self._published = environment.informer(CSIStorageCapacity)
        self.watch(self._classes)
        for changed in (self._csi_nodes, self._drivers):
            changed.add_handler(on_add=self._look, on_update=lambda _, new: self._look(new), on_delete=self._look)
        self._volumes.add_handler(on_add=self._volume_seen, on_update=self._volume_changed, on_delete=self._volume_seen)

    def _look(self, _: object) -> None:
        for storage_class in self._classes.list():
            if storage_class.provisioner == self._driver.name:
                self.enqueue(storage_class)

    def _volume_seen(self, volume: PersistentVolume) -> None:
        if volume.spec.csi is not None and volume.spec.csi.driver == self._driver.name:
            self._look(volume)

    def _volume_changed(self, old: PersistentVolume, new: PersistentVolume) -> None:
        if old.spec.capacity != new.spec.capacity:
            self._volume_seen(new)

    async def sync(self, key: ObjectKey) -> None:
        storage_class = self._classes.get(key.name)
        ours = {
            c.metadata.name or "": c
            for c in self._published.list(self._namespace)
            if c.metadata.labels.get(DRIVER_LABEL) == self._driver.name and c.storage_class_name == key.name
        }
        wanted: dict[str, CSIStorageCapacity] = {}
        if storage_class is not None and self._is_asked(storage_class):
            wanted = {c.metadata.name or "": c for c in await self._capacities(storage_class)}
            self.queue.add_after(key, REFRESH_SECONDS)
        for name, capacity in wanted.items():
            await self._publish(ours.get(name), capacity)
        for name in ours.keys() - wanted.keys():
            await self._withdraw(name)

    def _is_asked(self, storage_class: StorageClass) -> bool:
        if storage_class.provisioner != self._driver.name or not self._driver.can(ControllerRpc.GET_CAPACITY):
            return False
        driver = self._drivers.get(self._driver.name)
        return driver is not None and bool(driver.spec.storage_capacity)

    def _places(self) -> list[Mapping[str, str]]:
        if not self._driver.has_topology:
            return [{}]
        known = ((node, self._csi_nodes.get(node.metadata.name or "")) for node in self._nodes.list())
        found = [s for node, csi in known if (s := reconcile.segments_of(node, csi, self._driver.name))]
        return [dict(place) for place in sorted({tuple(sorted(segments.items())) for segments in found})]

    async def _capacities(self, storage_class: StorageClass) -> list[CSIStorageCapacity]:
        """Raises TryAgain."""
        parameters, fs_type = reconcile.driver_parameters(storage_class)
        capability = Capability(AccessMode.SINGLE_NODE_WRITER, fs_type=fs_type)
        found = []
        for place in self._places():
            try:
                available, largest = await self._driver.calls.capacity([capability], parameters, place or None)
            except CsiError as error:
                raise TryAgain(str(error)) from None
            found.append(self._object(storage_class.metadata.name or "", place, available, largest))
        return found

    def _object(self, class_name: str, place: Mapping[str, str], available: int, largest: int) -> CSIStorageCapacity:
        seed = repr((self._driver.name, class_name, sorted(place.items())))
        return CSIStorageCapacity(
            metadata=ObjectMeta(
                name=f"csisc-{hashlib.sha256(seed.encode()).hexdigest()[:16]}",
                namespace=self._namespace,
                labels={**MANAGED_BY, DRIVER_LABEL: self._driver.name},
            ),
            storage_class_name=class_name,
            node_topology=LabelSelector(match_labels=dict(place)),
            capacity=Quantity(str(reconcile.quantity_of(available))),
            maximum_volume_size=Quantity(str(reconcile.quantity_of(largest))) if largest else None,
        )

    async def _publish(self, before: CSIStorageCapacity | None, wanted: CSIStorageCapacity) -> None:
        if before is None:
            try:
                await self._client.create(wanted)
            except ApiError as error:
                if error.reason != "AlreadyExists":
                    raise
            return
        merged = replace(before, capacity=wanted.capacity, maximum_volume_size=wanted.maximum_volume_size)
        if codec.encode(merged) != codec.encode(before):
            await self._client.update(merged)

    async def _withdraw(self, name: str) -> None:
        try:
            await self._client.delete(CSIStorageCapacity, name, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
