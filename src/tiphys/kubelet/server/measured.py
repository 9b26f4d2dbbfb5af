"""Use of the node's pods, for whoever asks the node server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

from tiphys.base.clock import Clock
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.pods.manager import PodManager
from tiphys.kubelet.spec.names import log_folder
from tiphys.kubelet.stats.exposition import cadvisor_metrics, resource_metrics
from tiphys.kubelet.stats.measuring import Measurer, PodFacts
from tiphys.kubelet.stats.summary import Files, summary
from tiphys.kubelet.volumes.csi.mounter import CsiVolumes


async def _ask_drivers(csi: CsiVolumes, pod: dict[str, Any]) -> None:
    """How full a driver's volume is, the driver knows best."""
    told = await csi.usage(pod["podRef"]["uid"])
    for volume in pod.get("volume", ()):
        usage = told.get(volume["name"])
        if usage is not None and usage.total_bytes:
            volume |= {
                "availableBytes": usage.available_bytes,
                "capacityBytes": usage.total_bytes,
                "usedBytes": usage.used_bytes,
            }
        if usage is not None and usage.total_inodes:
            volume |= {
                "inodesFree": usage.available_inodes,
                "inodes": usage.total_inodes,
                "inodesUsed": usage.used_inodes,
            }


class Measured:
    """Everything is measured when asked for. All of it raises CriError when the runtime does not answer."""

    def __init__(self, pods: PodManager, config: KubeletConfig, clock: Clock) -> None:
        self._pods = pods
        self._config = config
        node = pods.node
        self._measurer = Measurer(node.runtime, config, node.cgroups, clock, self._facts)
        self._files = Files(clock)

    async def summary(self) -> dict[str, Any]:
        """/stats/summary."""
        runtime = self._pods.node.runtime
        document = await summary(await self._measurer.snapshot(), runtime, self._config, self._files)
        csi = self._pods.node.volumes.persistent.csi
        if csi is not None:
            await asyncio.gather(*(_ask_drivers(csi, pod) for pod in document["pods"]))
        return document

    async def resource_metrics(self) -> bytes:
        """/metrics/resource."""
        return resource_metrics(await self._measurer.snapshot())

    async def cadvisor_metrics(self) -> bytes:
        """/metrics/cadvisor."""
        memory = self._pods.node.memory_capacity_bytes
        return cadvisor_metrics(await self._measurer.snapshot(), os.cpu_count() or 1, memory)

    def _facts(self) -> Iterator[PodFacts]:
        for worker in self._pods.all():
            status = worker.status()
            started = {
                one.name: one.state.running.started_at
                for one in (*status.init_container_statuses, *status.container_statuses)
                if one.state is not None and one.state.running is not None and one.state.running.started_at
            }
            mounted = self._pods.node.volumes.mounted(worker.uid)
            host = {volume.name for volume in worker.pod.spec.volumes if volume.host_path is not None}
            yield PodFacts(
                worker.pod,
                worker.uid,
                started,
                # What a pod shows of the host is not the pod's, and may be everything.
                {name: volume.path for name, volume in mounted.items() if not volume.device and name not in host},
                self._config.logs_dir / log_folder(worker.pod),
            )
