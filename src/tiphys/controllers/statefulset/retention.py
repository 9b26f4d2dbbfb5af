"""Who owns the claims of a StatefulSet, by its retention policy. Pure.

    whenDeleted  whenScaled   claim of a pod that stays   claim of a pod scaled away
    Retain       Retain       nobody                      nobody
    Delete       Retain       the set                     the set
    Retain       Delete       nobody                      the pod
    Delete       Delete       the set                     the pod

What a claim's owner's end means to it is the garbage collector's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from tiphys.api.types.apps_v1 import StatefulSet
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.client.ownership import controller_ref
from tiphys.controllers.statefulset.identity import DELETE, claim_name, ordinal_of, replicas_of, start_of


def owned_rightly(
    stateful_set: StatefulSet,
    pods: Iterable[Pod],
    claim_of: Callable[[str], PersistentVolumeClaim | None],
) -> list[PersistentVolumeClaim]:
    """The claims of `pods` whose owners are not what the policy says, as they should be."""
    changed = []
    for pod in pods:
        for template in stateful_set.spec.volume_claim_templates:
            claim = claim_of(claim_name(template, stateful_set, ordinal_of(stateful_set, pod) or 0))
            if claim is None or claim.metadata.deletion_timestamp is not None:
                continue
            wanted = _owners(stateful_set, pod, claim)
            if wanted != claim.metadata.owner_references:
                changed.append(replace(claim, metadata=replace(claim.metadata, owner_references=wanted)))
    return changed


def _owners(stateful_set: StatefulSet, pod: Pod, claim: PersistentVolumeClaim) -> tuple[OwnerReference, ...]:
    ours = {stateful_set.metadata.uid, pod.metadata.uid}
    others = tuple(o for o in claim.metadata.owner_references if o.uid not in ours)
    owner = _owner(stateful_set, pod)
    if owner is None or any(o.controller for o in others):
        return others
    before = [o for o in claim.metadata.owner_references if o.uid == owner.metadata.uid]
    return (*others, before[0] if before else controller_ref(owner))


def _owner(stateful_set: StatefulSet, pod: Pod) -> StatefulSet | Pod | None:
    policy = stateful_set.spec.persistent_volume_claim_retention_policy
    if policy is None:
        return None
    first = start_of(stateful_set)
    stays = first <= (ordinal_of(stateful_set, pod) or 0) < first + replicas_of(stateful_set)
    if policy.when_scaled == DELETE and not stays:
        return pod
    return stateful_set if policy.when_deleted == DELETE else None


def is_leaving(claim: PersistentVolumeClaim, pod_name: str) -> bool:
    """Whether the claim is going, or will as soon as it is noticed that the pod it belonged to is gone.

    A new pod of that name must not begin to use it.
    """
    if claim.metadata.deletion_timestamp is not None:
        return True
    return any(o.kind == "Pod" and o.name == pod_name for o in claim.metadata.owner_references)
