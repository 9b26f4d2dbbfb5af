"""Images of a cluster's containerd: loaded from archives, listed, and the ones every cluster starts with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from tiphys.cmd.image_build_recipes import RECIPES, Recipe, build
from tiphys.cri.client import CriRuntime
from tiphys.cri.types import Image

CRI_NAMESPACE = "k8s.io"
IMPORT_TIMEOUT_SECONDS = 600.0


class ImageError(Exception):
    """An archive cannot be loaded; the text is for the user."""


async def load(socket: Path, archive: Path) -> list[str]:
    """Import an OCI or Docker archive for pods to use; returns the names it brought. Raises ImageError."""
    if not archive.is_file():
        raise ImageError(f"{archive}: no such file")
    command = ["ctr", "--address", str(socket), "--namespace", CRI_NAMESPACE, "images", "import", str(archive)]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise ImageError("ctr is not installed (Debian package containerd)") from None
    try:
        async with asyncio.timeout(IMPORT_TIMEOUT_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ImageError(f"{archive}: {errors.decode(errors='replace').strip()}")
    return parse_imported(output.decode())


def parse_imported(output: str) -> list[str]:
    """The names in what ``ctr images import`` prints: ``unpacking NAME (sha256:…)...done``, a line each."""
    return [line.split()[1] for line in output.splitlines() if line.startswith("unpacking ")]


async def list_images(socket: Path) -> list[Image]:
    runtime = CriRuntime(socket)
    try:
        return await runtime.list_images()
    finally:
        await runtime.close()


async def ensure_images(
    socket: Path, folder: Path, *, on_progress: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Build what is not in ``folder`` and import what the runtime lacks; returns the names imported now.

    Needs the network only for archives never built before. ``on_progress`` is told a line per step. Raises ImageError
    or PackageError.
    """
    present = {tag for image in await list_images(socket) for tag in image.repo_tags}
    imported: list[str] = []
    for recipe in RECIPES:
        if not present.issuperset(recipe.references):
            imported += await load(socket, await _built(recipe, folder, on_progress))
            on_progress(f"image {recipe.name} loaded")
    return imported


async def _built(recipe: Recipe, folder: Path, on_progress: Callable[[str], None]) -> Path:
    archive = folder / f"{recipe.name}-{recipe.fingerprint()}.tar"
    if not archive.is_file():
        on_progress(f"building image {recipe.name} from Debian packages")
    return await asyncio.to_thread(build, recipe, folder)
