"""Whether a claim waits to grow. Pure."""

from __future__ import annotations

from typing import Final

from tiphys.api import persistent_volumes as facts
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim

RESIZER: Final = "volume.kubernetes.io/storage-resizer"
WAITING: Final = "waiting for an external controller to expand this PVC"


def waits_to_grow(claim: PersistentVolumeClaim) -> bool:
    """Whether a bound claim asks for more than it has."""
    has = claim.status.capacity.get(facts.STORAGE, Quantity("0"))
    return claim.status.phase == facts.BOUND and facts.requested(claim).exact > has.exact


def resizer_of(volume: PersistentVolume) -> str:
    """Who can make the volume larger: its provisioner or its CSI driver."""
    if volume.spec.csi is not None:
        return volume.spec.csi.driver
    return volume.metadata.annotations.get(facts.PROVISIONED_BY, "")
