"""What to do about one claim, or about one volume. Pure; reasons and words are upstream's.

 claim: Pending ──a volume matches, or is provisioned──► Bound ──its volume is gone──► Lost
volume: Available ──claimed──► Bound ──its claim is gone──► Released ──Delete──► gone, or Failed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tiphys.api import persistent_volumes as facts
from tiphys.api.persistent_volumes import AVAILABLE, BOUND, FAILED, LOST, PENDING, PROVISIONED_BY, RELEASED
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import StorageClass

NORMAL: Final = "Normal"
WARNING: Final = "Warning"
IN_TREE: Final = "kubernetes.io/"


class Said(NamedTuple):
    """An event about the object decided on."""

    type: str
    reason: str
    message: str


class Surroundings(NamedTuple):
    """What a decision about a claim looks at. `users`: pods that use the claim and have no node yet."""

    volume: Callable[[str], PersistentVolume | None]
    candidates: Callable[[PersistentVolumeClaim], Iterable[PersistentVolume]]
    storage_class: Callable[[str], StorageClass | None]
    default_class: Callable[[], StorageClass | None]
    users: Callable[[PersistentVolumeClaim], Sequence[Pod]]


@dataclass(slots=True)
class ClaimDecision:
    """Either `bind` to a volume, or be in `phase`; `adopt_class` and `provisioner` change the claim itself."""

    bind: PersistentVolume | None = None
    phase: str = ""
    adopt_class: str = ""
    provisioner: str = ""
    events: list[Said] = field(default_factory=list)


@dataclass(slots=True)
class VolumeDecision:
    """`unbind` comes before `phase`; `message` says why it is in it. `look_at_claim`: its claim can be bound."""

    phase: str = ""
    message: str = ""
    unbind: bool = False
    look_at_claim: bool = False
    events: list[Said] = field(default_factory=list)
    claim_events: list[Said] = field(default_factory=list)


def decide_claim(claim: PersistentVolumeClaim, around: Surroundings) -> ClaimDecision:
    """The next step for a claim."""
    if facts.BIND_COMPLETED in claim.metadata.annotations:
        return _bound_claim(claim, around)
    if claim.spec.volume_name:
        return _prebound_claim(claim, claim.spec.volume_name, around)
    return _unbound_claim(claim, around)


def _unbound_claim(claim: PersistentVolumeClaim, around: Surroundings) -> ClaimDecision:
    name = facts.class_of_claim(claim)
    storage_class = around.storage_class(name) if name else None
    delayed = facts.waits_for_consumer(storage_class)
    found = facts.best_match(claim, around.candidates(claim), delayed=delayed)
    if found is not None:
        return ClaimDecision(bind=found)
    if claim.metadata.deletion_timestamp is not None:
        return ClaimDecision(phase=PENDING)
    if not facts.names_a_class(claim) and (default := around.default_class()) is not None:
        return ClaimDecision(adopt_class=default.metadata.name or "")
    if delayed and facts.SELECTED_NODE not in claim.metadata.annotations:
        return ClaimDecision(phase=PENDING, events=[_waits(around.users(claim))])
    if not name:
        text = "no persistent volumes available for this claim and no storage class is set"
        return ClaimDecision(phase=PENDING, events=[Said(NORMAL, "FailedBinding", text)])
    return _provision(name, storage_class)


def _waits(users: Sequence[Pod]) -> Said:
    names = sorted(pod.metadata.name or "" for pod in users)
    if not names:
        text = "waiting for first consumer to be created before binding"
        return Said(NORMAL, "WaitForFirstConsumer", text)
    noun = "pod" if len(names) == 1 else "pods"
    return Said(NORMAL, "WaitForPodScheduled", f"waiting for {noun} {','.join(names)} to be scheduled")


def _provision(name: str, storage_class: StorageClass | None) -> ClaimDecision:
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return ClaimDecision(phase=PENDING, events=[Said(WARNING, "ProvisioningFailed", text)])
    provisioner = storage_class.provisioner
    if provisioner.startswith(IN_TREE):
        text = f"no volume plugin matched name: {provisioner}"
        return ClaimDecision(phase=PENDING, events=[Said(WARNING, "ProvisioningFailed", text)])
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    said = Said(NORMAL, "ExternalProvisioning", text)
    return ClaimDecision(phase=PENDING, provisioner=provisioner, events=[said])


def _prebound_claim(claim: PersistentVolumeClaim, name: str, around: Surroundings) -> ClaimDecision:
    volume = around.volume(name)
    if volume is None:
        return ClaimDecision(phase=PENDING)
    if facts.refers_to(volume.spec.claim_ref, claim):
        return ClaimDecision(bind=volume)
    if volume.spec.claim_ref is None:
        if volume.metadata.deletion_timestamp is not None:
            return ClaimDecision(phase=PENDING)
        if mismatch := _mismatch(volume, claim):
            text = f'Cannot bind to requested volume "{name}": {mismatch}'
            return ClaimDecision(phase=PENDING, events=[Said(WARNING, "VolumeMismatch", text)])
        return ClaimDecision(bind=volume)
    text = f'volume "{name}" already bound to a different claim.'
    return ClaimDecision(phase=PENDING, events=[Said(WARNING, "FailedBinding", text)])


def _mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    if facts.capacity(volume).exact < facts.requested(claim).exact:
        return "requested PV is too small"
    if facts.class_of_volume(volume) != facts.class_of_claim(claim):
        return "storageClassName does not match"
    if facts.mode_of(volume) != facts.mode_of(claim):
        return "incompatible volumeMode"
    return "" if set(claim.spec.access_modes) <= set(volume.spec.access_modes) else "incompatible accessMode"


def _bound_claim(claim: PersistentVolumeClaim, around: Surroundings) -> ClaimDecision:
    name = claim.spec.volume_name
    if not name:
        return _lost(
            claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        )
    volume = around.volume(name)
    if volume is None:
        return _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    reference = volume.spec.claim_ref
    if reference is None or reference.uid == claim.metadata.uid or facts.refers_to(reference, claim):
        return ClaimDecision(bind=volume)
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", text)


def _lost(claim: PersistentVolumeClaim, reason: str, text: str) -> ClaimDecision:
    # Said once, when it is noticed.
    events = [Said(WARNING, reason, text)] if claim.status.phase != LOST else []
    return ClaimDecision(phase=LOST, events=events)


_MODES_DIFFER: Final = Said(
    WARNING,
    "VolumeMismatch",
    "Cannot bind PersistentVolume to requested PersistentVolumeClaim due to incompatible volumeMode.",
)


def decide_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> VolumeDecision:
    """The next step for a volume; `claim` is the one its claimRef names, if there is one of that uid."""
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        # Kept for a claim by name only, it is free until that claim comes.
        return VolumeDecision(phase=AVAILABLE, look_at_claim=reference is not None)
    if claim is None:
        return _reclaim(volume)
    if not claim.spec.volume_name:
        if facts.mode_of(volume) != facts.mode_of(claim):
            return VolumeDecision(events=[_MODES_DIFFER], claim_events=[_MODES_DIFFER])
        return VolumeDecision(look_at_claim=True)
    if claim.spec.volume_name == volume.metadata.name:
        return VolumeDecision(phase=BOUND)
    if PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistent_volume_reclaim_policy == "Delete":
        # Made for a claim that got another meanwhile: nobody else can have use for it.
        return _reclaim(volume)
    return VolumeDecision(phase=AVAILABLE, unbind=True)


def _reclaim(volume: PersistentVolume) -> VolumeDecision:
    if volume.status.phase == FAILED:
        return VolumeDecision()
    name, policy = volume.metadata.name, volume.spec.persistent_volume_reclaim_policy or "Retain"
    provisioner = volume.metadata.annotations.get(PROVISIONED_BY, "")
    if policy == "Retain" or (policy == "Delete" and provisioner and not provisioner.startswith(IN_TREE)):
        # Whoever provisioned it deletes what it sees released.
        return VolumeDecision(phase=RELEASED)
    if policy == "Delete":
        what = f"no volume plugin matched name: {provisioner}" if provisioner else "no deletable volume plugin matched"
        text = f'error getting deleter volume plugin for volume "{name}": {what}'
        return VolumeDecision(phase=FAILED, message=text, events=[Said(WARNING, "VolumeFailedDelete", text)])
    if policy == "Recycle":
        text = f'error getting recycler volume plugin for volume "{name}": no recyclable volume plugin matched'
        return VolumeDecision(phase=FAILED, message=text, events=[Said(WARNING, "VolumeFailedRecycle", text)])
    text = "Volume has an unrecognized reclaim policy."
    return VolumeDecision(phase=FAILED, message=text, events=[Said(WARNING, "VolumeUnknownReclaimPolicy", text)])
