"""What a volume and a claim look like once they are bound to each other, or let go. Pure.

    claim_ref set (spec) ── volume Bound (status) ── volumeName, bind-completed (metadata, spec) ── claim Bound (status)

Each step is a write of its own; a crash between two leaves what the next look completes, and the volume's claimRef,
written first under its resourceVersion, decides who has it.
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec.structs import replace

from tiphys.api.persistent_volumes import BIND_COMPLETED, BOUND, BOUND_BY_CONTROLLER, refers_to
from tiphys.api.types.core_v1 import ObjectReference, PersistentVolume, PersistentVolumeClaim

_YES: Final = "yes"
_Object = TypeVar("_Object", PersistentVolume, PersistentVolumeClaim)


def claimed(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """`volume` with its claimRef pointing at `claim`; the same object if it does already."""
    meta, reference = claim.metadata, volume.spec.claim_ref
    if reference is not None and refers_to(reference, claim) and reference.uid == meta.uid:
        return volume
    found = replace(
        volume,
        spec=replace(
            volume.spec,
            claim_ref=ObjectReference(
                kind="PersistentVolumeClaim",
                api_version="v1",
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                resource_version=meta.resource_version,
            ),
        ),
    )
    # A volume that a person kept for a claim is not given back when the claim goes elsewhere.
    return found if refers_to(reference, claim) else _annotated(found, BOUND_BY_CONTROLLER)


def bound(claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaim:
    """`claim` naming `volume`, its binding completed; the same object if it is already."""
    found, name = claim, volume.metadata.name
    if claim.spec.volume_name != name:
        found = _annotated(replace(found, spec=replace(found.spec, volume_name=name)), BOUND_BY_CONTROLLER)
    return _annotated(found, BIND_COMPLETED)


def claim_status(
    claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None = None
) -> PersistentVolumeClaim:
    """`claim` in `phase`, showing what it got of `volume`; the same object if nothing differs."""
    status = claim.status
    if volume is None:
        wanted = replace(status, phase=phase, access_modes=(), capacity={}, current_volume_attributes_class_name=None)
        if phase == status.phase:
            return claim
    else:
        # Once bound, the capacity is the business of whoever resizes.
        keep = status.phase == BOUND and status.capacity
        wanted = replace(
            status,
            phase=phase,
            access_modes=volume.spec.access_modes,
            capacity=status.capacity if keep else dict(volume.spec.capacity),
        )
        if not status.current_volume_attributes_class_name and volume.spec.volume_attributes_class_name:
            wanted = replace(wanted, current_volume_attributes_class_name=volume.spec.volume_attributes_class_name)
    return claim if wanted == status else replace(claim, status=wanted)


def volume_status(volume: PersistentVolume, phase: str, message: str, now: str) -> PersistentVolume:
    """`volume` in `phase` since `now`; the same object if it is already."""
    if volume.status.phase == phase:
        return volume
    status = replace(volume.status, phase=phase, message=message or None, last_phase_transition_time=now)
    return replace(volume, status=status)


def released(volume: PersistentVolume) -> PersistentVolume:
    """`volume` free again: a claimRef of ours goes, one that a person set only forgets the uid."""
    if BOUND_BY_CONTROLLER in volume.metadata.annotations:
        annotations = {k: v for k, v in volume.metadata.annotations.items() if k != BOUND_BY_CONTROLLER}
        meta = replace(volume.metadata, annotations=annotations)
        return replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=None))
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return volume
    return replace(volume, spec=replace(volume.spec, claim_ref=replace(reference, uid=None, resource_version=None)))


def _annotated(obj: _Object, annotation: str) -> _Object:
    if annotation in obj.metadata.annotations:
        return obj
    annotations = {**obj.metadata.annotations, annotation: _YES}
    return replace(obj, metadata=replace(obj.metadata, annotations=annotations))
