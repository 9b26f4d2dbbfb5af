"""Volumes attached and detached by the controller, against the real apiserver in virtual time; the driver is played."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from tests.simulation.controllers.storage_objects import claim
from tests.simulation.controllers.world import World, world
from tiphys.api import codec
from tiphys.api.types.core_v1 import Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, Taint
from tiphys.api.types.storage_v1 import CSIDriver, VolumeAttachment
from tiphys.testing import virtual_time

UNIQUE = "kubernetes.io/csi/d.example.org^h-1"
FINALIZER = "external-attacher/d-example-org"


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        virtual_time.run(scenario())

    test.__name__ = scenario.__name__
    return test


class Storage:
    """A bound claim ``data`` of a CSI volume; `attach` and `detach` are what the driver's attacher would do."""

    def __init__(self, made: World) -> None:
        self.world = made
        self.client = made.client

    async def begin(self, *modes: str, attach_required: bool = True) -> None:
        for name in ("node-1", "node-2", "node-3"):
            annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
            await self.client.patch(Node, name, "", {"metadata": {"annotations": annotations}})
        driver = {"metadata": {"name": "d.example.org"}, "spec": {"attachRequired": attach_required}}
        await self.client.create(codec.from_dict(CSIDriver, driver))
        access = modes or ("ReadWriteOnce",)
        spec = {
            "capacity": {"storage": "1Gi"}, "accessModes": access,
            "csi": {"driver": "d.example.org", "volumeHandle": "h-1"},
            "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "x", "name": "data"},
        }  # fmt: skip
        await self.client.create(codec.from_dict(PersistentVolume, {"metadata": {"name": "pv-1"}, "spec": spec}))
        await self.client.create(claim("data", volume_name="pv-1", access_modes=access))
        await self.world.until(self._bound)

    async def _bound(self) -> bool:
        found = await self.client.get(PersistentVolumeClaim, "data", "x")
        volume = await self.client.get(PersistentVolume, "pv-1")
        reference = volume.spec.claim_ref
        return found.status.phase == "Bound" and reference is not None and reference.uid == found.metadata.uid

    async def pod(self, name: str, node: str) -> None:
        spec = {
            "nodeName": node,
            "containers": [{"name": "c", "image": "i"}],
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        }
        await self.client.create(codec.from_dict(Pod, {"metadata": {"name": name, "namespace": "x"}, "spec": spec}))

    async def attachments(self) -> list[VolumeAttachment]:
        return sorted((await self.client.list(VolumeAttachment)).items, key=lambda a: a.spec.node_name)

    async def attached_to(self, *nodes: str) -> bool:
        return [a.spec.node_name for a in await self.attachments()] == list(nodes)

    async def attach(self) -> None:
        """Do what is asked for, as a driver's attacher does."""
        for attachment in await self.attachments():
            name = attachment.metadata.name or ""
            kept = replace(attachment, metadata=replace(attachment.metadata, finalizers=(FINALIZER,)))
            await self.client.update(kept)
            await self.client.patch(VolumeAttachment, name, "", {"status": {"attached": True}}, subresource="status")

    async def detach(self) -> None:
        for attachment in await self.attachments():
            if attachment.metadata.deletion_timestamp is not None:
                gone = replace(attachment, metadata=replace(attachment.metadata, finalizers=()))
                await self.client.update(gone)

    async def reported(self, node: str) -> bool:
        found = await self.client.get(Node, node)
        return [a.name for a in found.status.volumes_attached] == [UNIQUE]

    async def use(self, node: str, *names: str, **more: Any) -> None:
        """What the node's kubelet reports."""
        change = {"status": {"volumesInUse": list(names) or None, **more}}
        await self.client.patch(Node, node, "", change, subresource="status")

    async def running(self) -> None:
        """A pod on node-1 has the volume."""
        await self.begin()
        await self.pod("p", "node-1")
        await self.world.until(lambda: self.attached_to("node-1"))
        await self.attach()
        await self.world.until(lambda: self.reported("node-1"))
        await self.use("node-1", UNIQUE)

    async def deleting(self) -> bool:
        return [a.metadata.deletion_timestamp is not None for a in await self.attachments()] == [True]

    async def words(self, reason: str) -> set[str]:
        return {e.message or "" for e in (await self.client.list(Event, "x")).items if e.reason == reason}


@in_virtual_time
async def test_a_volume_follows_its_pod_up_and_down() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        (attachment,) = await storage.attachments()
        assert attachment.spec.attacher == "d.example.org"
        assert attachment.spec.source.persistent_volume_name == "pv-1"
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        await made.until(lambda: made.is_gone(Pod, "p"))

        async def reported_no_more() -> bool:
            return not await storage.reported("node-1")

        await made.until(reported_no_more)
        assert not await storage.deleting(), "the node has it still in use"
        await storage.use("node-1")
        await made.until(storage.deleting)
        await storage.detach()
        await made.until(lambda: storage.attached_to())


@in_virtual_time
async def test_a_volume_in_use_stays_for_six_minutes_on_a_node_that_is_not_ready() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
        await storage.use("node-1", UNIQUE, conditions=[condition])
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        took = await made.until(storage.deleting)
        assert 359 < took < 400


@in_virtual_time
async def test_but_at_once_if_the_node_is_out_of_service() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        node = await made.client.get(Node, "node-1")
        taint = Taint(key="node.kubernetes.io/out-of-service", value="nodeshutdown", effect="NoExecute")
        await made.client.update(replace(node, spec=replace(node.spec, taints=(taint,))))
        assert await made.until(storage.deleting) < 5


@in_virtual_time
async def test_or_gone() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        await made.client.delete(Node, "node-1")
        assert await made.until(storage.deleting) < 5


@in_virtual_time
async def test_two_nodes_take_turns() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        await storage.pod("q", "node-2")
        expected = {'Multi-Attach error for volume "pv-1" Volume is already used by pod(s) p'}

        async def told() -> bool:
            return await storage.words("FailedAttachVolume") == expected

        await made.until(told)
        assert await storage.attached_to("node-1")
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        await storage.use("node-1")
        await made.until(storage.deleting)
        assert await storage.attached_to("node-1"), "not before the driver has let go"
        await storage.detach()
        await made.until(lambda: storage.attached_to("node-2"))


@in_virtual_time
async def test_shared_volumes_are_attached_to_many() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.begin("ReadWriteMany")
        await storage.pod("p", "node-1")
        await storage.pod("q", "node-2")
        await made.until(lambda: storage.attached_to("node-1", "node-2"))


@in_virtual_time
async def test_drivers_that_attach_nothing_are_left_alone() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.begin(attach_required=False)
        await storage.pod("p", "node-1")
        await made.until(lambda: made.is_gone(Pod, "never"))
        assert await storage.attached_to()


@in_virtual_time
async def test_another_manager_goes_on_where_one_stopped() -> None:
    async with world() as made:
        storage = Storage(made)
        await storage.running()
        await made.kill(made.managers[0])
        await made.client.delete(Pod, "p", "x", grace_period_seconds=0)
        await storage.use("node-1")
        made.start_manager()
        await made.until(storage.deleting)
        assert not await storage.reported("node-1")
