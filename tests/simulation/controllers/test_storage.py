"""Claims, volumes and their controllers against a real apiserver."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.simulation.controllers.storage_objects import claim, storage_class, volume
from tests.simulation.controllers.world import World, world
from tiphys.api import local_path
from tiphys.api.errors import ApiError
from tiphys.api.local_path import let_go
from tiphys.api.quantity import Quantity
from tiphys.api.types.apps_v1 import StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec
from tiphys.api.types.core_v1 import (
    EphemeralVolumeSource,
    Event,
    Node,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimTemplate,
    PersistentVolumeClaimVolumeSource,
    Pod,
    Volume,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.testing import builders, virtual_time


async def phase(w: World, kind: Any, name: str, wanted: str, *, seconds: float = 60) -> Any:
    namespace = "x" if kind is PersistentVolumeClaim else ""

    async def reached() -> bool:
        try:
            return (await w.client.get(kind, name, namespace)).status.phase == wanted
        except ApiError:
            return False

    await w.until(reached, seconds=seconds)
    return await w.client.get(kind, name, namespace)


async def said(w: World, name: str, reason: str) -> str:
    """The message of the event of that reason about an object called `name`, once there is one."""
    found: list[str] = []

    async def heard() -> bool:
        events = (await w.client.list(Event)).items
        found[:] = [e.message or "" for e in events if e.involved_object.name == name and e.reason == reason]
        return bool(found)

    await w.until(heard, seconds=60)
    return found[0]


async def gone(w: World, kind: Any, name: str) -> None:
    await w.until(lambda: w.is_gone(kind, name, "" if kind is PersistentVolume else "x"), seconds=120)


def pod_using(name: str, claim_name: str, *, node: str = "") -> Pod:
    source = PersistentVolumeClaimVolumeSource(claim_name=claim_name)
    made = builders.pod(name, namespace="x", node=node)
    return replace(made, spec=replace(made.spec, volumes=(Volume(name="v", persistent_volume_claim=source),)))


def test_a_claim_gets_the_smallest_volume_that_will_do() -> None:
    async def scenario() -> None:
        async with world() as w:
            for made in (
                volume("large", "10Gi"),
                volume("small", "1Gi"),
                volume("right", "5Gi"),
                volume("other-class", "5Gi", storage_class="fast"),
                volume("block", "5Gi", volume_mode="Block"),
                volume("shared", "5Gi", access_modes=("ReadOnlyMany", "ReadWriteOnce")),
            ):
                await w.client.create(made)
                await phase(w, PersistentVolume, made.metadata.name or "", "Available")
            await w.client.create(claim("c", "3Gi"))
            bound = await phase(w, PersistentVolumeClaim, "c", "Bound")
            assert bound.spec.volume_name == "right"
            assert bound.status.capacity == {"storage": Quantity("5Gi")}
            assert bound.status.access_modes == ("ReadWriteOnce",)
            assert {"pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"} <= set(
                bound.metadata.annotations
            )
            found = await phase(w, PersistentVolume, "right", "Bound")
            assert found.spec.claim_ref.uid == bound.metadata.uid
            await w.client.delete(PersistentVolumeClaim, "c", "x")
            await gone(w, PersistentVolumeClaim, "c")
            await phase(w, PersistentVolume, "right", "Released")

    virtual_time.run(scenario())


def test_many_claims_at_once_share_nothing() -> None:
    async def scenario() -> None:
        async with world() as w:
            for n in range(12):
                await w.client.create(claim(f"c{n}"))
            for n in range(10):
                await w.client.create(volume(f"v{n}", f"{n + 1}Gi"))

            async def settled() -> bool:
                claims = (await w.client.list(PersistentVolumeClaim, "x")).items
                return sum(c.status.phase == "Bound" for c in claims) == 10

            await w.until(settled, seconds=60)
            claims = (await w.client.list(PersistentVolumeClaim, "x")).items
            named = [c.spec.volume_name for c in claims if c.spec.volume_name]
            assert len(set(named)) == 10
            assert "no persistent volumes available" in await said(
                w, next(c.metadata.name or "" for c in claims if not c.spec.volume_name), "FailedBinding"
            )

    virtual_time.run(scenario())


def test_prebinding_from_either_side() -> None:
    async def scenario() -> None:
        async with world() as w:
            kept = ObjectReference(name="mine", namespace="x", kind="PersistentVolumeClaim", api_version="v1")
            await w.client.create(volume("kept", "5Gi", claim_ref=kept))
            await w.client.create(volume("smaller", "1Gi"))
            await phase(w, PersistentVolume, "kept", "Available")
            await w.client.create(claim("mine"))
            assert (await phase(w, PersistentVolumeClaim, "mine", "Bound")).spec.volume_name == "kept"
            await w.client.create(claim("chooser", volume_name="later"))
            await phase(w, PersistentVolumeClaim, "chooser", "Pending")
            await w.client.create(volume("later", "5Gi"))
            assert (await phase(w, PersistentVolumeClaim, "chooser", "Bound")).spec.volume_name == "later"
            await w.client.create(claim("late", volume_name="later"))
            assert await said(w, "late", "FailedBinding") == 'volume "later" already bound to a different claim.'
            # A claimRef that a person set stays when the claim goes, by name.
            found = await w.client.get(PersistentVolume, "kept")
            assert "pv.kubernetes.io/bound-by-controller" not in found.metadata.annotations

    virtual_time.run(scenario())


def test_a_selector_and_a_lost_volume() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(volume("plain"))
            await w.client.create(volume("gold", labels={"tier": "gold"}))
            await w.client.create(claim("c", selector=LabelSelector(match_labels={"tier": "gold"})))
            assert (await phase(w, PersistentVolumeClaim, "c", "Bound")).spec.volume_name == "gold"
            # Force it away under the claim.
            await w.client.delete(PersistentVolume, "gold")
            found = await w.client.get(PersistentVolume, "gold")
            assert found.status.phase == "Bound" and found.metadata.deletion_timestamp
            await w.client.update(replace(found, metadata=replace(found.metadata, finalizers=())))
            await phase(w, PersistentVolumeClaim, "c", "Lost")
            assert "lost its PersistentVolume" in await said(w, "c", "ClaimLost")

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("policy", "reason", "words"),
    [
        ("Delete", "VolumeFailedDelete", "no deletable volume plugin matched"),
        ("Recycle", "VolumeFailedRecycle", "no recyclable volume plugin matched"),
    ],
)
def test_what_nobody_can_delete_fails_and_says_so(policy: str, reason: str, words: str) -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(volume("v", persistent_volume_reclaim_policy=policy))
            await w.client.create(claim("c"))
            await phase(w, PersistentVolumeClaim, "c", "Bound")
            await w.client.delete(PersistentVolumeClaim, "c", "x")
            failed = await phase(w, PersistentVolume, "v", "Failed")
            assert words in failed.status.message
            assert words in await said(w, "v", reason)

    virtual_time.run(scenario())


def test_claims_and_volumes_stay_while_they_are_used() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(volume("v"))
            await w.client.create(claim("c"))
            await phase(w, PersistentVolumeClaim, "c", "Bound")
            await w.client.create(pod_using("p", "c", node="node-1"))
            await w.client.delete(PersistentVolumeClaim, "c", "x")
            await w.client.delete(PersistentVolume, "v")
            await asyncio.sleep(30)
            assert not await w.is_gone(PersistentVolumeClaim, "c")
            assert not await w.is_gone(PersistentVolume, "v", "")
            await w.client.delete(Pod, "p", "x", grace_period_seconds=0)
            await gone(w, PersistentVolumeClaim, "c")
            await gone(w, PersistentVolume, "v")

    virtual_time.run(scenario())


def test_a_default_class_comes_late() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(claim("c", storage_class=None))
            await said(w, "c", "FailedBinding")
            await w.client.create(storage_class("std", "example.org/p", default=True))

            async def asked() -> bool:
                found = await w.client.get(PersistentVolumeClaim, "c", "x")
                return found.spec.storage_class_name == "std" and bool(
                    found.metadata.annotations.get("volume.kubernetes.io/storage-provisioner")
                )

            await w.until(asked, seconds=60)
            assert "external provisioner 'example.org/p'" in await said(w, "c", "ExternalProvisioning")

    virtual_time.run(scenario())


def test_waiting_for_a_consumer() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(storage_class("late", "example.org/p", delayed=True))
            await w.client.create(volume("v", storage_class="late"))
            await w.client.create(claim("c", storage_class="late"))
            text = "waiting for first consumer to be created before binding"
            assert await said(w, "c", "WaitForFirstConsumer") == text
            unplaced = replace(pod_using("p", "c"), spec=replace(pod_using("p", "c").spec, scheduler_name="nobody"))
            await w.client.create(unplaced)
            assert await said(w, "c", "WaitForPodScheduled") == "waiting for pod p to be scheduled"
            assert (await w.client.get(PersistentVolumeClaim, "c", "x")).status.phase == "Pending"

    virtual_time.run(scenario())


async def with_root(w: World, name: str) -> None:
    await w.client.patch(Node, name, "", {"metadata": {"annotations": {local_path.ROOT_ANNOTATION: "/data"}}})


async def select(w: World, name: str, node: str) -> None:
    body = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}}
    await w.client.patch(PersistentVolumeClaim, name, "x", body)


def local_class(**more: Any) -> Any:
    return storage_class("local-path", local_path.PROVISIONER, delayed=True, **more)


def test_a_directory_is_made_and_removed_with_its_claim() -> None:
    async def scenario() -> None:
        async with world() as w:
            await with_root(w, "node-1")
            await w.client.create(local_class(allow_volume_expansion=True))
            await w.client.create(claim("c", "2Gi", storage_class="local-path"))
            await said(w, "c", "WaitForFirstConsumer")
            await select(w, "c", "node-1")
            bound = await phase(w, PersistentVolumeClaim, "c", "Bound")
            assert "Successfully provisioned" in await said(w, "c", "ProvisioningSucceeded")
            name = bound.spec.volume_name
            found = await phase(w, PersistentVolume, name, "Bound")
            assert found.spec.local.path == f"/data/{name}"
            assert found.metadata.labels == {local_path.NODE_LABEL: "node-1"}
            # It grows.
            await w.client.patch(
                PersistentVolumeClaim, "c", "x", {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
            )

            async def grown() -> bool:
                status = (await w.client.get(PersistentVolumeClaim, "c", "x")).status
                return status.capacity.get("storage") == "3Gi"

            await w.until(grown, seconds=60)
            await w.client.delete(PersistentVolumeClaim, "c", "x")

            async def given_up() -> bool:
                return local_path.is_given_up(await w.client.get(PersistentVolume, name))

            await w.until(given_up, seconds=60)
            # The node's agent lets it go.
            await w.client.update(let_go(await w.client.get(PersistentVolume, name)))
            await gone(w, PersistentVolume, name)

    virtual_time.run(scenario())


def test_a_node_without_a_directory_is_chosen_again_and_a_node_that_is_gone_is_named() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(local_class())
            await w.client.create(claim("c", storage_class="local-path"))
            await select(w, "c", "node-2")
            assert 'node "node-2" has no directory for local volumes' in await said(w, "c", "ProvisioningFailed")

            async def deselected() -> bool:
                found = await w.client.get(PersistentVolumeClaim, "c", "x")
                return "volume.kubernetes.io/selected-node" not in found.metadata.annotations

            await w.until(deselected, seconds=60)
            await with_root(w, "node-3")
            await select(w, "c", "node-3")
            name = (await phase(w, PersistentVolumeClaim, "c", "Bound")).spec.volume_name
            await w.client.delete(Node, "node-3")
            await w.client.delete(PersistentVolumeClaim, "c", "x")
            await gone(w, PersistentVolume, name)
            assert 'node "node-3" is gone' in await said(w, name, "VolumeFailedDelete")

    virtual_time.run(scenario())


def test_an_ephemeral_volume_has_a_claim_that_goes_with_the_pod() -> None:
    async def scenario() -> None:
        async with world() as w:
            template = PersistentVolumeClaimTemplate(spec=claim("any").spec)
            made = builders.pod("p", namespace="x", node="node-1")
            scratch = Volume(name="scratch", ephemeral=EphemeralVolumeSource(volume_claim_template=template))
            await w.client.create(replace(made, spec=replace(made.spec, volumes=(scratch,))))
            await w.client.create(volume("v"))
            bound = await phase(w, PersistentVolumeClaim, "p-scratch", "Bound")
            assert [(o.kind, o.name, o.controller) for o in bound.metadata.owner_references] == [("Pod", "p", True)]
            await w.client.delete(Pod, "p", "x", grace_period_seconds=0)
            await gone(w, PersistentVolumeClaim, "p-scratch")

    virtual_time.run(scenario())


def test_only_claims_whose_class_allows_it_grow() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(storage_class("fixed", "example.org/p"))
            await w.client.create(volume("v", storage_class="fixed"))
            await w.client.create(claim("c", storage_class="fixed"))
            await phase(w, PersistentVolumeClaim, "c", "Bound")
            more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
            with pytest.raises(ApiError, match="only dynamically provisioned pvc can be resized"):
                await w.client.patch(PersistentVolumeClaim, "c", "x", more)

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", range(4))
def test_over_a_network_that_fails_each_claim_still_gets_one_volume(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=0.15) as w:
            for n in range(6):
                await w.client.create(volume(f"v{n}"))
                await w.client.create(claim(f"c{n}"))

            async def settled() -> bool:
                claims = (await w.client.list(PersistentVolumeClaim, "x")).items
                volumes = (await w.client.list(PersistentVolume)).items
                return all(o.status.phase == "Bound" for o in (*claims, *volumes))

            await w.until(settled, seconds=600)
            claims = (await w.client.list(PersistentVolumeClaim, "x")).items
            volumes = {v.metadata.name: v for v in (await w.client.list(PersistentVolume)).items}
            for found in claims:
                assert volumes[found.spec.volume_name].spec.claim_ref.uid == found.metadata.uid

    virtual_time.run(scenario())


def stateful(name: str, replicas: int, **policy: str) -> StatefulSet:
    template = builders.template(app=name)
    kept = {"when_deleted": "Retain", "when_scaled": "Retain", **policy}
    retention = StatefulSetPersistentVolumeClaimRetentionPolicy(**kept)
    spec = StatefulSetSpec(
        replicas=replicas,
        service_name=name,
        selector=LabelSelector(match_labels={"app": name}),
        template=template,
        volume_claim_templates=(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=claim("any").spec),),
        persistent_volume_claim_retention_policy=retention,
    )
    return StatefulSet(metadata=ObjectMeta(name=name, namespace="x"), spec=spec)


async def claims_there(w: World) -> dict[str, str]:
    """The claims that are not going, each with the kind of its owner."""
    found = (await w.client.list(PersistentVolumeClaim, "x")).items
    return {
        c.metadata.name or "": next((o.kind for o in c.metadata.owner_references), "")
        for c in found
        if c.metadata.deletion_timestamp is None
    }


async def ready(w: World, name: str, replicas: int) -> None:
    async def reached() -> bool:
        status = (await w.client.get(StatefulSet, name, "x")).status
        return (status.ready_replicas or 0) == status.replicas == replicas

    await w.until(reached, seconds=120)


@pytest.mark.parametrize(
    ("policy", "owners", "scaled", "deleted"),
    [
        ({}, "", {"data-s-0", "data-s-1", "data-s-2"}, {"data-s-0", "data-s-1", "data-s-2"}),
        ({"when_scaled": "Delete"}, "", {"data-s-0"}, {"data-s-0"}),
        ({"when_deleted": "Delete"}, "StatefulSet", {"data-s-0", "data-s-1", "data-s-2"}, set()),
        ({"when_deleted": "Delete", "when_scaled": "Delete"}, "StatefulSet", {"data-s-0"}, set()),
    ],
)
def test_claims_of_a_stateful_set_are_kept_as_its_policy_says(
    policy: dict[str, str], owners: str, scaled: set[str], deleted: set[str]
) -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(stateful("s", 3, **policy))
            await ready(w, "s", 3)
            assert set((await claims_there(w)).values()) == {owners}
            await w.client.patch(StatefulSet, "s", "x", {"spec": {"replicas": 1}})
            await ready(w, "s", 1)

            async def left(names: set[str]) -> bool:
                return set(await claims_there(w)) == names

            await w.until(lambda: left(scaled), seconds=120)
            # Scaled up again, new pods do not take claims that are on their way out.
            await w.client.patch(StatefulSet, "s", "x", {"spec": {"replicas": 2}})
            await ready(w, "s", 2)
            await w.client.patch(StatefulSet, "s", "x", {"spec": {"replicas": 1}})
            await ready(w, "s", 1)
            await w.until(lambda: left(scaled), seconds=120)
            await w.client.delete(StatefulSet, "s", "x", propagation_policy="Background")
            await w.until(lambda: left(deleted), seconds=120)

    virtual_time.run(scenario())
