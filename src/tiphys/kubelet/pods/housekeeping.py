"""Keeps the node's memory and disk from running out: unused images go first, then pods, one at a time."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriError
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.image_gc import DiskUse, ImageCollector
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.node.facts import memory_info
from tiphys.kubelet.node.reporter import NodeReporter
from tiphys.kubelet.pods import local_storage
from tiphys.kubelet.pods.eviction import REASON
from tiphys.kubelet.pods.local_storage import LocalUse
from tiphys.kubelet.pods.manager import PodManager
from tiphys.kubelet.pods.worker import PodWorker
from tiphys.kubelet.spec.names import CONTAINER_NAME, POD_UID, log_folder
from tiphys.kubelet.stats.host_usage import tree_size

CHECK_SECONDS: Final = 10.0
_logger = get_logger(__name__)


def disk_of(folder: Path) -> DiskUse:
    """How full the disk is that a folder is on. Raises OSError."""
    found = shutil.disk_usage(folder)
    return DiskUse(found.total, found.free)


class Housekeeping:
    """`run` until cancelled. Pods without limits cost nothing while there is room."""

    def __init__(
        self, pods: PodManager, reporter: NodeReporter, images: ImageCollector, config: KubeletConfig, clock: Clock
    ) -> None:
        self._pods = pods
        self._reporter = reporter
        self._images = images
        self._config = config
        self._clock = clock

    async def run(self) -> None:
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            try:
                await self._relieve_memory()
                await self.enforce_limits()
                await self.relieve_disk(disk_of(self._config.data_dir))
            except (CriError, OSError) as error:
                _logger.info("the node could not be looked after", error=str(error))

    async def _relieve_memory(self) -> None:
        threshold = self._config.eviction_memory_bytes
        available = memory_info().get("MemAvailable", threshold)
        if available < threshold:
            self._reporter.look_again()
            await self._pods.relieve_memory(available, threshold)

    async def enforce_limits(self) -> None:
        """Evict pods that took more of the disk than they said. Raises CriError."""
        limited = [w for w in self._pods.all() if not w.ended and local_storage.has_limits(w.pod)]
        for worker, use in await self._measure(limited):
            message = local_storage.excess(worker.pod, use)
            if message:
                _evict(worker, message)

    async def relieve_disk(self, disk: DiskUse) -> None:
        """While the disk is short of room: remove unused images, and if there are none, the pod that should go first.

        Raises CriError.
        """
        threshold = int(disk.capacity_bytes * self._config.eviction_disk_share)
        if disk.available_bytes >= threshold:
            return
        self._reporter.look_again()
        if await self._images.remove_unused():
            return
        measured = {w.uid: (w, use) for w, use in await self._measure([w for w in self._pods.all() if not w.ended])}
        choice = local_storage.choose((w.pod, use) for w, use in measured.values())
        if choice is not None:
            message = local_storage.shortage_message(
                *choice, available_bytes=disk.available_bytes, threshold_bytes=threshold
            )
            _evict(measured[choice[0].metadata.uid or ""][0], message)

    async def _measure(self, workers: list[PodWorker]) -> list[tuple[PodWorker, LocalUse]]:
        if not workers:
            return []
        layers: dict[str, dict[str, int]] = {}
        for stats in await self._pods.node.runtime.list_container_stats():
            uid, name = stats.labels.get(POD_UID, ""), stats.labels.get(CONTAINER_NAME, stats.name)
            layers.setdefault(uid, {})[name] = stats.writable_layer_bytes or 0
        volumes = self._pods.node.volumes
        found = []
        for worker in workers:
            mounted = volumes.mounted(worker.uid)
            paths = {name: mounted[name].path for name in local_storage.disk_volumes(worker.pod) if name in mounted}
            logs = self._config.logs_dir / log_folder(worker.pod)
            use = await asyncio.to_thread(_measured, worker.pod, paths, logs, layers.get(worker.uid, {}))
            found.append((worker, use))
        return found


def _measured(pod: Pod, volumes: dict[str, Path], logs: Path, layers: dict[str, int]) -> LocalUse:
    """Walks the folders: not for the event loop."""
    names = [c.name for c in (*pod.spec.init_containers, *pod.spec.containers)]
    return LocalUse(
        {name: tree_size(path)[0] for name, path in volumes.items()},
        {name: layers.get(name, 0) + tree_size(logs / name)[0] for name in names},
    )


def _evict(worker: PodWorker, message: str) -> None:
    worker.say("Warning", REASON, message)
    worker.handle(events.Evicted(REASON, message, 0))
