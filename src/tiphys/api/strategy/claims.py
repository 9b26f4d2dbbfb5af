"""Persistent volumes and claims."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    TypedLocalObjectReference,
    TypedObjectReference,
)

PENDING: Final = "Pending"


def create_volume(obj: PersistentVolume, now: str) -> None:
    """A new volume is pending since now."""
    obj.status.phase = PENDING
    obj.status.last_phase_transition_time = now


def create_claim(obj: PersistentVolumeClaim, now: str) -> None:
    """A new claim is pending; its two ways of naming a source agree."""
    obj.status.phase = PENDING
    _agree_on_source(obj.spec)


def update_claim(new: PersistentVolumeClaim, old: PersistentVolumeClaim) -> None:
    """The two ways of naming a source agree."""
    _agree_on_source(new.spec)


def _agree_on_source(spec: PersistentVolumeClaimSpec) -> None:
    source, reference = spec.data_source, spec.data_source_ref
    if source is not None and reference is None:
        spec.data_source_ref = TypedObjectReference(kind=source.kind, name=source.name, api_group=source.api_group)
    elif reference is not None and source is None and not reference.namespace:
        spec.data_source = TypedLocalObjectReference(
            kind=reference.kind, name=reference.name, api_group=reference.api_group
        )
