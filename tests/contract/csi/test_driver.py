"""Calls as the kubelet and the controllers make them, over a real socket, to the tests' driver without real disks."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.csi_driver.disks import FolderDisks
from tests.csi_driver.driver import DriverConfig, TestDriver
from tests.csi_driver.server import DriverServer
from tiphys.csi.client import CsiDriver
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.registration import CSI_PLUGIN, RegistrationSocket
from tiphys.csi.types import Capability, TopologyRequirement
from tiphys.csi.wire import AccessMode, ControllerRpc, NodeRpc, PluginService

WRITER = Capability(AccessMode.SINGLE_NODE_WRITER, fs_type="xfs", mount_flags=("noatime",))
PLACE = {"topology.example.org/zone": "a"}


class World:
    def __init__(self, folder: Path, *, topology: dict[str, str]) -> None:
        self.folder = folder
        self.driver = TestDriver(DriverConfig("d.example.org", "n1", folder, topology=topology), FolderDisks())
        self.server = DriverServer(self.driver, folder / "csi.sock", folder / "reg.sock")
        self.client = CsiDriver(folder / "csi.sock")

    async def create(self, name: str = "pvc-1", size: int = 64 << 20) -> str:
        requirement = TopologyRequirement((PLACE,), (PLACE,))
        made = await self.client.create_volume(
            name, required_bytes=size, capabilities=[WRITER], parameters={"a": "b"}, secrets={}, topology=requirement
        )
        assert made.capacity_bytes == size
        assert made.context == {"made-by": "test"}
        assert made.accessible_topology == (PLACE,)
        return made.volume_id


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        made = World(Path(folder), topology=PLACE)
        await made.server.start()
        yield made
        await made.client.close()
        await made.server.stop()


async def test_a_driver_says_who_it_is_and_what_it_can_do(world: World) -> None:
    assert await world.client.ready()
    info = await world.client.plugin_info()
    assert (info.name, info.version) == ("d.example.org", "1.0.0")
    assert PluginService.VOLUME_ACCESSIBILITY_CONSTRAINTS in info.services
    assert ControllerRpc.PUBLISH_UNPUBLISH_VOLUME in await world.client.controller_capabilities()
    assert NodeRpc.STAGE_UNSTAGE_VOLUME in await world.client.node_capabilities()
    node = await world.client.node_info()
    assert (node.node_id, node.topology, node.maximum_volumes) == ("n1", PLACE, 0)


async def test_a_volume_from_its_making_to_its_end(world: World) -> None:
    volume, client = await world.create(), world.client
    assert await world.create() == volume
    context = await client.controller_publish(volume, "n1", WRITER, read_only=False, secrets={}, volume_context={})
    staging, target = world.folder / "staging", world.folder / "target"
    for _ in range(2):
        await client.node_stage(
            volume, staging, WRITER, publish_context=context, volume_context={"made-by": "test"}, secrets={}
        )
        await client.node_publish(
            volume,
            target,
            WRITER,
            staging_path=staging,
            read_only=False,
            publish_context=context,
            volume_context={},
            secrets={},
        )
    assert (await client.node_volume_stats(volume, target, staging)).total_bytes > 0
    assert await client.controller_expand(volume, 128 << 20, WRITER, {}) == (128 << 20, True)
    assert await client.node_expand(volume, target, 128 << 20, WRITER, staging_path=staging, secrets={}) == 128 << 20
    for _ in range(2):
        await client.node_unpublish(volume, target)
        await client.node_unstage(volume, staging)
        await client.controller_unpublish(volume, "n1", {})
        await client.delete_volume(volume, {})
    assert not target.exists()
    assert list((world.folder / "disks").iterdir()) == []


async def test_refusals_carry_code_and_words(world: World) -> None:
    volume = await world.create()
    await world.client.controller_publish(volume, "n2", WRITER, read_only=False, secrets={}, volume_context={})
    with pytest.raises(CsiError) as caught:
        await world.client.controller_publish(volume, "n1", WRITER, read_only=False, secrets={}, volume_context={})
    assert caught.value.code is CsiCode.FAILED_PRECONDITION
    assert str(caught.value) == "rpc error: code = FailedPrecondition desc = volume is attached to n2"
    assert caught.value.final


async def test_too_large_and_no_room(world: World) -> None:
    volume = await world.create()
    with pytest.raises(CsiError) as caught:
        await world.client.controller_expand(volume, 1 << 40, WRITER, {})
    assert caught.value.code is CsiCode.OUT_OF_RANGE
    with pytest.raises(CsiError) as full:
        await world.create("pvc-2", 1 << 40)
    assert full.value.code is CsiCode.RESOURCE_EXHAUSTED
    available, largest = await world.client.capacity([WRITER], {}, PLACE)
    assert available == world.driver.config.capacity_bytes - (64 << 20)
    assert largest == 0


async def test_a_driver_that_is_away_is_unavailable_and_found_again(world: World) -> None:
    await world.server.stop()
    with pytest.raises(CsiError) as caught:
        await world.client.node_info()
    assert caught.value.code is CsiCode.UNAVAILABLE
    assert not caught.value.final
    await world.server.start()
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await world.client.node_info()).node_id == "n1"
                break
            except CsiError:
                await asyncio.sleep(0.01)


async def test_registration(world: World) -> None:
    async with RegistrationSocket(world.folder / "reg.sock") as socket:
        said = await socket.info()
        assert (said.type, said.name) == (CSI_PLUGIN, "d.example.org")
        assert said.endpoint == str(world.folder / "csi.sock")
        assert said.versions == ("1.0.0",)
        await socket.notify(registered=False, error="no")
    assert world.server.registered == [(False, "no")]
