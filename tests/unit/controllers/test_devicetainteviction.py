"""Pods leave devices that evict them, when their claims' tolerations end."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    Device,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    DeviceTaint,
    DeviceToleration,
    ResourceClaim,
    ResourceClaimStatus,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from tiphys.base.clock import rfc3339
from tiphys.controllers.devicetainteviction.reconcile import evict_at, evicting

NOW = 1_700_000_000.0
ADDED = NOW - 100
BROKEN = DeviceTaint(key="broken", value="yes", effect="NoExecute", time_added=rfc3339(ADDED))


def offered(*taints: DeviceTaint, generation: int = 1, pool: str = "p") -> ResourceSlice:
    devices = (Device(name="d", taints=taints), Device(name="whole"))
    spec = ResourceSliceSpec(driver="drv", pool=ResourcePool(name=pool, generation=generation), devices=devices)
    return ResourceSlice(metadata=ObjectMeta(name=f"{pool}-{generation}"), spec=spec)


def using(*devices: str, tolerations: tuple[DeviceToleration, ...] = ()) -> ResourceClaim:
    results = tuple(
        DeviceRequestAllocationResult(driver="drv", pool="p", device=name, request="r", tolerations=tolerations)
        for name in devices
    )
    allocation = AllocationResult(devices=DeviceAllocationResult(results=results))
    return ResourceClaim(
        metadata=ObjectMeta(name="c", namespace="x"), status=ResourceClaimStatus(allocation=allocation)
    )


def moment(*tolerations: DeviceToleration, taints: tuple[DeviceTaint, ...] = (BROKEN,)) -> float | None:
    found = evicting([offered(*taints)])
    return evict_at(using("whole", "d", tolerations=tolerations), lambda device: found.get(device, ()), NOW)


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], NOW),
        ([{"operator": "Exists"}], None),
        ([{"key": "broken", "operator": "Exists", "effect": "NoExecute"}], None),
        ([{"key": "broken", "operator": "Exists", "effect": "NoSchedule"}], NOW),
        ([{"key": "broken", "value": "yes"}], None),
        ([{"key": "broken", "value": "no"}], NOW),
        ([{"key": "other", "operator": "Exists"}], NOW),
        ([{"operator": "Exists", "toleration_seconds": 300}], ADDED + 300),
        ([{"operator": "Exists", "toleration_seconds": 300}, {"key": "broken", "value": "yes"}], ADDED + 300),
        (
            [{"operator": "Exists", "toleration_seconds": 300}, {"operator": "Exists", "toleration_seconds": 7}],
            ADDED + 7,
        ),
        ([{"operator": "Exists", "toleration_seconds": -5}], ADDED),
    ],
)
def test_users_go_when_the_toleration_of_their_claim_ends(
    tolerations: list[dict[str, Any]], expected: float | None
) -> None:
    assert moment(*(DeviceToleration(**fields) for fields in tolerations)) == expected


def test_the_first_taint_that_evicts_decides() -> None:
    other = DeviceTaint(key="hot", effect="NoExecute", time_added=rfc3339(ADDED - 50))
    limits = (
        DeviceToleration(key="broken", operator="Exists", toleration_seconds=30),
        DeviceToleration(key="hot", operator="Exists", toleration_seconds=60),
    )
    assert moment(*limits, taints=(BROKEN, other)) == ADDED + 10


def test_only_what_evicts_counts_and_only_of_the_devices_that_are_used() -> None:
    mild = DeviceTaint(key="broken", effect="NoSchedule")
    assert moment(taints=(mild,)) is None
    found = evicting([offered(BROKEN)])
    assert evict_at(using("whole"), lambda device: found.get(device, ()), NOW) is None
    assert evict_at(ResourceClaim(), lambda device: (BROKEN,), NOW) is None


def test_a_former_generation_of_the_pool_says_nothing() -> None:
    assert evicting([offered(BROKEN, generation=1), offered(generation=2)]) == {}
    assert list(evicting([offered(generation=1), offered(BROKEN, generation=2)])) == [("drv", "p", "d")]
