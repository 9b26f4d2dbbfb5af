"""The whole scheduler with extenders, against a real apiserver and real extenders in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.scheduler.extenders.servers import FakeExtender, letting, names, scoring, serving
from tests.unit.scheduler.gangs.groups import add_group, add_members, install
from tests.unit.scheduler.objects import container
from tests.unit.scheduler.test_scheduler import FAST, add_node, add_pod, node_of, said, scheduling, until
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import EnvVar, Node, Pod, ResourceRequirements
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.extenders.settings import Extender, ExtenderManagedResource
from tiphys.scheduler.scheduler import Scheduler
from tiphys.testing.control_plane import ControlPlane

GPU = "example.com/gpu"


@pytest.fixture
async def extender() -> AsyncIterator[FakeExtender]:
    async with serving(FakeExtender()) as running:
        yield running


def with_extender(extender: FakeExtender, **more: Any) -> SchedulerConfig:
    configured = Extender(url_prefix=extender.prefix, **more)
    return SchedulerConfig(
        initial_backoff_seconds=FAST.initial_backoff_seconds,
        maximum_backoff_seconds=FAST.maximum_backoff_seconds,
        extenders=(configured,),
    )


async def message(plane: ControlPlane, name: str) -> tuple[str, str]:
    async def condition() -> Any:
        waiting = await plane.client.get(Pod, name, "default")
        return [c for c in waiting.status.conditions if c.type == "PodScheduled"]

    (reported,) = await until(condition)
    return reported.reason or "", reported.message or ""


async def test_it_filters_and_prefers(plane: ControlPlane, extender: FakeExtender) -> None:
    for name in ("n1", "n2", "n3"):
        await add_node(plane, name)
    extender.answers = {"filter": letting("n2", "n3"), "prioritize": scoring(n1=10, n2=1, n3=9)}
    config = with_extender(extender, filter_verb="filter", prioritize_verb="prioritize", weight=10)
    env = (EnvVar(name="SIZE", value="12"),)
    async with scheduling(plane.client_as("system:kube-scheduler"), config):
        await add_pod(plane, "a", containers=(container(cpu="1", env=env),))
        assert await until(lambda: node_of(plane, "a")) == "n3"
    (_, asked), (_, rated) = extender.asked
    assert asked["Pod"]["spec"]["containers"][0]["env"] == [{"name": "SIZE", "value": "12"}]
    assert sorted(names(asked)) == ["n1", "n2", "n3"]
    assert sorted(names(rated)) == ["n2", "n3"]


@pytest.mark.parametrize(
    ("resolvable", "why"),
    [
        (True, "No preemption victims found for incoming pod"),
        (False, "Preemption is not helpful for scheduling"),
    ],
)
async def test_a_refusal_is_reported_and_what_happens_lets_it_be_asked_again(
    plane: ControlPlane, extender: FakeExtender, resolvable: bool, why: str
) -> None:
    await add_node(plane, "n1")
    await add_node(plane, "small", cpu="1")
    extender.answers = {"filter": letting(resolvable=resolvable)}
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")):
        await add_pod(plane, "a", cpu="2")
        reason, words = await message(plane, "a")
        assert reason == "Unschedulable"
        assert words.startswith("0/2 nodes are available: 1 Insufficient cpu, 1 no licence. preemption: 0/2 nodes are")
        assert f"1 {why}" in words or f"2 {why}" in words
        carried = (await plane.client.get(Pod, "a", "default")).metadata.annotations["scheduler.tiphys.io/why"]
        assert '"plugin":"Extender"' in carried
        assert "no licence" in carried
        extender.answers = {"filter": letting("n2")}
        await add_node(plane, "n2")
        assert await until(lambda: node_of(plane, "a")) == "n2"


async def test_a_failure_is_reported_and_tried_again(plane: ControlPlane, extender: FakeExtender) -> None:
    await add_node(plane, "n1")
    extender.answers = {"filter": 503}
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")):
        await add_pod(plane, "a")
        words = f"failed filter with extender at URL {extender.prefix}/filter, code 503"
        assert await message(plane, "a") == ("SchedulerError", words)
        assert (await until(lambda: said(plane, "a", "FailedScheduling")))[0].message == words
        extender.answers = {"filter": letting("n1")}
        assert await until(lambda: node_of(plane, "a")) == "n1"


async def test_others_do_not_wait_for_an_answer(plane: ControlPlane, extender: FakeExtender) -> None:
    await add_node(plane, "n1")
    extender.answers = {"filter": letting("n1")}
    extender.hold = asyncio.Event()
    managed = (ExtenderManagedResource(name=GPU, ignored_by_scheduler=True),)
    config = with_extender(extender, filter_verb="filter", managed_resources=managed)
    async with scheduling(plane.client, config):
        limited = container()
        limited.resources = ResourceRequirements(requests={GPU: Quantity("1")}, limits={GPU: Quantity("1")})
        room = {"cpu": Quantity("4"), "pods": Quantity("9"), GPU: Quantity("1")}
        await plane.client.patch(Node, "n1", "", {"status": {"allocatable": room}}, subresource="status")
        await add_pod(plane, "slow", containers=(limited,))
        await until(lambda: _is(bool(extender.asked)))
        await add_pod(plane, "quick")
        assert await until(lambda: node_of(plane, "quick")) == "n1"
        assert await node_of(plane, "slow") == ""
        extender.hold.set()
        assert await until(lambda: node_of(plane, "slow")) == "n1"
    assert extender.verbs() == ["filter"]


async def _is(answer: bool) -> bool:
    return answer


async def test_the_node_is_chosen_by_how_the_cluster_is_when_the_answer_is_there(
    plane: ControlPlane, extender: FakeExtender
) -> None:
    await add_node(plane, "n1")
    await add_node(plane, "n2")
    extender.answers = {"filter": letting("n1", "n2")}
    extender.hold = asyncio.Event()
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")) as scheduler:
        await add_pod(plane, "a")
        await until(lambda: _is(bool(extender.asked)))
        await plane.client.patch(Node, "n1", "", {"spec": {"unschedulable": True}})
        await until(lambda: _is(bool(scheduler.cluster.nodes.unschedulable.any())))
        extender.hold.set()
        assert await until(lambda: node_of(plane, "a")) == "n2"


async def test_if_all_that_was_allowed_is_taken_it_is_asked_again(plane: ControlPlane, extender: FakeExtender) -> None:
    await add_node(plane, "n1")
    extender.answers = {"filter": letting("n1", "n2")}
    extender.hold = asyncio.Event()
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")) as scheduler:
        await add_pod(plane, "a")
        await until(lambda: _is(bool(extender.asked)))
        await plane.client.patch(Node, "n1", "", {"spec": {"unschedulable": True}})
        await add_node(plane, "n2")
        await until(lambda: _is("n2" in scheduler.cluster.nodes.rows and scheduler.cluster.nodes.unschedulable.any()))
        extender.hold.set()
        assert await until(lambda: node_of(plane, "a")) == "n2"
    assert names(extender.asked[0][1]) == ["n1"]


async def test_a_pod_that_goes_meanwhile_is_forgotten(plane: ControlPlane, extender: FakeExtender) -> None:
    await add_node(plane, "n1")
    extender.answers = {"filter": letting("n1")}
    extender.hold = asyncio.Event()
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")) as scheduler:
        await add_pod(plane, "a")
        await until(lambda: _is(bool(extender.asked)))
        await plane.client.delete(Pod, "a", "default", grace_period_seconds=0)
        await until(lambda: _is(scheduler.queue.get(("default", "a")) is None))
        extender.hold.set()
        await add_pod(plane, "b")
        assert await until(lambda: node_of(plane, "b")) == "n1"
        assert len(scheduler.cache) == 1


async def test_the_extender_binds(plane: ControlPlane, extender: FakeExtender) -> None:
    await add_node(plane, "n1")
    bound: list[dict[str, Any]] = []
    config = with_extender(extender, bind_verb="bind")

    def bind(sent: dict[str, Any]) -> dict[str, Any]:
        bound.append(sent)
        return {"error": "not yet" if len(bound) == 1 else ""}

    extender.answers = {"bind": bind}
    async with scheduling(plane.client, config):
        await add_pod(plane, "a")
        await until(lambda: _is(len(bound) == 2))
        assert (await until(lambda: said(plane, "a", "FailedScheduling")))[0].message == "binding rejected: not yet"
        await until(lambda: said(plane, "a", "Scheduled"))
        assert await node_of(plane, "a") == "", "the extender said that it did, and nobody else does"
    assert bound[1]["PodName"] == "a"
    assert bound[1]["Node"] == "n1"


async def test_preemption_leaves_out_nodes_that_only_the_extender_refuses(
    plane: ControlPlane, extender: FakeExtender
) -> None:
    await plane.client.create(PriorityClass(metadata=ObjectMeta(name="high"), value=1000))
    await add_node(plane, "full", cpu="1")
    async with scheduling(plane.client):
        await add_pod(plane, "victim", cpu="1")
        await until(lambda: node_of(plane, "victim"))
    await add_node(plane, "refused")
    extender.answers = {"filter": letting("full")}
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")):
        await add_pod(plane, "preemptor", cpu="1", priority_class_name="high")

        async def nominated() -> str:
            return (await plane.client.get(Pod, "preemptor", "default")).status.nominated_node_name or ""

        assert await until(nominated) == "full"
        await plane.client.delete(Pod, "victim", "default", grace_period_seconds=0)
        assert await until(lambda: node_of(plane, "preemptor")) == "full"
    assert names(extender.asked[-1][1]) == ["full"], "the node that is kept for it is asked about first"


async def test_a_gang_is_refused_for_nobody_is_asked_about_it(plane: ControlPlane, extender: FakeExtender) -> None:
    await install(plane)
    await add_node(plane, "n1")
    await add_group(plane, "train", 2)
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")):
        members = await add_members(plane, "train", 2, cpu="1")
        (event,) = await until(lambda: said(plane, members[0], "FailedScheduling"))
    words = "an extender is interested in its pods, and extenders are not asked about groups"
    assert event.message == f'pod group "train": {words}'
    assert extender.asked == []


async def test_a_node_that_comes_while_all_are_refused_is_asked_about_at_once(
    plane: ControlPlane, extender: FakeExtender
) -> None:
    await add_node(plane, "n1")
    extender.answers = {"filter": letting("n2")}
    extender.hold = asyncio.Event()
    async with scheduling(plane.client, with_extender(extender, filter_verb="filter")) as scheduler:
        await add_pod(plane, "a")
        await until(lambda: _is(bool(extender.asked)))
        await add_node(plane, "n2")
        await until(lambda: _is(_untainted(scheduler, "n2")))
        extender.hold.set()
        assert await until(lambda: node_of(plane, "a")) == "n2"
        assert not await said(plane, "a", "FailedScheduling")


def _untainted(scheduler: Scheduler, name: str) -> bool:
    nodes = scheduler.cluster.nodes
    found = nodes.nodes[nodes.rows[name]] if name in nodes.rows else None
    return found is not None and not found.spec.taints
