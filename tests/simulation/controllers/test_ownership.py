"""Owners and what they own, as the conformance suite's garbage collector tests have it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.simulation.controllers.world import World, world
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    ConfigMap,
    ReplicationController,
    ReplicationControllerSpec,
    ResourceQuota,
    ResourceQuotaSpec,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec
from tiphys.controllers.pods import is_active
from tiphys.testing import builders, virtual_time


def owned_by(*owners: Any, controller: bool = False) -> tuple[OwnerReference, ...]:
    return tuple(
        OwnerReference(
            api_version=o.api_version,
            kind=o.kind,
            name=o.metadata.name or "",
            uid=o.metadata.uid or "",
            block_owner_deletion=True,
            controller=controller or None,
        )
        for o in owners
    )


async def made(w: World, name: str, *owners: Any) -> ConfigMap:
    meta = ObjectMeta(name=name, namespace="x", owner_references=owned_by(*owners))
    return await w.client.create(ConfigMap(metadata=meta))


def controller(name: str, replicas: int) -> ReplicationController:
    spec = ReplicationControllerSpec(replicas=replicas, selector={"app": name}, template=builders.template(app=name))
    return ReplicationController(metadata=ObjectMeta(name=name, namespace="x"), spec=spec)


async def is_ready(w: World, name: str, replicas: int) -> bool:
    found = await w.client.get(ReplicationController, name, "x")
    return found.status.available_replicas == replicas


def test_a_circle_of_owners_does_not_block_itself() -> None:
    async def scenario() -> None:
        async with world() as w:
            first = await made(w, "one")
            second = await made(w, "two", first)
            third = await made(w, "three", second)
            first.metadata.owner_references = owned_by(third)
            await w.client.update(first)
            await asyncio.sleep(1)
            await w.client.delete(ConfigMap, "one", "x", propagation_policy="Foreground")
            for name in ("one", "two", "three"):
                await w.until(lambda name=name: w.is_gone(ConfigMap, name), seconds=90)

    virtual_time.run(scenario())


def test_what_has_another_owner_outlives_one_that_waits_for_its_dependents() -> None:
    async def scenario() -> None:
        async with world() as w:
            doomed, other = await made(w, "doomed"), await made(w, "other")
            await made(w, "shared", doomed, other)
            await made(w, "own", doomed)
            await asyncio.sleep(1)
            await w.client.delete(ConfigMap, "doomed", "x", propagation_policy="Foreground")
            await w.until(lambda: w.is_gone(ConfigMap, "doomed"))
            assert await w.is_gone(ConfigMap, "own")
            shared = await w.client.get(ConfigMap, "shared", "x")
            assert [ref.name for ref in shared.metadata.owner_references] == ["other"]

    virtual_time.run(scenario())


def test_an_owner_that_never_was_takes_its_dependents_with_it() -> None:
    async def scenario() -> None:
        async with world() as w:
            ghost = ConfigMap(metadata=ObjectMeta(name="ghost", namespace="x", uid="not-a-uid-of-anything"))
            await made(w, "haunted", ghost)
            await w.until(lambda: w.is_gone(ConfigMap, "haunted"))

    virtual_time.run(scenario())


def test_a_namesake_of_the_owner_is_not_the_owner() -> None:
    async def scenario() -> None:
        async with world() as w:
            owner = await made(w, "owner")
            await w.client.delete(ConfigMap, "owner", "x", propagation_policy="Orphan")
            await w.until(lambda: w.is_gone(ConfigMap, "owner"))
            await made(w, "owner")
            await made(w, "dependent", owner)
            await w.until(lambda: w.is_gone(ConfigMap, "dependent"))
            assert not await w.is_gone(ConfigMap, "owner")

    virtual_time.run(scenario())


def test_a_pod_that_matches_no_longer_is_released_and_replaced() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(controller("web", 1))
            await w.until(lambda: is_ready(w, "web", 1))
            (pod,) = await w.pods(app="web")
            await w.client.patch(type(pod), pod.metadata.name or "", "x", {"metadata": {"labels": {"app": "not"}}})

            async def released() -> bool:
                (free,) = await w.pods(app="not")
                return not free.metadata.owner_references and await is_ready(w, "web", 1)

            await w.until(released)
            assert len([p for p in await w.pods(app="web") if is_active(p)]) == 1

    virtual_time.run(scenario())


def test_a_quota_counts_what_comes_and_goes() -> None:
    async def scenario() -> None:
        async with world() as w:
            quota = ResourceQuotaSpec(hard={"pods": Quantity("5"), "count/replicationcontrollers": Quantity("5")})
            await w.client.create(ResourceQuota(metadata=ObjectMeta(name="q", namespace="x"), spec=quota))

            async def counted(pods: str, controllers: str) -> bool:
                used = (await w.client.get(ResourceQuota, "q", "x")).status.used
                return (used.get("pods"), used.get("count/replicationcontrollers")) == (pods, controllers)

            await w.until(lambda: counted("0", "0"))
            await w.client.create(controller("web", 3))
            await w.until(lambda: counted("3", "1"))
            await w.client.delete(ReplicationController, "web", "x", propagation_policy="Background")
            await w.until(lambda: counted("0", "0"))

    virtual_time.run(scenario())


def test_a_budget_lets_go_what_it_can_spare_and_no_more() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(controller("web", 3))
            await w.until(lambda: is_ready(w, "web", 3))
            spec = PodDisruptionBudgetSpec(min_available=2, selector=LabelSelector(match_labels={"app": "web"}))
            await w.client.create(PodDisruptionBudget(metadata=ObjectMeta(name="b", namespace="x"), spec=spec))

            async def allows(count: int) -> bool:
                status = (await w.client.get(PodDisruptionBudget, "b", "x")).status
                return (status.disruptions_allowed or 0) == count and status.observed_generation == 1

            await w.until(lambda: allows(1))
            victim = (await w.pods(app="web"))[0]
            await w.client.evict("x", victim.metadata.name or "")
            await w.until(lambda: allows(1))
            assert victim.metadata.uid not in {p.metadata.uid for p in await w.pods(app="web")}

    virtual_time.run(scenario())
