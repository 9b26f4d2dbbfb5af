"""The node's keeper of local-path volumes: makes their directories, and removes them once nobody has them any more.

    volume of this node appears ──► directory made ──► noted on the volume: it is never made a second time
    volume being deleted, no claim holds it ──► policy Delete: renamed, removed ──► finalizer taken off
                                            └─► policy Retain: left ────────────────┘

A deletion in the API cannot be taken back, and ``pv-protection`` is there as long as a claim is bound: what is removed
is nobody's. A directory is renamed before it is emptied: after a crash it is plain what was to go, and what was not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from tiphys.api import local_path
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import PersistentVolume
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.base.workqueue import WorkQueue
from tiphys.client.client import Client
from tiphys.client.events import WARNING
from tiphys.client.informer import Informer, without_managed_fields
from tiphys.kubelet.pods.services import Recorder
from tiphys.kubelet.volumes.mounts import mounts_below

REMOVED: Final = ".removed-"
"""What the names of directories that are to go begin with; no volume's name begins with a dot."""
RETRY_SECONDS_MAX: Final = 60.0
_MODE: Final = 0o777
_logger = get_logger(__name__)


class LocalPathAgent:
    """``await LocalPathAgent(client, node_name, root, recorder).run()``, until cancelled."""

    def __init__(
        self, client: Client, node_name: str, root: Path, recorder: Recorder, *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._root = root
        self._recorder = recorder
        self._clock = clock or SystemClock()
        self._missed: set[str] = set()
        self._queue: WorkQueue[str] = WorkQueue(maximum_seconds=RETRY_SECONDS_MAX)
        self._volumes = Informer(
            client,
            PersistentVolume,
            label_selector=f"{local_path.NODE_LABEL}={node_name}",
            transform=without_managed_fields,
            clock=self._clock,
        )
        self._volumes.add_handler(on_add=self._seen, on_update=lambda _, new: self._seen(new))

    async def run(self) -> None:
        """Look after this node's volumes; what a run before left half removed goes first."""
        await asyncio.to_thread(_prepare, self._root)
        async with Supervisor("local-path") as supervisor:
            supervisor.spawn(self._volumes.run, "local-path/volumes")
            supervisor.spawn(self._work, "local-path/work")
            await supervisor.wait()

    def _seen(self, volume: PersistentVolume) -> None:
        self._queue.add(volume.metadata.name or "")

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                volume = self._volumes.get(name)
                if volume is not None:
                    await self._look(volume)
            except (ApiError, OSError, TimeoutError) as error:
                seconds = self._queue.add_rate_limited(name)
                _logger.info("local volume not ready", volume=name, error=str(error), again_in_seconds=seconds)
            else:
                self._queue.forget(name)
            finally:
                self._queue.done(name)

    async def _look(self, volume: PersistentVolume) -> None:
        if not local_path.is_local_path(volume):
            return
        if volume.metadata.deletion_timestamp is None:
            if self._is_here(volume):
                await self._make(volume)
        elif local_path.is_given_up(volume):
            await self._let_go(volume)

    async def _make(self, volume: PersistentVolume) -> None:
        name = volume.metadata.name or ""
        if local_path.MADE_ANNOTATION not in volume.metadata.annotations:
            await asyncio.to_thread(make, self._root, name)
            body = {"metadata": {"annotations": {local_path.MADE_ANNOTATION: "true"}}}
            await self._client.patch(PersistentVolume, name, "", body)
        elif (self._root / name).is_dir():
            self._missed.discard(name)
        elif name not in self._missed:
            # A disk that is not mounted, most likely. An empty directory in its place would pass for the data.
            self._missed.add(name)
            text = f"{self._root / name} is missing and is not made again: is a disk not mounted?"
            self._recorder.event(volume, WARNING, "VolumeDataMissing", text)
            _logger.warning("directory of a volume is missing", volume=name)

    async def _let_go(self, volume: PersistentVolume) -> None:
        meta, spec = volume.metadata, volume.spec
        if not self._is_here(volume):
            path = spec.local.path if spec.local is not None else ""
            text = f"{path} is not below {self._root}, where this node keeps volumes: it is left as it is"
            self._recorder.event(volume, WARNING, "VolumeFailedDelete", text)
        elif spec.persistent_volume_reclaim_policy == "Delete":
            try:
                await asyncio.to_thread(remove, self._root, meta.name or "", meta.uid or "")
            except OSError as error:
                self._recorder.event(volume, WARNING, "VolumeFailedDelete", f"directory not removed: {error}")
                raise
        try:
            await self._client.update(local_path.let_go(volume))
        except ApiError as error:
            if error.code != 404:
                raise

    def _is_here(self, volume: PersistentVolume) -> bool:
        source, name = volume.spec.local, volume.metadata.name or ""
        return source is not None and Path(source.path) == self._root / name


def make(root: Path, name: str) -> None:
    """The directory of a volume, for any user of a pod to write to: which pods, the claim decides. Raises OSError."""
    folder = root / name
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(_MODE)
    _sync(root)


def remove(root: Path, name: str, uid: str) -> None:
    """The directory and all that is in it. Raises OSError, also while something is mounted in it."""
    folder = root / name
    if folder.exists():
        if mounts_below(folder):
            raise OSError(f"something is mounted in {folder}")
        folder.rename(root / f"{REMOVED}{name}-{uid}")
        _sync(root)
    removed = root / f"{REMOVED}{name}-{uid}"
    if removed.exists():
        shutil.rmtree(removed)


def _prepare(root: Path) -> None:
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    for left in root.glob(f"{REMOVED}*"):
        if not mounts_below(left):
            shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make what changed in the folder itself durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
