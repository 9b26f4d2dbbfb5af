"""The storage class every cluster of ours has."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api import local_path
from tiphys.api.persistent_volumes import DEFAULT_CLASS_ANNOTATIONS, default_class
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import StorageClass


def local_path_class(existing: Iterable[StorageClass]) -> StorageClass:
    """Volumes that are directories on nodes; the default unless the cluster has one already."""
    default = default_class(existing) is None
    return StorageClass(
        metadata=ObjectMeta(
            name=local_path.CLASS_NAME, annotations={DEFAULT_CLASS_ANNOTATIONS[0]: "true"} if default else {}
        ),
        provisioner=local_path.PROVISIONER,
        reclaim_policy="Delete",
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
    )
