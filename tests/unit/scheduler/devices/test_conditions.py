"""Devices that their drivers make ready before a pod is bound, against a real apiserver."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.scheduler.devices.making import DRIVER, claim, device, device_class, pod_with, slice_of
from tests.unit.scheduler.test_scheduler import add_node, node_of, said, scheduling, until
from tiphys.api.types.meta_v1 import Condition
from tiphys.api.types.resource_v1 import AllocatedDeviceStatus, ResourceClaim
from tiphys.base.clock import SystemClock
from tiphys.scheduler.device_conditions import BINDING_TIMEOUT_SECONDS
from tiphys.testing.control_plane import ControlPlane

SCHEDULER = "system:kube-scheduler"


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    await add_node(plane, "n1")
    await plane.client.create(device_class())
    await plane.client.create(claim("c"))
    return plane


def slow(name: str) -> dict[str, Any]:
    return {
        **device(name),
        "bindingConditions": ["Attached"],
        "bindingFailureConditions": ["Broken"],
        "bindsToNode": True,
    }


async def claim_of(plane: ControlPlane) -> ResourceClaim:
    return await plane.client.get(ResourceClaim, "c", "default")


async def say(plane: ControlPlane, kind: str) -> None:
    """As the driver of the claim's device."""
    found = await claim_of(plane)
    assert found.status.allocation is not None
    assert found.status.allocation.devices is not None
    (given,) = found.status.allocation.devices.results
    condition = Condition(
        type=kind, status="True", reason="Said", message="", last_transition_time="2026-01-01T00:00:00Z"
    )
    status = AllocatedDeviceStatus(driver=DRIVER, pool=given.pool, device=given.device, conditions=(condition,))
    await plane.client.update_status(replace(found, status=replace(found.status, devices=(status,))))


async def test_a_pod_is_bound_when_its_device_is_ready(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("a", slow("d0")))
    async with scheduling(plane.client_as(SCHEDULER)):
        await plane.client.create(pod_with("p", "c"))
        (event,) = await until(lambda: said(plane, "p", "BindingConditionsPending"))
        assert event.message == "waiting for binding conditions for device on node n1"
        assert not await node_of(plane, "p")
        await say(plane, "Attached")
        assert await until(lambda: node_of(plane, "p")) == "n1"
    allocation = (await claim_of(plane)).status.allocation
    assert allocation is not None
    # It is bound to that node, though it could be used on all.
    assert allocation.node_selector is not None


async def test_a_device_that_fails_is_given_back_and_another_is_taken(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("a", slow("d0")))
    async with scheduling(plane.client_as(SCHEDULER)):
        await plane.client.create(pod_with("p", "c"))
        await until(lambda: said(plane, "p", "BindingConditionsPending"))
        await plane.client.create(slice_of("b", device("d1"), node="n1"))
        await say(plane, "Broken")
        assert await until(lambda: node_of(plane, "p")) == "n1"
    status = (await claim_of(plane)).status
    assert status.allocation is not None
    assert status.allocation.devices is not None
    assert [each.device for each in status.allocation.devices.results] == ["d1"]
    assert not status.devices


async def test_nobody_waits_for_ever(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("a", slow("d0")))
    async with scheduling(plane.client_as(SCHEDULER)) as scheduler:
        scheduler.handle.clock = Impatient()
        await plane.client.create(pod_with("p", "c"))
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert "device binding timeout: claim=c" in (event.message or "")
        assert not await node_of(plane, "p")


class Impatient(SystemClock):
    """For whom ten minutes are over at once."""

    async def sleep(self, seconds: float) -> None:
        if seconds != BINDING_TIMEOUT_SECONDS:
            await super().sleep(seconds)
