"""Unused images are removed when the disk they are on fills up, those used longest ago first.

    used share of the disk:  0 % ─────────── low ═══════════ high ───────── 100 %
                                              ▲   nothing      │ remove unused images, down to low
                                              └────────────────┘

Source: Kubernetes documentation, "Garbage Collection": image lifecycle, thresholds and the minimum age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Final

from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriError
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import Image

PERIOD_SECONDS: Final = 300.0
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImageGcPolicy:
    """Percentages of the disk in use; 100 for `high_percent` removes nothing."""

    high_percent: int = 85
    low_percent: int = 80
    minimum_age_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class DiskUse:
    capacity_bytes: int
    available_bytes: int


@dataclass(slots=True)
class Sighting:
    """When an image was first seen here, and when it was last in use (0.0: never)."""

    first: float
    used: float = 0.0


class ImageGcError(Exception):
    """Not enough could be freed; `reason` is that of the event."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def bytes_to_free(disk: DiskUse, policy: ImageGcPolicy) -> int:
    """How much must go; 0 below the high threshold. Raises ImageGcError for a disk without capacity."""
    if disk.capacity_bytes <= 0:
        raise ImageGcError("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
    used_percent = 100 - disk.available_bytes * 100 // disk.capacity_bytes
    if policy.high_percent >= 100 or used_percent < policy.high_percent:
        return 0
    return disk.capacity_bytes * (100 - policy.low_percent) // 100 - disk.available_bytes


def eligible(
    images: Iterable[Image], sightings: dict[str, Sighting], in_use: Set[str], now: float, policy: ImageGcPolicy
) -> list[Image]:
    """Images that may go, the one used longest ago first: none in use, pinned, or younger than the minimum age."""
    free = [
        image
        for image in images
        if image.id not in in_use
        and not image.pinned
        and now - sightings[image.id].first >= policy.minimum_age_seconds
        and sightings[image.id].used < now
    ]
    return sorted(free, key=lambda i: (sightings[i.id].used, sightings[i.id].first, i.id))


class ImageCollector:
    """`run` looks every few minutes; `collect` at once. `disk` says how full the images' disk is.

    `tell(reason, message)` records a warning about the node.
    """

    def __init__(
        self,
        runtime: Runtime,
        clock: Clock,
        policy: ImageGcPolicy,
        *,
        disk: Callable[[], DiskUse],
        tell: Callable[[str, str], None],
        removed: Callable[[str], None] = lambda _: None,
        protected: Iterable[str] = (),
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._policy = policy
        self._disk = disk
        self._tell = tell
        self._removed = removed
        self._protected = tuple(protected)
        self._sightings: dict[str, Sighting] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.collect()
            except ImageGcError as error:
                self._tell(error.reason, str(error))
            except (CriError, OSError) as error:
                self._tell("ImageGCFailed", str(error))
            await self._clock.sleep(PERIOD_SECONDS)

    async def collect(self) -> int:
        """Note what is used, and free what must be; how many bytes went. Raises ImageGcError, CriError and OSError."""
        images, in_use = await self._look()
        wanted = bytes_to_free(self._disk(), self._policy)
        if wanted <= 0:
            return 0
        freed = await self._remove(images, in_use, wanted)
        if freed < wanted:
            raise ImageGcError(
                "FreeDiskSpaceFailed",
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free.",
            )
        return freed

    async def remove_unused(self) -> int:
        """Remove all that may go, whatever the disk: it is short of room. Raises CriError."""
        images, in_use = await self._look()
        return await self._remove(images, in_use, 1 << 62)

    async def _look(self) -> tuple[list[Image], frozenset[str]]:
        now = self._clock.now()
        images = await self._runtime.list_images()
        by_name = {name: image.id for image in images for name in (image.id, *image.repo_tags, *image.repo_digests)}
        # Containers that ended count: their pods may start them again.
        containers = await self._runtime.list_containers()
        named = (name for c in containers for name in (c.image, c.image_ref) if name)
        in_use = {by_name.get(name, name) for name in (*self._protected, *named)}
        for image in images:
            seen = self._sightings.setdefault(image.id, Sighting(now))
            if image.id in in_use:
                seen.used = now
        present = {image.id for image in images}
        self._sightings = {id: seen for id, seen in self._sightings.items() if id in present}
        return images, frozenset(in_use)

    async def _remove(self, images: list[Image], in_use: frozenset[str], wanted_bytes: int) -> int:
        freed = 0
        for image in eligible(images, self._sightings, in_use, self._clock.now(), self._policy):
            if freed >= wanted_bytes:
                break
            _logger.info("removing an unused image", image=(image.repo_tags or (image.id,))[0], bytes=image.size_bytes)
            await self._runtime.remove_image(image.id)
            self._sightings.pop(image.id, None)
            self._removed(image.id)
            freed += image.size_bytes
        return freed
