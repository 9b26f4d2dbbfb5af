"""The whole scheduler against a real apiserver in this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.errors import conflict
from tiphys.api.types.core_v1 import Event, Node, Pod, PodSchedulingGate
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.client import Client
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.scheduler import Scheduler
from tiphys.testing.control_plane import ControlPlane

FAST = SchedulerConfig(initial_backoff_seconds=0.01, maximum_backoff_seconds=0.02)


@asynccontextmanager
async def scheduling(client: Client, config: SchedulerConfig = FAST) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(client, config, rng=random.Random(0))
    task = asyncio.ensure_future(scheduler.run())
    try:
        yield scheduler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(10):
        while not (found := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        return found


async def add_node(plane: ControlPlane, name: str, **fields: Any) -> None:
    made = await plane.client.create(node(name, **fields))
    # Nobody here says that the node is ready: take the taint off that admission put on.
    await plane.client.patch(Node, made.metadata.name or "", "", {"spec": {"taints": None}})


async def add_pod(plane: ControlPlane, name: str, **fields: Any) -> None:
    made = pod(name, **fields)
    meta = ObjectMeta(name=name, namespace="default", labels=made.metadata.labels)
    await plane.client.create(msgspec.structs.replace(made, metadata=meta))


async def node_of(plane: ControlPlane, name: str) -> str:
    return (await plane.client.get(Pod, name, "default")).spec.node_name or ""


async def said(plane: ControlPlane, name: str, reason: str) -> list[Event]:
    selector = f"involvedObject.name={name},reason={reason}"
    return (await plane.client.list(Event, "default", field_selector=selector)).items


async def test_pods_are_bound_and_it_is_said(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    async with scheduling(plane.client_as("system:kube-scheduler")):
        await add_pod(plane, "a", cpu="1")
        await until(lambda: node_of(plane, "a"))
        (event,) = await until(lambda: said(plane, "a", "Scheduled"))
    assert (event.type, event.message) == ("Normal", "Successfully assigned default/a to n1")
    assert event.source.component == "default-scheduler"
    bound = await plane.client.get(Pod, "a", "default")
    assert [(c.type, c.status) for c in bound.status.conditions if c.type == "PodScheduled"] == [
        ("PodScheduled", "True")
    ]


async def test_only_its_own_pods(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    await add_pod(plane, "foreign", scheduler_name="other")
    await add_pod(plane, "own")
    async with scheduling(plane.client):
        await until(lambda: node_of(plane, "own"))
    assert not await node_of(plane, "foreign")


async def test_the_reason_is_reported_and_a_new_node_helps(plane: ControlPlane) -> None:
    await add_node(plane, "small", cpu="1")
    await add_pod(plane, "big", cpu="2")
    async with scheduling(plane.client):
        (event,) = await until(lambda: said(plane, "big", "FailedScheduling"))
        words = (
            "0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        assert (event.type, event.message) == ("Warning", words)

        async def condition() -> Any:
            waiting = await plane.client.get(Pod, "big", "default")
            return [c for c in waiting.status.conditions if c.type == "PodScheduled"]

        (reported,) = await until(condition)
        assert (reported.status, reported.reason, reported.message) == ("False", "Unschedulable", words)
        await add_node(plane, "large", cpu="4")
        assert await until(lambda: node_of(plane, "big")) == "large"


async def test_room_that_becomes_free_is_used(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="1")
    await add_pod(plane, "first", cpu="1")
    async with scheduling(plane.client):
        await until(lambda: node_of(plane, "first"))
        await add_pod(plane, "second", cpu="1")
        await until(lambda: said(plane, "second", "FailedScheduling"))
        await plane.client.delete(Pod, "first", "default", grace_period_seconds=0)
        await until(lambda: node_of(plane, "second"))


async def test_a_gated_pod_waits(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    await add_pod(plane, "gated", scheduling_gates=(PodSchedulingGate(name="example.com/wait"),))
    await add_pod(plane, "free")
    async with scheduling(plane.client) as scheduler:
        await until(lambda: node_of(plane, "free"))
        assert scheduler.queue.counts()["gated"] == 1
        await plane.client.patch(Pod, "gated", "default", {"spec": {"schedulingGates": None}})
        await until(lambda: node_of(plane, "gated"))


async def test_a_restart_knows_what_is_bound(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_pod(plane, "a", cpu="1")
    async with scheduling(plane.client):
        await until(lambda: node_of(plane, "a"))
    await add_pod(plane, "b", cpu="1")
    await add_pod(plane, "c", cpu="1")
    async with scheduling(plane.client) as scheduler:
        await until(lambda: said(plane, "b", "Scheduled"))
        await until(lambda: said(plane, "c", "FailedScheduling"))
        assert int(scheduler.cluster.nodes.requested[:, 0].sum()) == 2000


async def test_a_failed_binding_is_tried_again(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_node(plane, "n1")
    client = plane.client_as("system:kube-scheduler")
    bind, failures = client.bind, [conflict("pods", "a", "busy"), OSError("gone")]

    async def flaky(*arguments: str, **more: Any) -> None:
        if failures:
            raise failures.pop()
        await bind(*arguments, **more)

    monkeypatch.setattr(client, "bind", flaky)
    await add_pod(plane, "a", cpu="1")
    async with scheduling(client) as scheduler:
        await until(lambda: node_of(plane, "a"))
        assert not failures
        assert int(scheduler.cluster.nodes.requested[:, 0].sum()) == 1000


async def test_a_victim_whose_deletion_fails_is_asked_to_go_again(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_node(plane, "n1", cpu="1")
    await plane.client.create(_class("high", 1000))
    await add_pod(plane, "victim", cpu="1")
    client = plane.client_as("system:kube-scheduler")
    delete, failures = client.delete, [OSError("gone"), TimeoutError("late")]

    async def flaky(kind: Any, name: str, *arguments: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        await delete(kind, name, *arguments, **more)

    monkeypatch.setattr(client, "delete", flaky)
    async with scheduling(client):
        await until(lambda: node_of(plane, "victim"))
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")

        async def going() -> bool:
            return (await plane.client.get(Pod, "victim", "default")).metadata.deletion_timestamp is not None

        await until(going)
        assert not failures
        await plane.client.delete(Pod, "victim", "default", grace_period_seconds=0)
        await until(lambda: node_of(plane, "preemptor"))


async def test_victims_are_removed_and_the_node_kept_for_the_preemptor(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="1")
    await plane.client.create(_class("high", 1000))
    await add_pod(plane, "victim", cpu="1")
    async with scheduling(plane.client):
        await until(lambda: node_of(plane, "victim"))
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")

        async def nominated() -> str:
            return (await plane.client.get(Pod, "preemptor", "default")).status.nominated_node_name or ""

        assert await until(nominated) == "n1"

        async def terminating() -> Any:
            victim = await plane.client.get(Pod, "victim", "default")
            return victim if victim.metadata.deletion_timestamp else None

        victim = await until(terminating)
        assert [c.reason for c in victim.status.conditions if c.type == "DisruptionTarget"] == ["PreemptionByScheduler"]
        await until(lambda: said(plane, "victim", "Preempted"))
        await plane.client.delete(Pod, "victim", "default", grace_period_seconds=0)
        await until(lambda: node_of(plane, "preemptor"))


def _class(name: str, value: int) -> Any:
    return PriorityClass(metadata=ObjectMeta(name=name), value=value)
