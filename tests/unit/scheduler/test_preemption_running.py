"""What becomes of a preemption when something else happens meanwhile; the whole scheduler, a real apiserver."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.scheduler.test_scheduler import add_node, add_pod, node_of, said, scheduling, until
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.testing.control_plane import ControlPlane


@pytest.fixture(autouse=True)
async def classes(plane: ControlPlane) -> None:
    for name, value in (("low", 100), ("middle", 500), ("high", 1000)):
        await plane.client.create(PriorityClass(metadata=ObjectMeta(name=name), value=value))


async def going(plane: ControlPlane, name: str) -> bool:
    return (await plane.client.get(Pod, name, "default")).metadata.deletion_timestamp is not None


async def nominated(plane: ControlPlane, name: str) -> str:
    return (await plane.client.get(Pod, name, "default")).status.nominated_node_name or ""


async def gone(plane: ControlPlane, name: str) -> None:
    """As its kubelet says when the containers have ended."""
    await plane.client.delete(Pod, name, "default", grace_period_seconds=0)


async def fill(plane: ControlPlane, node_name: str, pod: str, **fields: Any) -> None:
    await add_node(plane, node_name, cpu="1")
    await add_pod(plane, pod, cpu="1", node_selector={"kubernetes.io/hostname": node_name}, **fields)
    await until(lambda: node_of(plane, pod))


async def test_after_a_restart_nobody_else_has_to_go(plane: ControlPlane) -> None:
    async with scheduling(plane.client):
        await fill(plane, "n1", "victim")
        await fill(plane, "n2", "bystander", priority_class_name="middle")
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")
        await until(lambda: going(plane, "victim"))
        assert await until(lambda: nominated(plane, "preemptor")) == "n1"
    async with scheduling(plane.client) as scheduler:
        await until(lambda: _unschedulable(scheduler, "preemptor"))
        scheduler.handle.activate([("default", "preemptor")])
        await until(lambda: said(plane, "preemptor", "FailedScheduling"))
        assert not await going(plane, "bystander")
        await gone(plane, "victim")
        assert await until(lambda: node_of(plane, "preemptor")) == "n1"
    assert not await going(plane, "bystander")


async def test_a_preemptor_that_is_deleted_leaves_the_room_to_others(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    async with scheduling(plane.client) as scheduler:
        for name in ("first", "second"):
            await add_pod(plane, name, cpu="1")
            await until(lambda name=name: node_of(plane, name))
        await add_pod(plane, "preemptor", cpu="2", priority_class_name="high")
        for name in ("first", "second"):
            await until(lambda name=name: going(plane, name))
        await gone(plane, "first")
        await add_pod(plane, "small", cpu="1")
        await until(lambda: _unschedulable(scheduler, "small"))
        assert not await node_of(plane, "small"), "one is free, but kept for the preemptor"
        await gone(plane, "preemptor")
        assert await until(lambda: node_of(plane, "small")) == "n1"


async def test_a_node_is_taken_from_a_lower_pod_that_waits_for_it(plane: ControlPlane) -> None:
    async with scheduling(plane.client):
        await fill(plane, "n1", "first")
        await fill(plane, "n2", "second", priority_class_name="low")
        await add_pod(plane, "lower", cpu="1", priority_class_name="middle")
        assert await until(lambda: nominated(plane, "lower")) == "n1"
        await until(lambda: going(plane, "first"))
        await add_pod(plane, "higher", cpu="1", priority_class_name="high")
        assert await until(lambda: nominated(plane, "higher")) == "n1"
        await until(lambda: going(plane, "second"))

        async def moved() -> bool:
            return await nominated(plane, "lower") == "n2"

        await until(moved)
        await gone(plane, "first")
        assert await until(lambda: node_of(plane, "higher")) == "n1"
        await gone(plane, "second")
        assert await until(lambda: node_of(plane, "lower")) == "n2"


async def test_a_node_that_vanishes_is_not_waited_for(plane: ControlPlane) -> None:
    async with scheduling(plane.client):
        await fill(plane, "n1", "first")
        await fill(plane, "n2", "second", priority_class_name="middle")
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")
        assert await until(lambda: nominated(plane, "preemptor")) == "n1"
        await plane.client.delete(Node, "n1")
        await until(lambda: going(plane, "second"))
        await gone(plane, "second")
        assert await until(lambda: node_of(plane, "preemptor")) == "n2"


async def test_a_nomination_ends_where_no_room_can_be_made(plane: ControlPlane) -> None:
    async with scheduling(plane.client) as scheduler:
        await fill(plane, "n1", "first")
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")
        assert await until(lambda: nominated(plane, "preemptor")) == "n1"
        await plane.client.patch(Node, "n1", "", {"spec": {"unschedulable": True}})

        async def cleared() -> bool:
            scheduler.handle.activate([("default", "preemptor")])
            return not await nominated(plane, "preemptor")

        await until(cleared)


async def _unschedulable(scheduler: Any, name: str) -> bool:
    queued = scheduler.queue.get(("default", name))
    return queued is not None and queued.place == "unschedulable"
