"""Devices that a pod does not get after all, or that keep it from where it could run; against a real apiserver."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.scheduler.devices.making import claim, device, device_class, pod_with, slice_of
from tests.unit.scheduler.test_scheduler import add_node, node_of, said, scheduling, until
from tiphys.api.errors import conflict
from tiphys.api.types.core_v1 import Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
    ResourceClaimConsumerReference,
)
from tiphys.testing.control_plane import ControlPlane

SCHEDULER = "system:kube-scheduler"


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    for name in ("n1", "n2"):
        await add_node(plane, name)
        await plane.client.create(slice_of(name, device("d0"), node=name))
    await plane.client.create(device_class())
    return plane


def on(node: str) -> AllocationResult:
    """The device of that node."""
    result = DeviceRequestAllocationResult(request="r", driver="gpu.example.com", pool=node, device="d0")
    field = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node,))
    selector = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    return AllocationResult(devices=DeviceAllocationResult(results=(result,)), node_selector=selector)


async def give(plane: ControlPlane, name: str, node: str, *users: str) -> None:
    made = await plane.client.create(claim(name))
    references = tuple(ResourceClaimConsumerReference(resource="pods", name=u, uid=f"uid-{u}") for u in users)
    status = replace(made.status, allocation=on(node), reserved_for=references)
    await plane.client.update_status(replace(made, status=status))


async def cordon(plane: ControlPlane, name: str) -> None:
    await plane.client.patch(Node, name, "", {"spec": {"unschedulable": True}})


async def claim_of(plane: ControlPlane, name: str) -> ResourceClaim:
    return await plane.client.get(ResourceClaim, name, "default")


async def test_an_unused_claim_on_the_wrong_node_is_deallocated(plane: ControlPlane) -> None:
    await give(plane, "c", "n1")
    await cordon(plane, "n1")
    async with scheduling(plane.client_as(SCHEDULER)):
        await plane.client.create(pod_with("p", "c"))
        assert await until(lambda: node_of(plane, "p")) == "n2"
    found = (await claim_of(plane, "c")).status.allocation
    assert found is not None
    assert found.devices is not None
    assert [each.pool for each in found.devices.results] == ["n2"]


async def test_a_claim_that_another_pod_uses_stays_where_it_is(plane: ControlPlane) -> None:
    await give(plane, "c", "n1", "other")
    await cordon(plane, "n1")
    async with scheduling(plane.client_as(SCHEDULER)):
        await plane.client.create(pod_with("p", "c"))
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert "1 node(s) were unschedulable" in (event.message or "")
        assert "1 resourceclaim not available on the node" in (event.message or "")
    assert (await claim_of(plane, "c")).status.allocation == on("n1")


async def test_a_pod_that_could_not_be_bound_is_no_user(plane: ControlPlane) -> None:
    await plane.client.create(claim("c"))
    client = plane.client_as(SCHEDULER)
    refused = 0
    bind = client.bind

    async def refusing(*args: Any, **kwargs: Any) -> Any:
        nonlocal refused
        found = await claim_of(plane, "c")
        assert [user.name for user in found.status.reserved_for] == ["p"]
        refused += 1
        raise conflict("pods", "p", "not yet")

    client.bind = refusing  # type: ignore[method-assign]
    async with scheduling(client):
        await plane.client.create(pod_with("p", "c"))

        async def is_released() -> bool:
            return bool(refused) and not (await claim_of(plane, "c")).status.reserved_for

        await until(is_released)
        assert (await claim_of(plane, "c")).status.allocation is not None
        client.bind = bind  # type: ignore[method-assign]
        assert await until(lambda: node_of(plane, "p"))
    assert [user.name for user in (await claim_of(plane, "c")).status.reserved_for] == ["p"]


async def test_no_device_is_given_twice_however_often_writing_fails(plane: ControlPlane) -> None:
    for number in range(6):
        await plane.client.create(slice_of(f"more{number}", device("d0"), node="n1"))
        await plane.client.create(claim(f"c{number}"))
    client = plane.client_as(SCHEDULER)
    write, calls = client.update_status, 0

    async def failing(obj: Any) -> Any:
        nonlocal calls
        calls += 1
        if isinstance(obj, ResourceClaim) and calls % 3 == 0:
            raise conflict("resourceclaims", "c", "lost")
        return await write(obj)

    client.update_status = failing  # type: ignore[method-assign]
    async with scheduling(client):
        for number in range(6):
            await plane.client.create(pod_with(f"p{number}", f"c{number}"))

        async def all_placed() -> bool:
            pods = (await plane.client.list(Pod, "default")).items
            return all(pod.spec.node_name for pod in pods)

        await until(all_placed)
    given = []
    for known in (await plane.client.list(ResourceClaim, "default")).items:
        found = known.status.allocation
        assert found is not None
        assert found.devices is not None
        given += [(each.pool, each.device) for each in found.devices.results]
        assert len(known.status.reserved_for) == 1
    assert len(set(given)) == 6
