"""Which volume is whose: facts about claims, volumes and classes, and the choice of a volume for a claim. Pure.

Source: Kubernetes documentation, "Persistent Volumes" (binding is exclusive and one to one: a volume's ``claimRef``
names its claim by uid, a claim's ``volumeName`` its volume) and "Storage Classes".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.core_v1 import ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, Volume
from tiphys.api.types.storage_v1 import StorageClass

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATIONS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"

PENDING, BOUND, LOST = "Pending", "Bound", "Lost"
AVAILABLE, RELEASED, FAILED = "Available", "Released", "Failed"
READ_WRITE_ONCE_POD: Final = "ReadWriteOncePod"
STORAGE: Final = "storage"
_NOTHING: Final = Quantity("0")


def class_of_claim(claim: PersistentVolumeClaim) -> str:
    """The class a claim asks for; "" for none."""
    annotated = claim.metadata.annotations.get(CLASS_ANNOTATION)
    return annotated if annotated is not None else claim.spec.storage_class_name or ""


def names_a_class(claim: PersistentVolumeClaim) -> bool:
    """Whether the claim says which class it wants, "" (none) included: if not, the default class is meant."""
    return claim.spec.storage_class_name is not None or CLASS_ANNOTATION in claim.metadata.annotations


def class_of_volume(volume: PersistentVolume) -> str:
    """The class a volume is of; "" for none."""
    annotated = volume.metadata.annotations.get(CLASS_ANNOTATION)
    return annotated if annotated is not None else volume.spec.storage_class_name or ""


def default_class(classes: Iterable[StorageClass]) -> StorageClass | None:
    """The default class: of several the one made last, of those the first by name."""
    marked = [c for c in classes if any(c.metadata.annotations.get(a) == "true" for a in DEFAULT_CLASS_ANNOTATIONS)]
    latest = max((c.metadata.creation_timestamp or "" for c in marked), default="")
    newest = [c for c in marked if (c.metadata.creation_timestamp or "") == latest]
    return min(newest, key=lambda c: c.metadata.name or "", default=None)


def waits_for_consumer(storage_class: StorageClass | None) -> bool:
    """Whether claims of the class are bound only when a pod that uses them is given a node."""
    return storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether the claim has a volume and binding was completed from both sides."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def refers_to(reference: ObjectReference | None, claim: PersistentVolumeClaim) -> bool:
    """Whether a volume's claimRef is for the claim: by name, and by uid once it has one."""
    if reference is None:
        return False
    meta = claim.metadata
    if (reference.name, reference.namespace) != (meta.name, meta.namespace):
        return False
    return not reference.uid or reference.uid == meta.uid


def requested(claim: PersistentVolumeClaim) -> Quantity:
    """How much storage the claim asks for."""
    return claim.spec.resources.requests.get(STORAGE, _NOTHING)


def capacity(volume: PersistentVolume) -> Quantity:
    """How much storage the volume has."""
    return volume.spec.capacity.get(STORAGE, _NOTHING)


def mode_of(obj: PersistentVolume | PersistentVolumeClaim) -> str:
    """Filesystem or Block."""
    return obj.spec.volume_mode or "Filesystem"


def could_hold(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether a free volume has all that the claim asks for, apart from where it is."""
    if volume.status.phase != AVAILABLE or class_of_volume(volume) != class_of_claim(claim):
        return False
    if not _is_enough(volume, claim):
        return False
    return claim.spec.selector is None or from_label_selector(claim.spec.selector).matches(volume.metadata.labels)


def _is_enough(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (
        volume.metadata.deletion_timestamp is None
        and capacity(volume).milli >= requested(claim).milli
        and mode_of(volume) == mode_of(claim)
        and (volume.spec.volume_attributes_class_name or "") == (claim.spec.volume_attributes_class_name or "")
        and all(mode in volume.spec.access_modes for mode in claim.spec.access_modes)
    )


def best_match(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], *, delayed: bool
) -> PersistentVolume | None:
    """The volume to bind an unbound claim to: one kept for it, else the free one that wastes least.

    `delayed`: only one that is kept for it, since the scheduler chooses among the free ones.
    """
    free: list[PersistentVolume] = []
    for volume in volumes:
        reference = volume.spec.claim_ref
        if reference is not None:
            if refers_to(reference, claim) and _is_enough(volume, claim):
                return volume
        elif not delayed and could_hold(volume, claim):
            free.append(volume)
    return min(free, key=_waste, default=None)


def _waste(volume: PersistentVolume) -> tuple[object, ...]:
    # Few modes first: a claim that asks for one mode should not take a volume that many could share.
    return (len(set(volume.spec.access_modes)), capacity(volume).milli, volume.metadata.name or "")


def claim_name_of(pod: Pod, volume: Volume) -> str:
    """The name of the claim behind a pod's volume; "" if there is none."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


def is_made_for(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Whether the claim of an ephemeral volume belongs to the pod, and is not somebody's of the same name."""
    return any(o.uid == pod.metadata.uid and o.controller for o in claim.metadata.owner_references)
