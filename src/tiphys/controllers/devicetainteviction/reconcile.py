"""When the users of a claim must go because of its devices. Pure. Source: KEP-5055."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tiphys.api.resource_claims import tolerates
from tiphys.api.types.resource_v1 import DeviceTaint, DeviceToleration, ResourceClaim, ResourceSlice
from tiphys.controllers.pods import seconds_of

NO_EXECUTE: Final = "NoExecute"
DeviceId = tuple[str, str, str]
"""Driver, pool, device."""
TaintsOf = Callable[[DeviceId], Sequence[DeviceTaint]]


def pool_of(found: ResourceSlice) -> tuple[str, str]:
    """Driver and pool: what a slice is part of."""
    return found.spec.driver, found.spec.pool.name


def evicting(slices: Iterable[ResourceSlice]) -> dict[DeviceId, tuple[DeviceTaint, ...]]:
    """The devices that evict, of one pool's slices. Those of a former generation of the pool say nothing."""
    known = list(slices)
    newest = max((one.spec.pool.generation for one in known), default=0)
    found = {}
    for one in known:
        if one.spec.pool.generation == newest:
            for device in one.spec.devices:
                if taints := tuple(taint for taint in device.taints if taint.effect == NO_EXECUTE):
                    found[*pool_of(one), device.name] = taints
    return found


def evict_at(claim: ResourceClaim, taints_of: TaintsOf, now: float) -> float | None:
    """When the claim's users must go, in seconds since the epoch (`now`: at once); None if they may stay.

    Each taint counts from when it was added; the shortest of the tolerations that cover it says how long.
    """
    allocation = claim.status.allocation
    if allocation is None or allocation.devices is None:
        return None
    moments = [
        moment
        for result in allocation.devices.results
        for taint in taints_of((result.driver, result.pool, result.device))
        if (moment := _moment(taint, result.tolerations, now)) is not None
    ]
    return min(moments, default=None)


def _moment(taint: DeviceTaint, tolerations: Iterable[DeviceToleration], now: float) -> float | None:
    covering = [toleration for toleration in tolerations if tolerates(toleration, taint)]
    if not covering:
        return now
    limits = [one.toleration_seconds for one in covering if one.toleration_seconds is not None]
    if not limits:
        return None
    added = seconds_of(taint.time_added) if taint.time_added else now
    return added + max(0, min(limits))
