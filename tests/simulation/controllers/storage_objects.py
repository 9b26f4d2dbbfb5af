"""Claims, volumes and classes for these tests, made short."""

from __future__ import annotations

from typing import Any

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    HostPathVolumeSource,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeSpec,
    VolumeResourceRequirements,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import StorageClass


def claim(name: str, size: str = "1Gi", *, storage_class: str | None = "", **spec: Any) -> PersistentVolumeClaim:
    return PersistentVolumeClaim(
        metadata=ObjectMeta(name=name, namespace="x", annotations=spec.pop("annotations", {})),
        spec=PersistentVolumeClaimSpec(
            access_modes=spec.pop("access_modes", ("ReadWriteOnce",)),
            resources=VolumeResourceRequirements(requests={"storage": Quantity(size)}),
            storage_class_name=storage_class,
            **spec,
        ),
    )


def volume(name: str, size: str = "1Gi", *, storage_class: str = "", **spec: Any) -> PersistentVolume:
    meta = {key: spec.pop(key) for key in ("labels", "annotations") if key in spec}
    return PersistentVolume(
        metadata=ObjectMeta(name=name, **meta),
        spec=PersistentVolumeSpec(
            access_modes=spec.pop("access_modes", ("ReadWriteOnce",)),
            capacity={"storage": Quantity(size)},
            host_path=HostPathVolumeSource(path=f"/tmp/{name}"),
            storage_class_name=storage_class,
            **spec,
        ),
    )


def storage_class(name: str, provisioner: str, *, delayed: bool = False, default: bool = False, **more: Any) -> Any:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return StorageClass(
        metadata=ObjectMeta(name=name, annotations=annotations),
        provisioner=provisioner,
        volume_binding_mode="WaitForFirstConsumer" if delayed else "Immediate",
        **more,
    )
