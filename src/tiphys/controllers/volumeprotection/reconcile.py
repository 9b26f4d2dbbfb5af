"""Whether a claim or a volume is in use, and with which finalizers it is kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec.structs import replace

from tiphys.api.persistent_volumes import BOUND, is_made_for
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod

PVC_FINALIZER: Final = "kubernetes.io/pvc-protection"
PV_FINALIZER: Final = "kubernetes.io/pv-protection"
VAC_FINALIZER: Final = "kubernetes.io/vac-protection"


def uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Whether the pod has or may have the claim's volume mounted. One without a node gets none of what is going."""
    if not pod.spec.node_name:
        return False
    name = claim.metadata.name
    for volume in pod.spec.volumes:
        source = volume.persistent_volume_claim
        if source is not None and source.claim_name == name:
            return True
        own = volume.ephemeral is not None and f"{pod.metadata.name}-{volume.name}" == name
        if own and is_made_for(claim, pod) and not _is_shut_down(pod):
            return True
    return False


def _is_shut_down(pod: Pod) -> bool:
    """Whether the kubelet has let go of the pod: deleted, with no time left."""
    return pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds == 0


def is_used(claim: PersistentVolumeClaim, pods: Iterable[Pod]) -> bool:
    """Whether any of the pods uses the claim."""
    return any(uses(pod, claim) for pod in pods)


def is_bound(volume: PersistentVolume) -> bool:
    """Whether a claim has the volume."""
    return volume.status.phase == BOUND


def attributes_classes(obj: PersistentVolume | PersistentVolumeClaim) -> tuple[str, ...]:
    """The classes of attributes that a volume or claim has, or is to have."""
    names = [obj.spec.volume_attributes_class_name]
    if isinstance(obj, PersistentVolumeClaim):
        status = obj.status
        names.append(status.current_volume_attributes_class_name)
        if status.modify_volume_status is not None:
            names.append(status.modify_volume_status.target_volume_attributes_class_name)
    return tuple({name for name in names if name})


def protected(obj: Any, finalizer: str) -> Any:
    """`obj` with the finalizer, while it is not being deleted; the same object if it has it."""
    if obj.metadata.deletion_timestamp is not None or finalizer in obj.metadata.finalizers:
        return obj
    return replace(obj, metadata=replace(obj.metadata, finalizers=(*obj.metadata.finalizers, finalizer)))


def freed(obj: Any, finalizer: str) -> Any:
    """`obj` without the finalizer."""
    kept = tuple(f for f in obj.metadata.finalizers if f != finalizer)
    return replace(obj, metadata=replace(obj.metadata, finalizers=kept))


def may_go(obj: Any, finalizer: str) -> bool:
    """Whether only the finalizer's owner is to be asked."""
    return obj.metadata.deletion_timestamp is not None and finalizer in obj.metadata.finalizers
