"""Devices that must be made ready before a pod is bound to their node: their drivers say so in the claim's status.

Source: Kubernetes documentation, "Device binding conditions"; KEP-5007.
"""

from __future__ import annotations

from typing import Final

from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.scheduler.framework import Rejected

BINDING_TIMEOUT_SECONDS: Final = 600.0


class BindingFailed(Rejected):
    """A driver says that a device of the claim cannot be made ready, or none said anything for too long."""

    def __init__(self, reason: str, claim: ResourceClaim) -> None:
        super().__init__(reason, unschedulable=False)
        self.claim = claim


def is_pending(claim: ResourceClaim) -> bool:
    """Whether a device of the claim is not ready yet. Raises BindingFailed."""
    allocation, name = claim.status.allocation, claim.metadata.name
    pending = False
    for result in allocation.devices.results if allocation is not None and allocation.devices is not None else ():
        if not result.binding_conditions:
            continue
        holds: set[str] = set()
        for status in claim.status.devices:
            if (status.driver, status.pool, status.device, status.share_id) == (
                result.driver,
                result.pool,
                result.device,
                result.share_id,
            ):
                holds |= {condition.type for condition in status.conditions if condition.status == "True"}
        failed = sorted(holds.intersection(result.binding_failure_conditions))
        if failed:
            where = f"{result.driver}/{result.pool}/{result.device}"
            raise BindingFailed(f"device binding failed: claim={name}, device={where}, condition={failed[0]}", claim)
        pending = pending or not holds.issuperset(result.binding_conditions)
    return pending
