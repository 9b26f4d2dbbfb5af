"""``pvc-protection`` and ``pv-protection``: what is deleted while in use goes when it no longer is."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import VolumeAttributesClass
from tiphys.client import Informer, ObjectKey
from tiphys.controllers.claims import BY_CLAIM, claim_keys
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.volumeprotection import reconcile
from tiphys.controllers.volumeprotection.reconcile import (
    PV_FINALIZER,
    PVC_FINALIZER,
    VAC_FINALIZER,
    attributes_classes,
)

_BY_ATTRIBUTES: Final = "volume-attributes-class"


class ClaimProtectionController(KeyedController):
    """Lets a deleted claim go when no pod uses it any more."""

    name = "persistentvolumeclaim-protection-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._claims = environment.informer(PersistentVolumeClaim)
        self._pods = environment.informer(Pod)
        self._pods.add_index(BY_CLAIM, claim_keys)
        self._claims.add_handler(on_add=self._claim_seen, on_update=lambda _, new: self._claim_seen(new))
        self._pods.add_handler(on_update=self._pod_changed, on_delete=self._pod_gone)

    async def sync(self, key: ObjectKey) -> None:
        claim = self._claims.get(key.name, key.namespace)
        if claim is None:
            return
        wanted = reconcile.protected(claim, PVC_FINALIZER)
        if wanted is not claim:
            await self._client.update(wanted)
        elif reconcile.may_go(claim, PVC_FINALIZER) and not await self._is_used(key, claim):
            await self._client.update(reconcile.freed(claim, PVC_FINALIZER))

    async def _is_used(self, key: ObjectKey, claim: PersistentVolumeClaim) -> bool:
        if reconcile.is_used(claim, self._pods.by_index(BY_CLAIM, str(key))):
            return True
        # The informer may be behind, and letting go is for good: the apiserver is asked once.
        continue_ = ""
        while True:
            page = await self._client.list(Pod, key.namespace, limit=500, continue_=continue_)
            if reconcile.is_used(claim, page.items):
                return True
            continue_ = page.metadata.continue_ or ""
            if not continue_:
                return False

    def _claim_seen(self, claim: PersistentVolumeClaim) -> None:
        if claim.metadata.deletion_timestamp is not None or PVC_FINALIZER not in claim.metadata.finalizers:
            self.enqueue(claim)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if new.metadata.deletion_grace_period_seconds == 0:
            self._pod_gone(new)

    def _pod_gone(self, pod: Pod) -> None:
        for key in claim_keys(pod):
            namespace, _, name = key.partition("/")
            claim = self._claims.get(name, namespace)
            if claim is not None:
                self._claim_seen(claim)


class VolumeProtectionController(KeyedController):
    """Lets a deleted volume go when no claim is bound to it any more."""

    name = "persistentvolume-protection-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._volumes = environment.informer(PersistentVolume)
        self._volumes.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))

    async def sync(self, key: ObjectKey) -> None:
        volume = self._volumes.get(key.name)
        if volume is None:
            return
        wanted = reconcile.protected(volume, PV_FINALIZER)
        if wanted is not volume:
            await self._client.update(wanted)
        elif reconcile.may_go(volume, PV_FINALIZER) and not reconcile.is_bound(volume):
            await self._client.update(reconcile.freed(volume, PV_FINALIZER))

    def _seen(self, volume: PersistentVolume) -> None:
        if volume.metadata.deletion_timestamp is not None or PV_FINALIZER not in volume.metadata.finalizers:
            self.enqueue(volume)


class AttributesClassProtectionController(KeyedController):
    """Lets a deleted VolumeAttributesClass go when no volume and no claim has it, or is to have it."""

    name = "volumeattributesclass-protection-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._classes = environment.informer(VolumeAttributesClass)
        self._users: list[Informer[Any]] = [
            environment.informer(PersistentVolumeClaim),
            environment.informer(PersistentVolume),
        ]
        self._classes.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))
        for informer in self._users:
            informer.add_index(_BY_ATTRIBUTES, attributes_classes)
            informer.add_handler(on_update=lambda old, _: self._left(old), on_delete=self._left)

    async def sync(self, key: ObjectKey) -> None:
        found = self._classes.get(key.name)
        if found is None:
            return
        wanted = reconcile.protected(found, VAC_FINALIZER)
        if wanted is not found:
            await self._client.update(wanted)
        elif reconcile.may_go(found, VAC_FINALIZER) and not any(
            informer.by_index(_BY_ATTRIBUTES, key.name) for informer in self._users
        ):
            await self._client.update(reconcile.freed(found, VAC_FINALIZER))

    def _seen(self, found: VolumeAttributesClass) -> None:
        if found.metadata.deletion_timestamp is not None or VAC_FINALIZER not in found.metadata.finalizers:
            self.enqueue(found)

    def _left(self, user: Any) -> None:
        for name in attributes_classes(user):
            found = self._classes.get(name)
            if found is not None:
                self._seen(found)
