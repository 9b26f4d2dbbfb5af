"""The image half of the fake runtime: images present, images that can be pulled, failures on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tiphys.base.clock import Clock, SystemClock
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import AuthConfig, FilesystemUsage, Image, SandboxConfig


class FakeImages:
    """Images in memory. ``pullable`` are the full references a registry would have."""

    def __init__(self, images: Sequence[str], clock: Clock | None) -> None:
        self.calls: list[str] = []
        self.pullable: set[str] = set()
        self._clock = clock or SystemClock()
        self._failures: dict[str, list[CriError]] = {}
        self._images: dict[str, Image] = {}
        for name in images:
            self.add_image(name)

    def add_image(self, name: str, *, uid: int | None = None, username: str = "") -> Image:
        """Make an image present under its full name."""
        reference = _full(name)
        image = Image(
            id=f"sha256:{hashlib.sha256(reference.encode()).hexdigest()}",
            repo_tags=(reference,),
            size_bytes=1 << 20,
            uid=uid,
            username=username,
        )
        self._images[reference] = image
        return image

    def fail(self, call: str, error: CriError, times: int = 1) -> None:
        """The next ``times`` calls of that method raise the error."""
        self._failures.setdefault(call, []).extend([error] * times)

    def has_failed(self, call: str) -> bool:
        """Whether all failures of that method have been met."""
        return not self._failures.get(call)

    def _now(self) -> int:
        return int(self._clock.now() * 1_000_000_000)

    def _enter(self, call: str) -> None:
        self.calls.append(call)
        if self._failures.get(call):
            raise self._failures[call].pop(0)

    def _find_image(self, name: str) -> Image | None:
        return self._images.get(_full(name)) or next((i for i in self._images.values() if i.id == name), None)

    async def list_images(self) -> list[Image]:
        self._enter("list_images")
        return list(self._images.values())

    async def image_status(self, image: str) -> Image | None:
        self._enter("image_status")
        return self._find_image(image)

    async def pull_image(
        self, image: str, *, auth: AuthConfig | None = None, sandbox: SandboxConfig | None = None
    ) -> str:
        self._enter("pull_image")
        if _full(image) not in self.pullable | set(self._images):
            raise CriError(
                CriCode.NOT_FOUND,
                f'failed to pull and unpack image "{_full(image)}": failed to resolve reference '
                f'"{_full(image)}": {_full(image)}: not found',
            )
        return self.add_image(image).id

    async def remove_image(self, image: str) -> None:
        self._enter("remove_image")
        found = self._find_image(image)
        if found is not None:
            self._images = {k: i for k, i in self._images.items() if i.id != found.id}

    async def image_filesystems(self) -> list[FilesystemUsage]:
        self._enter("image_filesystems")
        used_bytes = sum(image.size_bytes for image in self._images.values())
        return [FilesystemUsage("/var/lib/fake", used_bytes, len(self._images), self._now())]


def _full(name: str) -> str:
    """The full reference of a name, as runtimes keep it."""
    domain, slash, rest = name.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost"):
        name = f"docker.io/{name}" if slash and rest else f"docker.io/library/{name}"
    return name if "@" in name or ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
