"""PersistentVolumeClaimResize: only what can grow may be asked to."""

from __future__ import annotations

from tiphys.api.persistent_volumes import BOUND, class_of_claim, requested
from tiphys.api.types.core_v1 import PersistentVolumeClaim
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.apiserver.admission.chain import UPDATE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write


class PersistentVolumeClaimResize(Base):
    """A bound claim grows if its class says that volumes can."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "persistentvolumeclaims" and not group and operation == UPDATE and not subresource

    def validate(self, write: Write) -> None:
        new: PersistentVolumeClaim = write.obj
        old: PersistentVolumeClaim = write.old
        if requested(new).exact <= requested(old).exact:
            return
        if old.status.phase != BOUND:
            raise refuse(write, "Only bound persistent volume claims can be expanded")
        found = self._lookup.get(StorageClass, class_of_claim(new)) if class_of_claim(new) else None
        if found is None or not found.allow_volume_expansion:
            raise refuse(
                write,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )
