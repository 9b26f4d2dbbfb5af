"""Binds PersistentVolumeClaims and PersistentVolumes, one key at a time: claims have a namespace, volumes none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import BOUND, PENDING
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.base.clock import rfc3339
from tiphys.client import ObjectKey, key_of
from tiphys.controllers.claims import BY_CLAIM, claim_keys
from tiphys.controllers.persistentvolume import binding
from tiphys.controllers.persistentvolume.known import Newest
from tiphys.controllers.persistentvolume.reconcile import (
    ClaimDecision,
    Said,
    Surroundings,
    decide_claim,
    decide_volume,
)
from tiphys.controllers.runtime import Environment, KeyedController

_FREE: Final = "free-of-class"
_UNBOUND_OF_CLASS: Final = "unbound-of-class"
_BY_VOLUME: Final = "volume-name"
_CLAIMED: Final = "claimed-by"
_REPEAT_SECONDS: Final = 15.0
_OFFER_AGAIN_SECONDS: Final = 1.0
_NO_CLASS: Final = "\n"
"""Files claims that name no class at all: no class is called so."""


class PersistentVolumeController(KeyedController):
    """``persistentvolume-binder``. Provisioners act on what it writes: see `tiphys.api.persistent_volumes`."""

    name = "persistentvolume-binder-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("persistentvolume-controller")
        claims = environment.informer(PersistentVolumeClaim)
        volumes = environment.informer(PersistentVolume)
        claims.add_index(_UNBOUND_OF_CLASS, _unbound_classes)
        claims.add_index(_BY_VOLUME, _volume_name)
        volumes.add_index(_FREE, _class_if_free)
        volumes.add_index(_CLAIMED, _claimed_by)
        #: By the uid of a claim that waits, what was said of it and when.
        self._said: dict[str, tuple[list[Said], float]] = {}
        self._claiming: set[str] = set()
        self._shown_claims, self._shown_volumes = claims, volumes
        self._claims, self._volumes = Newest(claims), Newest(volumes)
        self._classes = environment.informer(StorageClass)
        self._pods = environment.informer(Pod)
        self._pods.add_index(BY_CLAIM, claim_keys)
        claims.add_handler(on_add=self.enqueue, on_update=self._claim_changed, on_delete=self._claim_deleted)
        volumes.add_handler(on_add=self._volume_seen, on_update=self._volume_changed, on_delete=self._volume_deleted)
        self._classes.add_handler(on_add=self._class_seen, on_update=lambda _, new: self._class_seen(new))
        self._pods.add_handler(on_add=self._pod_added)

    async def sync(self, key: ObjectKey) -> None:
        if key.namespace:
            claim = self._claims.get(key.name, key.namespace)
            if claim is not None:
                await self._sync_claim(claim)
        else:
            volume = self._volumes.get(key.name)
            if volume is not None:
                await self._sync_volume(volume)

    async def _sync_claim(self, claim: PersistentVolumeClaim) -> None:
        name = claim.spec.volume_name
        volume = await self._volume(name) if name and facts.is_bound(claim) else None
        around = Surroundings(
            volume=lambda name: volume or self._volumes.get(name),
            candidates=self._candidates,
            storage_class=self._classes.get,
            default_class=lambda: facts.default_class(self._classes.list()),
            users=self._waiting_users,
        )
        decision = decide_claim(claim, around)
        if decision.bind is not None:
            await self._bind(decision.bind, claim)
            return
        claim = await self._change_claim(claim, decision)
        if decision.phase:
            wanted = binding.claim_status(claim, decision.phase)
            if wanted is not claim:
                claim = self._claims.wrote(await self._client.update_status(wanted))
        self._say_again(claim, decision.events)

    async def _change_claim(self, claim: PersistentVolumeClaim, decision: ClaimDecision) -> PersistentVolumeClaim:
        wanted = claim
        if decision.adopt_class:
            wanted = replace(wanted, spec=replace(wanted.spec, storage_class_name=decision.adopt_class))
        if decision.provisioner:
            asked = dict.fromkeys((facts.STORAGE_PROVISIONER, facts.BETA_STORAGE_PROVISIONER), decision.provisioner)
            annotations = {**wanted.metadata.annotations, **asked}
            if annotations != wanted.metadata.annotations:
                wanted = replace(wanted, metadata=replace(wanted.metadata, annotations=annotations))
        return claim if wanted is claim else self._claims.wrote(await self._client.update(wanted))

    async def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        wanted = binding.claimed(volume, claim)
        if wanted is not volume:
            volume = await self._claim(wanted)
        volume = await self._set_volume_phase(volume, BOUND, "")
        bound = binding.bound(claim, volume)
        if bound is not claim:
            claim = self._claims.wrote(await self._client.update(bound))
        shown = binding.claim_status(claim, BOUND, volume)
        if shown is not claim:
            self._claims.wrote(await self._client.update_status(shown))

    async def _claim(self, wanted: PersistentVolume) -> PersistentVolume:
        """Write the claimRef. Meanwhile the volume is offered to nobody else; if it fails, to all again, but later."""
        name = wanted.metadata.name or ""
        self._claiming.add(name)
        try:
            return self._volumes.wrote(await self._client.update(wanted))
        except BaseException:
            for claim in self._shown_claims.by_index(_UNBOUND_OF_CLASS, facts.class_of_volume(wanted)):
                self.queue.add_after(key_of(claim), _OFFER_AGAIN_SECONDS)
            raise
        finally:
            self._claiming.discard(name)

    async def _sync_volume(self, volume: PersistentVolume) -> None:
        claim = await self._claim_of(volume)
        decision = decide_volume(volume, claim)
        self._say(volume, decision.events)
        if claim is not None:
            self._say(claim, decision.claim_events)
        if decision.unbind:
            wanted = binding.released(volume)
            if wanted is not volume:
                volume = self._volumes.wrote(await self._client.update(wanted))
        if decision.phase:
            await self._set_volume_phase(volume, decision.phase, decision.message)
        reference = volume.spec.claim_ref
        if decision.look_at_claim and reference is not None:
            self.queue.add(ObjectKey(reference.namespace or "", reference.name or ""))

    async def _set_volume_phase(self, volume: PersistentVolume, phase: str, message: str) -> PersistentVolume:
        wanted = binding.volume_status(volume, phase, message, rfc3339(self._clock.now()))
        return volume if wanted is volume else self._volumes.wrote(await self._client.update_status(wanted))

    async def _volume(self, name: str) -> PersistentVolume | None:
        """Before a claim is called lost the apiserver is asked: the informer of volumes may be behind."""
        return self._volumes.get(name) or await self._read(PersistentVolume, name)

    async def _claim_of(self, volume: PersistentVolume) -> PersistentVolumeClaim | None:
        """The claim of the claimRef's uid; before a volume is called released the apiserver is asked."""
        reference = volume.spec.claim_ref
        if reference is None or not reference.uid:
            return None
        name, namespace = reference.name or "", reference.namespace or ""
        claim = self._claims.get(name, namespace)
        if claim is None or claim.metadata.uid != reference.uid:
            claim = await self._read(PersistentVolumeClaim, name, namespace)
        return claim if claim is not None and claim.metadata.uid == reference.uid else None

    async def _read(self, kind: type[Any], name: str, namespace: str = "") -> Any:
        try:
            return await self._client.get(kind, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def _candidates(self, claim: PersistentVolumeClaim) -> Iterable[PersistentVolume]:
        yield from self._volumes.by_index(_CLAIMED, str(key_of(claim)))
        for volume in self._volumes.by_index(_FREE, facts.class_of_claim(claim)):
            if volume.metadata.name not in self._claiming:
                yield volume

    def _waiting_users(self, claim: PersistentVolumeClaim) -> list[Pod]:
        users = self._pods.by_index(BY_CLAIM, str(key_of(claim)))
        return [pod for pod in users if not pod.spec.node_name and pod.status.phase in (None, "", PENDING)]

    def _say(self, obj: Any, events: Iterable[Said]) -> None:
        for said in events:
            self._recorder.event(obj, *said)

    def _say_again(self, claim: PersistentVolumeClaim, events: list[Said]) -> None:
        """Say why a claim waits; the same thing not too often, however often it is looked at."""
        uid, now = claim.metadata.uid or "", self._clock.monotonic()
        before = self._said.get(uid)
        if before is not None and before[0] == events and now - before[1] < _REPEAT_SECONDS:
            return
        self._said[uid] = (events, now)
        self._say(claim, events)

    # What brings which keys up.

    def _claim_changed(self, old: PersistentVolumeClaim, new: PersistentVolumeClaim) -> None:
        self.enqueue(new)
        if old.spec.volume_name != new.spec.volume_name:
            # Volumes that were claimed for it and are not the one it has now are free again.
            self._claim_deleted(new)

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        self._said.pop(claim.metadata.uid or "", None)
        for volume in self._shown_volumes.by_index(_CLAIMED, str(key_of(claim))):
            self.enqueue(volume)

    def _volume_seen(self, volume: PersistentVolume) -> None:
        self.enqueue(volume)
        self._look_at_claims(volume)

    def _volume_changed(self, old: PersistentVolume, new: PersistentVolume) -> None:
        self.enqueue(new)
        if old.spec != new.spec or old.status.phase != new.status.phase or old.metadata.labels != new.metadata.labels:
            self._look_at_claims(new)

    def _look_at_claims(self, volume: PersistentVolume) -> None:
        """A volume that became free may be what a claim waits for, unless the scheduler has to choose."""
        reference = volume.spec.claim_ref
        self._look_at_namers(volume)
        delayed = facts.waits_for_consumer(self._classes.get(facts.class_of_volume(volume)))
        if reference is None and volume.status.phase == facts.AVAILABLE and not delayed:
            for claim in self._shown_claims.by_index(_UNBOUND_OF_CLASS, facts.class_of_volume(volume)):
                if facts.could_hold(volume, claim):
                    self.enqueue(claim)

    def _volume_deleted(self, volume: PersistentVolume) -> None:
        self._look_at_namers(volume)

    def _look_at_namers(self, volume: PersistentVolume) -> None:
        """The claims that name the volume, and the one it names."""
        for claim in self._shown_claims.by_index(_BY_VOLUME, volume.metadata.name or ""):
            self.enqueue(claim)
        reference = volume.spec.claim_ref
        if reference is not None:
            self.queue.add(ObjectKey(reference.namespace or "", reference.name or ""))

    def _class_seen(self, storage_class: StorageClass) -> None:
        names = [storage_class.metadata.name or ""]
        if facts.default_class((storage_class,)) is not None:
            names.append(_NO_CLASS)
        for name in names:
            for claim in self._shown_claims.by_index(_UNBOUND_OF_CLASS, name):
                self.enqueue(claim)

    def _pod_added(self, pod: Pod) -> None:
        if pod.spec.node_name:
            return
        for key in claim_keys(pod):
            namespace, _, name = key.partition("/")
            claim = self._shown_claims.get(name, namespace)
            if claim is not None and not claim.spec.volume_name:
                self.enqueue(claim)


def _claimed_by(volume: PersistentVolume) -> tuple[str, ...]:
    reference = volume.spec.claim_ref
    return (f"{reference.namespace}/{reference.name}",) if reference is not None else ()


def _volume_name(claim: PersistentVolumeClaim) -> tuple[str, ...]:
    return (claim.spec.volume_name,) if claim.spec.volume_name else ()


def _unbound_classes(claim: PersistentVolumeClaim) -> tuple[str, ...]:
    if claim.spec.volume_name:
        return ()
    name = facts.class_of_claim(claim)
    return (name,) if facts.names_a_class(claim) else (name, _NO_CLASS)


def _class_if_free(volume: PersistentVolume) -> tuple[str, ...]:
    return (facts.class_of_volume(volume),) if volume.spec.claim_ref is None else ()
