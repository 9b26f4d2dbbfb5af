"""What a pod's claims need, and what becomes of a claim when its users are gone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from tiphys.api.resource_claims import CLAIM_NAME, FINALIZER, MAXIMUM_USERS, claim_names
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.resource_v1 import (
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimStatus,
    ResourceClaimTemplate,
)
from tiphys.client.ownership import controller_ref


def is_done(pod: Pod) -> bool:
    """Whether the pod will never use its claims (again)."""
    if pod.status.phase in ("Succeeded", "Failed"):
        return True
    return pod.metadata.deletion_timestamp is not None and not pod.spec.node_name


def wanted(pod: Pod) -> Iterator[tuple[str, str]]:
    """(name in the pod, template) of each claim that is to be made for the pod and is not recorded in its status."""
    if is_done(pod) or pod.metadata.deletion_timestamp is not None:
        return
    recorded = {status.name for status in pod.status.resource_claim_statuses}
    for claim in pod.spec.resource_claims:
        if claim.resource_claim_template_name and claim.name not in recorded:
            yield claim.name, claim.resource_claim_template_name


def made(pod: Pod, name: str, template: ResourceClaimTemplate) -> ResourceClaim:
    """The claim that the pod calls `name`; the apiserver completes its name."""
    meta = template.spec.metadata or ObjectMeta()
    # Names are cut, so that what the apiserver adds has room.
    prefix = f"{pod.metadata.name}-{name}"[:57].rstrip("-.")
    return ResourceClaim(
        metadata=ObjectMeta(
            generate_name=f"{prefix}-",
            namespace=pod.metadata.namespace,
            labels=dict(meta.labels),
            annotations={**meta.annotations, CLAIM_NAME: name},
            owner_references=(replace(controller_ref(pod), api_version="v1", kind="Pod"),),
        ),
        spec=template.spec.spec,
    )


def is_made_for(claim: ResourceClaim, pod: Pod, name: str) -> bool:
    """Whether an earlier try made the claim."""
    owners = claim.metadata.owner_references
    return claim.metadata.annotations.get(CLAIM_NAME) == name and any(
        owner.controller and owner.uid == pod.metadata.uid for owner in owners
    )


def unreserved(pod: Pod, claim_of: Callable[[str], ResourceClaim | None]) -> Iterator[str]:
    """Claims with devices that a pod which was given its node not by the scheduler uses, and is no user of yet."""
    if not pod.spec.node_name or is_done(pod) or pod.metadata.deletion_timestamp is not None:
        return
    for name in claim_names(pod):
        claim = claim_of(name)
        if (
            claim is not None
            and claim.status.allocation is not None
            and claim.metadata.deletion_timestamp is None
            and len(claim.status.reserved_for) < MAXIMUM_USERS
            and all(user.uid != pod.metadata.uid for user in claim.status.reserved_for)
        ):
            yield name


def with_user(claim: ResourceClaim, pod: Pod) -> ResourceClaimStatus:
    """The claim's status with the pod as one more user."""
    user = ResourceClaimConsumerReference(resource="pods", name=pod.metadata.name or "", uid=pod.metadata.uid or "")
    return replace(claim.status, reserved_for=(*claim.status.reserved_for, user))


def owner_of(claim: ResourceClaim) -> str | None:
    """The uid of the pod that the claim was made for; None if it is a user's."""
    return next((o.uid for o in claim.metadata.owner_references if o.controller and o.kind == "Pod"), None)


def cleaned(claim: ResourceClaim, uses: Callable[[ResourceClaimConsumerReference], bool]) -> ResourceClaimStatus | None:
    """The claim's status without users that are gone, and without devices if none is left; None: it stays as it is."""
    status = claim.status
    users = tuple(user for user in status.reserved_for if uses(user))
    if users == status.reserved_for:
        # Devices that nobody uses are given back only when the last user goes: until then one is on its way.
        unused = not users and status.allocation is not None and claim.metadata.deletion_timestamp is not None
        return replace(status, allocation=None, devices=()) if unused else None
    if users:
        return replace(status, reserved_for=users)
    return replace(status, reserved_for=(), allocation=None, devices=())


def without_protection(finalizers: Iterable[str]) -> tuple[str, ...]:
    return tuple(finalizer for finalizer in finalizers if finalizer != FINALIZER)
