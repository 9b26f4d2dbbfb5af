"""Who a pod of a StatefulSet is: its name, labels, host name and claims. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api.types.apps_v1 import StatefulSet
from tiphys.api.types.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodTemplateSpec,
    Volume,
)
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.client.ownership import controller_ref
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.pods import pod_from_template, with_labels

POD_NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
DELETE: Final = "Delete"


def start_of(stateful_set: StatefulSet) -> int:
    """The first ordinal."""
    return (stateful_set.spec.ordinals.start or 0) if stateful_set.spec.ordinals else 0


def replicas_of(stateful_set: StatefulSet) -> int:
    """``spec.replicas``, defaulted."""
    return 1 if stateful_set.spec.replicas is None else stateful_set.spec.replicas


def ordinal_of(stateful_set: StatefulSet, pod: Pod) -> int | None:
    """The pod's ordinal by its name; None if the name is not one of the set's."""
    parent, _, digits = (pod.metadata.name or "").rpartition("-")
    return int(digits) if parent == stateful_set.metadata.name and digits.isdigit() else None


def claim_name(template: PersistentVolumeClaim, stateful_set: StatefulSet, ordinal: int) -> str:
    """``data-web-0``: the claim of one pod for one claim template."""
    return f"{template.metadata.name}-{stateful_set.metadata.name}-{ordinal}"


def claims_of(stateful_set: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
    """The claims that the pod of this ordinal uses."""
    retention = stateful_set.spec.persistent_volume_claim_retention_policy
    owners: tuple[OwnerReference, ...] = ()
    if retention is not None and retention.when_deleted == DELETE:
        owners = (msgspec.structs.replace(controller_ref(stateful_set), controller=True),)
    claims = []
    for template in stateful_set.spec.volume_claim_templates:
        meta = msgspec.structs.replace(
            template.metadata,
            name=claim_name(template, stateful_set, ordinal),
            namespace=stateful_set.metadata.namespace,
            labels={**template.metadata.labels, **stateful_set.spec.selector.match_labels},
            owner_references=owners,
        )
        claims.append(msgspec.structs.replace(template, metadata=meta))
    return claims


def made(stateful_set: StatefulSet, template: PodTemplateSpec, revision_name: str, ordinal: int) -> Pod:
    """The pod of this ordinal from a revision's template."""
    name = f"{stateful_set.metadata.name}-{ordinal}"
    pod = pod_from_template(template, stateful_set, name=name)
    labels = {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal), HASH_LABEL: revision_name}
    pod = with_labels(pod, labels)
    own = {
        t.metadata.name or "": claim_name(t, stateful_set, ordinal) for t in stateful_set.spec.volume_claim_templates
    }
    claimed = tuple(
        Volume(name=volume, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))
        for volume, claim in own.items()
    )
    spec = msgspec.structs.replace(
        pod.spec,
        hostname=name,
        subdomain=stateful_set.spec.service_name or None,
        volumes=(*claimed, *(v for v in pod.spec.volumes if v.name not in own)),
    )
    return msgspec.structs.replace(pod, spec=spec)
