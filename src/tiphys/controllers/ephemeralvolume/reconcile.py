"""The claims that a pod's ephemeral volumes need. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from tiphys.api.persistent_volumes import claim_name_of
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client.ownership import controller_ref


def has_ephemeral(pod: Pod) -> bool:
    """Whether the pod has a volume that needs a claim of its own, and will have use for it."""
    return pod.metadata.deletion_timestamp is None and any(v.ephemeral is not None for v in pod.spec.volumes)


def wanted(pod: Pod) -> Iterator[tuple[str, PersistentVolumeClaim]]:
    """(volume's name, claim) of each ephemeral volume."""
    for volume in pod.spec.volumes:
        if volume.ephemeral is None or volume.ephemeral.volume_claim_template is None:
            continue
        template = volume.ephemeral.volume_claim_template
        owner = replace(controller_ref(pod), api_version="v1", kind="Pod")
        meta = ObjectMeta(
            name=claim_name_of(pod, volume),
            namespace=pod.metadata.namespace,
            labels=dict(template.metadata.labels),
            annotations=dict(template.metadata.annotations),
            owner_references=(owner,),
        )
        yield volume.name, PersistentVolumeClaim(metadata=meta, spec=template.spec)
