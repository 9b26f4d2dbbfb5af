"""Gangs in a scheduler that runs against a real apiserver."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.unit.scheduler.gangs.groups import GROUPS, LABEL, add_built_in, add_group, add_members, install, member
from tests.unit.scheduler.test_scheduler import FAST, add_node, add_pod, node_of, said, scheduling, until
from tiphys.api.types.core_v1 import Node, Pod, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.scheduler.framework import Plugin, Rejected
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo
from tiphys.testing.control_plane import ControlPlane, control_plane


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    await install(plane)
    return plane


async def placed(plane: ControlPlane, prefix: str = "") -> list[str]:
    pods = (await plane.client.list(Pod, "default")).items
    return sorted(
        p.metadata.name or "" for p in pods if p.spec.node_name and (p.metadata.name or "").startswith(prefix)
    )


async def all_placed(plane: ControlPlane, names: list[str]) -> bool:
    return set(names) <= set(await placed(plane))


async def test_a_gang_is_placed_when_it_fits(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="4")
    await add_group(plane, "train", 3)
    async with scheduling(plane.client_as("system:kube-scheduler")):
        names = await add_members(plane, "train", 3, cpu="1")
        await until(lambda: all_placed(plane, names))


async def test_none_of_it_is_placed_when_it_does_not_fit_and_all_when_it_does(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_group(plane, "train", 3)
    async with scheduling(plane.client):
        names = await add_members(plane, "train", 3, cpu="1")
        (event,) = await until(lambda: said(plane, names[1], "FailedScheduling"))
        assert event.message == 'pod group "train": the nodes have room for at most 2 of at least 3 pods'
        assert await placed(plane) == []
        await add_node(plane, "n2", cpu="1")
        await until(lambda: all_placed(plane, names))


async def test_a_gang_is_not_tried_before_its_least_resources_are_free(plane: ControlPlane) -> None:
    """The node takes both pods, but the group asks for more in sum than it and a small one have."""
    await add_node(plane, "n1", cpu="2")
    await add_group(plane, "train", 2, minResources={"cpu": 4, "memory": "1Gi"})
    async with scheduling(plane.client_as("system:kube-scheduler")):
        names = await add_members(plane, "train", 2, cpu="1")
        (event,) = await until(lambda: said(plane, names[1], "FailedScheduling"))
        lacks = "the cluster's nodes have less free than its minResources, by 2 of cpu"
        assert event.message == f'pod group "train": {lacks}'
        assert await placed(plane) == []
        # The first takes no pod of the gang, the second none at all: what they have free is what was missing.
        await add_node(plane, "n2", cpu="900m")
        await add_node(plane, "n3", cpu="1100m", unschedulable=True)
        await until(lambda: all_placed(plane, names))


async def test_its_least_resources_can_be_lowered(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_group(plane, "train", 2, minResources={"example.com/gpu": 1})
    async with scheduling(plane.client):
        names = await add_members(plane, "train", 2, cpu="1")
        await until(lambda: said(plane, names[1], "FailedScheduling"))
        change = msgspec.json.encode({"spec": {"minResources": {"example.com/gpu": None}}})
        answer = await plane.client.raw("PATCH", f"{GROUPS}/train", change, "application/merge-patch+json")
        assert answer.status == 200
        await until(lambda: all_placed(plane, names))


async def test_too_few_pods_wait_outside_the_queue(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="4")
    await add_group(plane, "train", 2)
    async with scheduling(plane.client) as scheduler:
        await plane.client.create(member("train-0", "train"))
        await until(_async(lambda: scheduler.queue.counts()["gated"] == 1))
        await plane.client.create(member("train-1", "train"))
        await until(lambda: all_placed(plane, ["train-0", "train-1"]))


async def test_a_group_that_comes_after_its_pods(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="4")
    async with scheduling(plane.client) as scheduler:
        names = await add_members(plane, "train", 2)
        await until(_async(lambda: scheduler.queue.counts()["gated"] == 2))
        await add_group(plane, "train", 2)
        await until(lambda: all_placed(plane, names))


async def test_two_gangs_that_compete_do_not_hold_half_each(plane: ControlPlane) -> None:
    """Room for four, two gangs of three: one is whole, the other has nothing, and gets its turn when the first goes."""
    for number in range(2):
        await add_node(plane, f"n{number}", cpu="2")
    await add_group(plane, "a", 3)
    await add_group(plane, "b", 3)
    # Made in turns, and there before the scheduler is.
    for number in range(3):
        for group in "ab":
            await plane.client.create(member(f"{group}-{number}", group, cpu="1"))
    async with scheduling(plane.client):
        first = await until(lambda: placed(plane))
        winner = first[0][0]
        loser = {"a": "b", "b": "a"}[winner]
        await until(lambda: all_placed(plane, [f"{winner}-{n}" for n in range(3)]))
        await until(partial(said, plane, f"{loser}-0", "FailedScheduling"))
        assert await placed(plane, loser) == []
        for number in range(3):
            await plane.client.delete(Pod, f"{winner}-{number}", "default", grace_period_seconds=0)
        await until(lambda: all_placed(plane, [f"{loser}-{n}" for n in range(3)]))


async def test_the_pods_beyond_the_minimum_come_when_there_is_room(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_group(plane, "train", 2)
    async with scheduling(plane.client):
        names = await add_members(plane, "train", 3, cpu="1")
        await until(_async(lambda: placed(plane), 2))
        there = await placed(plane)
        left = next(name for name in names if name not in there)
        (event, *_) = await until(lambda: said(plane, left, "FailedScheduling"))
        assert event.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")
        await add_node(plane, "n2", cpu="1")
        await until(lambda: all_placed(plane, names))


async def test_a_gang_that_does_not_fit_starves_nobody(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await plane.client.create(PriorityClass(metadata=ObjectMeta(name="high"), value=1000))
    await add_group(plane, "huge", 50)
    await add_members(plane, "huge", 50, cpu="1", priority_class_name="high")
    async with scheduling(plane.client):
        await until(lambda: said(plane, "huge-0", "FailedScheduling"))
        await add_pod(plane, "small", cpu="1")
        await until(lambda: node_of(plane, "small"))
    assert await placed(plane, "huge") == []


async def test_a_gang_by_the_field_of_the_pod(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_built_in(plane, "train", gang={"minCount": 3})
    async with scheduling(plane.client):
        for number in range(3):
            await plane.client.create(member(f"w-{number}", built_in="train", cpu="1"))
        await until(lambda: said(plane, "w-0", "FailedScheduling"))
        assert await placed(plane) == []
        await add_node(plane, "n2", cpu="1")
        await until(lambda: all_placed(plane, ["w-0", "w-1", "w-2"]))


async def test_the_basic_policy_places_one_by_one(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="1")
    await add_built_in(plane, "loose", basic={})
    async with scheduling(plane.client):
        for number in range(2):
            await plane.client.create(member(f"w-{number}", built_in="loose", cpu="1"))
        assert len(await until(lambda: placed(plane))) == 1


async def test_without_the_definitions_the_label_is_a_label_and_they_may_come_late() -> None:
    async with control_plane() as plane:
        await plane.client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        await add_node(plane, "n1", cpu="4")
        async with scheduling(plane.client) as scheduler:
            await add_pod(plane, "free", labels={LABEL: "nobody"})
            await until(lambda: node_of(plane, "free"))
            await install(plane)
            await until(_async(lambda: "scheduling.x-k8s.io" in scheduler.handle.gangs.served))
            names = await add_members(plane, "train", 2)
            await until(_async(lambda: scheduler.queue.counts()["gated"] == 2))
            await add_group(plane, "train", 2)
            await until(lambda: all_placed(plane, names))


async def test_pods_that_were_there_before_the_definitions_count() -> None:
    async with control_plane() as plane:
        await plane.client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        async with scheduling(plane.client) as scheduler:
            names = await add_members(plane, "train", 2, cpu="1")
            await until(_async(lambda: scheduler.queue.counts()["unschedulable"] == 2))
            await install(plane)
            await until(_async(lambda: "scheduling.x-k8s.io" in scheduler.handle.gangs.served))
            await add_group(plane, "train", 2)
            await until(_async(lambda: bool(scheduler.handle.gangs.gang_of(member("x", "train")))))
            await add_node(plane, "n1", cpu="1")

            async def told() -> bool:
                return any(
                    "pod group" in (event.message or "") for event in await said(plane, names[0], "FailedScheduling")
                )

            await until(told)
            assert await placed(plane) == []
            # Without its kind, a group is nothing to wait for.
            definition = "podgroups.scheduling.x-k8s.io"
            await plane.client.raw("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition}")
            await until(lambda: placed(plane))


async def test_a_gang_has_others_removed_only_if_that_makes_it_whole(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="2")
    await add_pod(plane, "low-0", cpu="1")
    await add_pod(plane, "low-1", cpu="1")
    await plane.client.create(PriorityClass(metadata=ObjectMeta(name="high"), value=1000))
    async with scheduling(plane.client):
        await until(lambda: all_placed(plane, ["low-0", "low-1"]))
        await add_group(plane, "three", 3)
        await add_members(plane, "three", 3, cpu="1", priority_class_name="high")
        await until(lambda: said(plane, "three-0", "FailedScheduling"))
        assert await placed(plane) == ["low-0", "low-1"]
        await add_group(plane, "two", 2)
        names = await add_members(plane, "two", 2, cpu="1", priority_class_name="high")
        await until(lambda: _terminating(plane, "low-", 2))
        for name in ("low-0", "low-1"):
            await plane.client.delete(Pod, name, "default", grace_period_seconds=0)
        await until(lambda: all_placed(plane, names))
    assert await placed(plane) == names


class Refuses(Plugin):
    """Lets one pod not be bound, at the point that the test says."""

    name = "Refuses"
    point = ""
    pod = "train-1"

    def reserve(self, info: PodInfo, node_name: str) -> None:
        if self.point == "reserve" and info.key[1] == self.pod:
            raise Rejected("not this one", unschedulable=False)

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        if self.point == "pre_bind" and info.key[1] == self.pod:
            raise Rejected("not this one", unschedulable=False)


@pytest.mark.parametrize("point", ["reserve", "pre_bind"])
async def test_one_that_cannot_be_bound_keeps_the_others_from_it(plane: ControlPlane, point: str) -> None:
    class Here(Refuses):
        pass

    Here.point = point

    def make(handle: Any) -> Profile:
        return Profile.of(
            "default-scheduler", [(Here(None, handle), 1), *((k(None, handle), w) for k, w in DEFAULT_PLUGINS)]
        )

    await add_node(plane, "n1", cpu="4")
    await add_group(plane, "train", 3)
    async with scheduling(plane.client, dataclasses.replace(FAST, profiles=(make,))) as scheduler:
        names = await add_members(plane, "train", 3, cpu="1")
        await until(lambda: said(plane, "train-1", "FailedScheduling"))
        assert await placed(plane) == []
        assert scheduler.cluster.nodes.requested.sum() <= 3 * 1001
        Here.point = ""
        await until(lambda: all_placed(plane, names))


async def test_a_restart_counts_what_is_bound(plane: ControlPlane) -> None:
    """One of three is bound already, as after a crash between two bindings: the other two follow."""
    await add_node(plane, "n1", cpu="4")
    await add_group(plane, "train", 3)
    names = await add_members(plane, "train", 3, cpu="1")
    made = await plane.client.get(Pod, names[0], "default")
    await plane.client.bind("default", names[0], made.metadata.uid or "", "n1")
    async with scheduling(plane.client):
        await until(lambda: all_placed(plane, names))


async def test_a_node_that_goes_leaves_the_gang_waiting_as_one(plane: ControlPlane) -> None:
    await add_node(plane, "n1", cpu="3")
    await add_group(plane, "train", 3)
    async with scheduling(plane.client) as scheduler:
        await plane.client.delete(Node, "n1")
        names = await add_members(plane, "train", 3, cpu="1")
        await until(_async(lambda: scheduler.queue.counts()["unschedulable"] == 3))
        await add_node(plane, "n2", cpu="3")
        await until(lambda: all_placed(plane, names))


async def _terminating(plane: ControlPlane, prefix: str, count: int) -> bool:
    pods = (await plane.client.list(Pod, "default")).items
    going = [p for p in pods if (p.metadata.name or "").startswith(prefix) and p.metadata.deletion_timestamp]
    return len(going) == count


def _async(check: Any, length: int | None = None) -> Any:
    async def ask() -> Any:
        found = check()
        found = await found if hasattr(found, "__await__") else found
        return found if length is None else len(found) == length

    return ask
