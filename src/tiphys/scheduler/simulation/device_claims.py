"""Claims for devices, as the resource claim controller makes them with a pod."""

from __future__ import annotations

from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod, PodResourceClaimStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.resource_v1 import ResourceClaim, ResourceClaimTemplate
from tiphys.client.ownership import controller_ref
from tiphys.scheduler.simulation.world import World


def with_device_claims(world: World, pod: Pod) -> Pod:
    """The new pod, after claims were made from the templates it names. One that is not there is waited for."""
    made: list[PodResourceClaimStatus] = []
    for asked in pod.spec.resource_claims:
        where = pod.metadata.namespace or ""
        template = world.snapshot.of(ResourceClaimTemplate).get((where, asked.resource_claim_template_name or ""))
        if template is None:
            continue
        name = f"{pod.metadata.name}-{asked.name}"
        meta = ObjectMeta(name=name, namespace=where, uid=world.uid(), owner_references=(controller_ref(pod),))
        world.put(ResourceClaim(metadata=meta, spec=template.spec.spec))
        made.append(PodResourceClaimStatus(name=asked.name, resource_claim_name=name))
    return replace(pod, status=replace(pod.status, resource_claim_statuses=tuple(made))) if made else pod
