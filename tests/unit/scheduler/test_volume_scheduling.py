"""Pods with claims: the scheduler and the volume controllers against a real apiserver in this process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from msgspec.structs import replace

from tests.simulation.controllers.storage_objects import claim as made_claim
from tests.simulation.controllers.storage_objects import storage_class, volume
from tests.unit.scheduler.test_scheduler import FAST, add_node, add_pod, node_of, said, scheduling, until
from tiphys.api import local_path
from tiphys.api import persistent_volumes as facts
from tiphys.api.types.core_v1 import (
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    Volume,
    VolumeNodeAffinity,
)
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.plugin_args import VolumeBindingArgs
from tiphys.scheduler.profiles import default_profile
from tiphys.testing.control_plane import ControlPlane

CONTROLLERS = ("persistentvolume-binder-controller", "local-path-provisioner-controller")
IMPATIENT = dataclasses.replace(
    FAST, profiles=(partial(default_profile, args={"VolumeBinding": VolumeBindingArgs(bind_timeout_seconds=0)}),)
)
SCHEDULER = "system:kube-scheduler"


@asynccontextmanager
async def controllers(plane: ControlPlane) -> AsyncIterator[None]:
    config = ControllerManagerConfig(controllers=CONTROLLERS)
    running = asyncio.ensure_future(ControllerManager(plane.client, config).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def using(*claims: str) -> tuple[Volume, ...]:
    return tuple(
        Volume(name=name, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=name)) for name in claims
    )


async def add_claim(plane: ControlPlane, name: str, **fields: Any) -> None:
    made = made_claim(name, **fields)
    await plane.client.create(replace(made, metadata=replace(made.metadata, namespace="default")))


async def add_volume(plane: ControlPlane, name: str, *nodes: str, **fields: Any) -> None:
    here = NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=nodes)
    affinity = VolumeNodeAffinity(
        required=NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(here,)),))
    )
    await plane.client.create(volume(name, node_affinity=affinity if nodes else None, **fields))


async def volume_of(plane: ControlPlane, name: str) -> str:
    found = await plane.client.get(PersistentVolumeClaim, name, "default")
    return (found.spec.volume_name or "") if found.status.phase == "Bound" else ""


async def placed(plane: ControlPlane, name: str) -> str:
    return str(await until(lambda: node_of(plane, name)))


async def test_a_pod_goes_where_a_volume_is_free(plane: ControlPlane) -> None:
    for name in ("n1", "n2", "n3"):
        await add_node(plane, name)
    await plane.client.create(storage_class("static", facts.NO_PROVISIONER, delayed=True))
    async with controllers(plane), scheduling(plane.client_as(SCHEDULER)):
        await add_volume(plane, "v2", "n2", storage_class="static")
        await add_claim(plane, "c", storage_class="static")
        await add_pod(plane, "p", volumes=using("c"))
        assert await placed(plane, "p") == "n2"
        assert await volume_of(plane, "c") == "v2"
        # The second claim has to wait for another volume.
        await add_claim(plane, "d", storage_class="static")
        await add_pod(plane, "q", volumes=using("d"))
        (event, *_) = await until(lambda: said(plane, "q", "FailedScheduling"))
        assert "3 node(s) didn't find available persistent volumes to bind" in event.message
        await add_volume(plane, "v3", "n3", storage_class="static")
        assert await placed(plane, "q") == "n3"


async def test_pods_that_compete_for_volumes_share_none(plane: ControlPlane) -> None:
    for name in ("n1", "n2", "n3"):
        await add_node(plane, name)
    await plane.client.create(storage_class("static", facts.NO_PROVISIONER, delayed=True))
    async with controllers(plane):
        for number in range(12):
            await add_volume(plane, f"v{number}", f"n{number % 3 + 1}", storage_class="static")
            await add_claim(plane, f"c{number}", storage_class="static")
            await add_pod(plane, f"p{number}", volumes=using(f"c{number}"))
        async with scheduling(plane.client_as(SCHEDULER)) as scheduler:
            names = [await placed(plane, f"p{number}") for number in range(12)]
            volumes = [await volume_of(plane, f"c{number}") for number in range(12)]
            assert len(set(volumes)) == 12
            assert [f"n{int(v[1:]) % 3 + 1}" for v in volumes] == names
            assert not scheduler.cluster.volumes.reservations


async def test_a_directory_is_made_where_the_pod_goes(plane: ControlPlane) -> None:
    for name in ("n1", "n2"):
        await add_node(plane, name, cpu="1" if name == "n1" else "8")
        body = {"metadata": {"annotations": {local_path.ROOT_ANNOTATION: "/data"}}}
        await plane.client.patch(Node, name, "", body)
    await plane.client.create(storage_class("local-path", local_path.PROVISIONER, delayed=True))
    async with controllers(plane), scheduling(plane.client_as(SCHEDULER)):
        await add_claim(plane, "c", storage_class="local-path")
        await add_pod(plane, "p", cpu="2", volumes=using("c"))
        assert await placed(plane, "p") == "n2"
        found = await plane.client.get(PersistentVolume, await volume_of(plane, "c"))
        assert found.metadata.labels == {local_path.NODE_LABEL: "n2"}
        # Its successor has no choice, however good the other node is.
        await plane.client.delete(Pod, "p", "default", grace_period_seconds=0)
        await plane.client.patch(Node, "n2", "", {"spec": {"unschedulable": True}})
        await add_pod(plane, "p", volumes=using("c"))
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert "1 node(s) had volume node affinity conflict" in event.message
        assert "1 node(s) were unschedulable" in event.message
        await plane.client.patch(Node, "n2", "", {"spec": {"unschedulable": None}})
        assert await placed(plane, "p") == "n2"


async def test_a_pod_that_is_deleted_while_it_waits_gives_up_its_volume(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    await plane.client.create(storage_class("slow", "example.org/never", delayed=True))
    async with controllers(plane), scheduling(plane.client_as(SCHEDULER)) as scheduler:
        await add_claim(plane, "c", storage_class="slow")
        await add_pod(plane, "p", volumes=using("c"))

        async def selected() -> bool:
            found = await plane.client.get(PersistentVolumeClaim, "c", "default")
            return found.metadata.annotations.get(facts.SELECTED_NODE) == "n1"

        await until(selected)
        assert scheduler.cluster.volumes.reservations
        await plane.client.delete(Pod, "p", "default", grace_period_seconds=0)

        async def free() -> bool:
            return not scheduler.cluster.volumes.reservations and _is_empty(scheduler.cache)

        await until(free)


def _is_empty(cache: PodCache) -> bool:
    return len(cache) == 0


async def test_a_provisioner_that_refuses_has_the_pod_scheduled_anew(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    await plane.client.create(storage_class("picky", "example.org/picky", delayed=True))
    async with controllers(plane), scheduling(plane.client_as(SCHEDULER)):
        await add_claim(plane, "c", storage_class="picky")
        await add_pod(plane, "p", volumes=using("c"))

        async def selected() -> bool:
            found = await plane.client.get(PersistentVolumeClaim, "c", "default")
            return facts.SELECTED_NODE in found.metadata.annotations

        await until(selected)
        body = {"metadata": {"annotations": {facts.SELECTED_NODE: None}}}
        await plane.client.patch(PersistentVolumeClaim, "c", "default", body)
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert 'binding volumes: provisioning failed for PVC "default/c"' in event.message
        # It is tried again, and this time somebody makes a volume.
        await until(selected)
        found = await plane.client.get(PersistentVolumeClaim, "c", "default")
        kept = volume("made", storage_class="picky")
        reference = {"kind": "PersistentVolumeClaim", "name": "c", "namespace": "default", "uid": found.metadata.uid}
        made = await plane.client.create(kept)
        await plane.client.patch(PersistentVolume, made.metadata.name or "", "", {"spec": {"claimRef": reference}})
        assert await placed(plane, "p") == "n1"


async def test_a_pod_does_not_wait_for_ever(plane: ControlPlane) -> None:
    await add_node(plane, "n1")
    await plane.client.create(storage_class("slow", "example.org/never", delayed=True))
    async with controllers(plane), scheduling(plane.client_as(SCHEDULER), IMPATIENT):
        await add_claim(plane, "c", storage_class="slow")
        await add_pod(plane, "p", volumes=using("c"))
        (event, *_) = await until(lambda: said(plane, "p", "FailedScheduling"))
        assert 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded' in event.message
