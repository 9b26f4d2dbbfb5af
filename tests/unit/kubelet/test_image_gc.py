"""Which images go when the disk is full, and what is said when that is not enough."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.cri.types import ContainerConfig, SandboxConfig
from tiphys.kubelet.image_gc import DiskUse, ImageCollector, ImageGcError, ImageGcPolicy, bytes_to_free
from tiphys.testing.clock import FakeClock, settle
from tiphys.testing.fake_cri import FakeRuntime

MIB = 1 << 20


class World:
    """A disk of 100 MiB whose images have a MiB each."""

    def __init__(self, *images: str) -> None:
        self.clock = FakeClock()
        self.runtime = FakeRuntime(images=images, clock=self.clock)
        self.available = 50 * MIB
        self.told: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self.collector = ImageCollector(
            self.runtime,
            self.clock,
            ImageGcPolicy(),
            disk=lambda: DiskUse(100 * MIB, self.available),
            tell=lambda reason, message: self.told.append((reason, message)),
            removed=self.removed.append,
            protected=("docker.io/library/pause:latest",),
        )

    async def use(self, image: str) -> str:
        sandbox = SandboxConfig(image, "ns", image)
        id = await self.runtime.run_sandbox(sandbox)
        return await self.runtime.create_container(id, ContainerConfig(image, image), sandbox)

    async def names(self) -> set[str]:
        listed = await self.runtime.list_images()
        return {tag.rsplit("/", 1)[1].split(":")[0] for image in listed for tag in image.repo_tags}


def test_nothing_goes_below_the_high_threshold() -> None:
    policy = ImageGcPolicy()
    assert bytes_to_free(DiskUse(100 * MIB, 16 * MIB), policy) == 0
    assert bytes_to_free(DiskUse(100 * MIB, 15 * MIB), policy) == 5 * MIB
    assert bytes_to_free(DiskUse(100 * MIB, 0), ImageGcPolicy(high_percent=100)) == 0


def test_a_disk_without_capacity_is_told_of() -> None:
    with pytest.raises(ImageGcError) as caught:
        bytes_to_free(DiskUse(0, 0), ImageGcPolicy())
    assert caught.value.reason == "InvalidDiskCapacity"


async def test_unused_images_go_the_longest_unused_first() -> None:
    world = World("old", "newer", "used", "pause")
    container = await world.use("newer")
    await world.use("used")
    await world.collector.collect()
    await world.runtime.remove_container(container)
    await world.clock.advance(200)
    world.available = 15 * MIB
    with pytest.raises(ImageGcError) as caught:
        await world.collector.collect()
    assert caught.value.reason == "FreeDiskSpaceFailed"
    assert str(caught.value) == (
        "Failed to garbage collect required amount of images. Attempted to free 5242880 bytes, "
        "but only found 2097152 bytes eligible to free."
    )
    assert await world.names() == {"used", "pause"}
    assert len(world.removed) == 2


async def test_only_as_much_as_is_needed_goes() -> None:
    world = World("a", "b", "c")
    await world.use("b")
    await world.collector.collect()
    for container in await world.runtime.list_containers():
        await world.runtime.remove_container(container.id)
    await world.clock.advance(200)
    world.available = 15 * MIB
    world.collector._policy = ImageGcPolicy(high_percent=85, low_percent=84)
    await world.collector.collect()
    # The one that was in use since the others were is the last to go.
    assert len(await world.names()) == 2
    assert "b" in await world.names()


async def test_young_images_stay() -> None:
    world = World("fresh")
    world.available = 0
    with pytest.raises(ImageGcError):
        await world.collector.collect()
    assert await world.names() == {"fresh"}
    assert await world.collector.remove_unused() == 0
    await world.clock.advance(121)
    assert await world.collector.remove_unused() == MIB


async def test_failures_are_told_and_tried_again() -> None:

    world = World("a")
    world.available = 0
    running = asyncio.create_task(world.collector.run())
    await settle()
    assert [reason for reason, _ in world.told] == ["FreeDiskSpaceFailed"]
    await world.clock.advance(301)
    assert await world.names() == set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
