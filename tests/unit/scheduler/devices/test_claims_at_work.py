"""Scheduler and controller with claims, against a real apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.scheduler.devices.making import (
    DRIVER,
    claim,
    device,
    device_class,
    pod_with,
    request,
    slice_of,
    template,
)
from tests.unit.scheduler.test_scheduler import add_node, node_of, said, scheduling, until
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager
from tiphys.testing.control_plane import ControlPlane

SCHEDULER = "system:kube-scheduler"
MANAGER = "system:kube-controller-manager"


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    for name in ("n1", "n2", "n3"):
        await add_node(plane, name)
    await plane.client.create(device_class())
    return plane


@asynccontextmanager
async def working(plane: ControlPlane) -> AsyncIterator[Any]:
    names = ("resource-claim-controller", "garbage-collector-controller")
    manager = ControllerManager(plane.client_as(MANAGER), ControllerManagerConfig(controllers=names))
    running = asyncio.ensure_future(manager.run())
    try:
        async with scheduling(plane.client_as(SCHEDULER)) as scheduler:
            yield scheduler
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def claim_of(plane: ControlPlane, name: str) -> ResourceClaim:
    return await plane.client.get(ResourceClaim, name, "default")


async def devices_of(plane: ControlPlane, name: str) -> list[str]:
    found = (await claim_of(plane, name)).status.allocation
    return (
        [result.device for result in found.devices.results] if found is not None and found.devices is not None else []
    )


async def test_a_pod_goes_where_its_devices_are_and_is_their_user(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("n2", device("d0"), node="n2"))
    await plane.client.create(claim("c"))
    async with working(plane):
        await plane.client.create(pod_with("p", "c"))
        assert await until(lambda: node_of(plane, "p")) == "n2"
    found = await claim_of(plane, "c")
    pod = await plane.client.get(Pod, "p", "default")
    assert await devices_of(plane, "c") == ["d0"]
    assert [(user.resource, user.name, user.uid) for user in found.status.reserved_for] == [
        ("pods", "p", pod.metadata.uid)
    ]
    assert "resource.kubernetes.io/delete-protection" in found.metadata.finalizers


async def test_claims_are_made_from_templates_and_go_with_their_pods(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("n1", device("d0"), device("d1"), node="n1"))
    await plane.client.create(template("t"))
    async with working(plane) as scheduler:
        for name in ("a", "b", "c"):
            await plane.client.create(pod_with(name, templates=("t",)))
        placed = await until(lambda: _placed(plane, ("a", "b", "c"), 2))
        (waits,) = {"a", "b", "c"} - placed
        (event, *_) = await until(lambda: said(plane, waits, "FailedScheduling"))
        assert "0/3 nodes are available: 3 cannot allocate all claims." in event.message
        given = [
            device for found in (await plane.client.list(ResourceClaim, "default")).items for device in _devices(found)
        ]
        assert sorted(given) == ["d0", "d1"]
        gone = sorted(placed)[0]
        await plane.client.delete(Pod, gone, "default", grace_period_seconds=0)
        assert await until(lambda: node_of(plane, waits)) == "n1"

        async def two() -> bool:
            return len((await plane.client.list(ResourceClaim, "default")).items) == 2

        await until(two)
        assert not scheduler.handle.waiting.get(("default", waits))


async def _placed(plane: ControlPlane, names: tuple[str, ...], count: int) -> set[str] | None:
    found = {name for name in names if await node_of(plane, name)}
    return found if len(found) == count else None


def _devices(found: ResourceClaim) -> list[str]:
    given = found.status.allocation
    return (
        [result.device for result in given.devices.results] if given is not None and given.devices is not None else []
    )


async def test_pods_share_a_claim_on_one_node(plane: ControlPlane) -> None:
    for name in ("n1", "n2"):
        await plane.client.create(slice_of(name, device(f"d-{name}"), node=name))
    await plane.client.create(claim("c"))
    async with working(plane):
        for number in range(3):
            await plane.client.create(pod_with(f"p{number}", "c"))
        await until(lambda: _placed(plane, ("p0", "p1", "p2"), 3))
        assert len({await node_of(plane, f"p{number}") for number in range(3)}) == 1
        assert len((await claim_of(plane, "c")).status.reserved_for) == 3
        # With its last user gone the claim is without devices, but there.
        for number in range(3):
            await plane.client.delete(Pod, f"p{number}", "default", grace_period_seconds=0)

        async def free() -> bool:
            found = await claim_of(plane, "c")
            return found.status.allocation is None and not found.metadata.finalizers

        await until(free)


async def test_a_pod_waits_for_its_claim_its_class_and_its_device(plane: ControlPlane) -> None:
    async with working(plane) as scheduler:
        await plane.client.create(pod_with("p", "late"))

        async def gated() -> bool:
            return bool(scheduler.queue.counts()["gated"] == 1)

        await until(gated)
        await plane.client.create(claim("late", request("r", 1, deviceClassName="fast")))
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert "request r: device class fast does not exist" in event.message
        await plane.client.create(device_class("fast", f'device.attributes["{DRIVER}"].speed > 10'))

        async def without_devices() -> bool:
            return any(
                "cannot allocate all claims" in (e.message or "") for e in await said(plane, "p", "FailedScheduling")
            )

        await until(without_devices)
        await plane.client.create(slice_of("n3", device("slow", speed=1), device("quick", speed=11), node="n3"))
        assert await until(lambda: node_of(plane, "p")) == "n3"
        assert await devices_of(plane, "late") == ["quick"]


async def test_a_restart_keeps_what_was_given(plane: ControlPlane) -> None:
    await plane.client.create(slice_of("n1", device("d0"), device("d1"), node="n1"))
    await plane.client.create(claim("c"))
    await plane.client.create(claim("d"))
    async with working(plane):
        await plane.client.create(pod_with("p", "c"))
        await until(lambda: node_of(plane, "p"))
    async with working(plane):
        await plane.client.create(pod_with("q", "d"))
        await until(lambda: node_of(plane, "q"))
    assert sorted([*await devices_of(plane, "c"), *await devices_of(plane, "d")]) == ["d0", "d1"]
