"""Plugins at every point of a pod's way, in a scheduler that runs against a real apiserver."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest

from tests.unit.scheduler.test_scheduler import FAST, add_node, add_pod, node_of, said, scheduling, until
from tiphys.api.types.core_v1 import ConfigMap, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.framework import NodeFilter, Plugin, Point, Rejected, Trigger, Wait
from tiphys.scheduler.plugins import DEFAULT_PLUGINS
from tiphys.scheduler.profiles import Profile
from tiphys.scheduler.template import PodInfo, Template
from tiphys.testing.control_plane import ControlPlane


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    await add_node(plane, "n1")
    return plane


def with_plugin(kind: type[Plugin], name: str = "default-scheduler", made: list[Plugin] | None = None) -> Any:
    def make(handle: Any) -> Profile:
        mine = kind(None, handle)
        if made is not None:
            made.append(mine)
        return Profile.of(name, [(mine, 1), *((k(None, handle), weight) for k, weight in DEFAULT_PLUGINS)])

    return make


def config(kind: type[Plugin], made: list[Plugin] | None = None) -> SchedulerConfig:
    return dataclasses.replace(FAST, profiles=(with_plugin(kind, made=made),))


class Recorder(Plugin):
    """Takes down what it is asked."""

    name = "Recorder"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED

    def __init__(self, args: Any = None, handle: Any = None) -> None:
        super().__init__(args, handle)
        self.calls: list[str] = []

    def reserve(self, info: PodInfo, node_name: str) -> None:
        self.calls.append(f"reserve {node_name}")

    def unreserve(self, info: PodInfo, node_name: str) -> None:
        self.calls.append("unreserve")

    def permit(self, info: PodInfo, node_name: str) -> Wait | None:
        self.calls.append("permit")
        return None

    async def pre_bind(self, info: PodInfo, node_name: str) -> None:
        self.calls.append("pre_bind")

    async def bind(self, info: PodInfo, node_name: str) -> bool:
        self.calls.append("bind")
        return False

    def post_bind(self, info: PodInfo, node_name: str) -> None:
        self.calls.append("post_bind")


async def test_the_points_come_in_order(plane: ControlPlane) -> None:
    made: list[Plugin] = []
    async with scheduling(plane.client, config(Recorder, made)):
        await add_pod(plane, "a")
        await until(lambda: node_of(plane, "a"))
        (plugin,) = made
        assert isinstance(plugin, Recorder)

        async def after() -> bool:
            return "post_bind" in plugin.calls

        await until(after)
    assert plugin.calls == ["reserve n1", "permit", "pre_bind", "bind", "post_bind"]


@pytest.mark.parametrize("point", ["reserve", "permit", "pre_bind", "bind"])
async def test_a_rejection_is_reported_taken_back_and_helped_by_its_event(plane: ControlPlane, point: str) -> None:
    class Choosy(Recorder):
        name = "Choosy"

        def _judge(self, at: str, node_name: str) -> None:
            if at == point and node_name == "n1":
                raise Rejected("n1 is not good enough")

        def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
            return None

        def reserve(self, info: PodInfo, node_name: str) -> None:
            super().reserve(info, node_name)
            self._judge("reserve", node_name)

        def permit(self, info: PodInfo, node_name: str) -> Wait | None:
            self._judge("permit", node_name)
            return None

        async def pre_bind(self, info: PodInfo, node_name: str) -> None:
            self._judge("pre_bind", node_name)

        async def bind(self, info: PodInfo, node_name: str) -> bool:
            self._judge("bind", node_name)
            return False

    made: list[Plugin] = []
    async with scheduling(plane.client, config(Choosy, made)) as scheduler:
        await add_pod(plane, "a")
        event, *_ = await until(lambda: said(plane, "a", "FailedScheduling"))
        assert event.message == "n1 is not good enough"
        assert scheduler.cache.get(("default", "a")) is None
        assert isinstance(made[0], Choosy)
        assert made[0].calls[-1] == "unreserve"
        assert scheduler.queue.counts()["unschedulable"] == 1
        await plane.client.patch(type(await plane.client.get(Pod, "a", "default")), "a", "default", {})
        await add_node(plane, "n2", cpu="64", memory="64Gi")
        assert await until(lambda: node_of(plane, "a")) == "n2"


async def test_a_pod_waits_on_its_node_until_all_allow_it(plane: ControlPlane) -> None:
    class Patient(Plugin):
        name = "Patient"

        def permit(self, info: PodInfo, node_name: str) -> Wait | None:
            return Wait(600)

    async with scheduling(plane.client, config(Patient)) as scheduler:
        await add_pod(plane, "a", cpu="3")
        await add_pod(plane, "b", cpu="3")
        await until(lambda: said(plane, "b", "FailedScheduling"))
        assert not await node_of(plane, "a")
        (waiting,) = scheduler.handle.waiting
        assert waiting.info.key == ("default", "a")
        scheduler.handle.waiting.allow(("default", "a"), "Stranger")
        scheduler.handle.waiting.allow(("default", "a"), "Patient")
        await until(lambda: node_of(plane, "a"))
        assert not list(scheduler.handle.waiting)


async def test_a_pod_that_is_deleted_while_it_waits_gives_its_room_back(plane: ControlPlane) -> None:
    class FirstWaits(Plugin):
        name = "FirstWaits"

        def permit(self, info: PodInfo, node_name: str) -> Wait | None:
            return Wait(600) if info.key[1] == "a" else None

    async with scheduling(plane.client, config(FirstWaits)) as scheduler:
        await add_pod(plane, "a", cpu="3")
        await add_pod(plane, "b", cpu="3")
        await until(lambda: said(plane, "b", "FailedScheduling"))
        await plane.client.delete(Pod, "a", "default")
        await until(lambda: node_of(plane, "b"))
        assert not list(scheduler.handle.waiting)


@pytest.mark.parametrize("how", ["rejected", "too late"])
async def test_a_wait_ends_badly(plane: ControlPlane, how: str) -> None:
    class Impatient(Plugin):
        name = "Impatient"

        def permit(self, info: PodInfo, node_name: str) -> Wait | None:
            return Wait(0.01 if how == "too late" else 600)

    async with scheduling(plane.client, config(Impatient)) as scheduler:
        await add_pod(plane, "a")
        if how == "rejected":

            async def waits() -> bool:
                return scheduler.handle.waiting.get(("default", "a")) is not None

            await until(waits)
            scheduler.handle.waiting.reject(("default", "a"), "Impatient", "somebody changed his mind")
        (event,) = await until(lambda: said(plane, "a", "FailedScheduling"))
    words = {"rejected": "somebody changed his mind", "too late": "timed out waiting on permit after 0.01 s"}
    assert event.message == words[how]


async def test_a_plugin_may_bind_itself(plane: ControlPlane) -> None:
    class Binder(Plugin):
        name = "Binder"

        async def bind(self, info: PodInfo, node_name: str) -> bool:
            await self.handle.client.bind(*info.key, info.uid, node_name)
            return True

    async with scheduling(plane.client, config(Binder)):
        await add_pod(plane, "a")
        await until(lambda: node_of(plane, "a"))
        await until(lambda: said(plane, "a", "Scheduled"))


async def test_what_breaks_in_a_plugin_is_that_pods_trouble(plane: ControlPlane) -> None:
    class Broken(Plugin):
        name = "Broken"

        async def pre_bind(self, info: PodInfo, node_name: str) -> None:
            if info.key[1] == "a":
                raise ZeroDivisionError("no sums on Sunday")

    async with scheduling(plane.client, config(Broken)):
        await add_pod(plane, "a")
        await add_pod(plane, "b")
        await until(lambda: node_of(plane, "b"))
        event, *_ = await until(lambda: said(plane, "a", "FailedScheduling"))
    assert "no sums on Sunday" in event.message


async def test_each_profile_schedules_its_own_pods(plane: ControlPlane) -> None:
    class Never(Plugin):
        name = "Never"

        def reserve(self, info: PodInfo, node_name: str) -> None:
            raise Rejected("not in this profile")

    profiles = (*FAST.profiles, with_plugin(Never, "strict"))
    async with scheduling(plane.client, dataclasses.replace(FAST, profiles=profiles)):
        await add_pod(plane, "strict", scheduler_name="strict")
        await add_pod(plane, "usual")
        await until(lambda: node_of(plane, "usual"))
        (event,) = await until(lambda: said(plane, "strict", "FailedScheduling"))
    assert (event.message, event.source.component) == ("not in this profile", "strict")


async def test_a_plugin_sees_what_it_asks_for_of_pods_and_of_the_api(plane: ControlPlane) -> None:
    class OnFlagged(Plugin):
        """Pods with an annotation go nowhere as long as there is no ConfigMap of that name."""

        name = "OnFlagged"

        def __init__(self, args: Any = None, handle: Any = None) -> None:
            super().__init__(args, handle)
            self.flags = handle.informer(ConfigMap)
            self.flags.add_handler(on_add=lambda _: handle.activate([("default", "a")]))

        def key(self, pod: Pod) -> object:
            return pod.metadata.annotations.get("flag")

        def reserve(self, info: PodInfo, node_name: str) -> None:
            flag = info.template.facts.get(self.name)
            if flag is not None and self.flags.get(flag, "default") is None:
                raise Rejected(f"no flag {flag}")

    async with scheduling(plane.client, config(OnFlagged)):
        made = partial(add_pod, plane)
        await made("plain")
        await until(lambda: node_of(plane, "plain"))
        waiting = await plane.client.get(Pod, "plain", "default")
        flagged = Pod(
            metadata=ObjectMeta(name="a", namespace="default", annotations={"flag": "red"}), spec=waiting.spec
        )
        flagged.spec.node_name = ""
        await plane.client.create(flagged)
        (event,) = await until(lambda: said(plane, "a", "FailedScheduling"))
        assert event.message == "no flag red"
        await plane.client.create(ConfigMap(metadata=ObjectMeta(name="red", namespace="default")))
        await until(lambda: node_of(plane, "a"))


def test_a_plugin_is_asked_only_where_it_is_enabled_and_has_something_to_do() -> None:
    recorder = Recorder()
    profile = Profile("s", {Point.RESERVE: [recorder], Point.FILTER: [recorder], Point.SCORE: [recorder]})
    assert profile.at(Point.RESERVE) == (recorder,)
    assert profile.at(Point.PERMIT) == profile.at(Point.FILTER) == ()
    assert not profile.scores
