"""What a pod's worker needs of its node, gathered in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from tiphys.api.types.core_v1 import ConfigMap, Pod, Secret, Service
from tiphys.base.clock import Clock
from tiphys.client.client import Client
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import DnsConfig
from tiphys.kubelet.cgroups import Cgroups
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.images import ImageManager
from tiphys.kubelet.lifecycle.state import AnyContainer
from tiphys.kubelet.pods.status_manager import StatusManager
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.volumes.manager import VolumeManager


class Recorder(Protocol):
    """Where events about pods go; `tiphys.client.events.EventRecorder` is one."""

    def event(self, obj: object, type: str, reason: str, message: str, *, field_path: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class NodeServices:
    """Shared by all workers of a node. Calls that may block are bounded by the slots."""

    config: KubeletConfig
    client: Client
    runtime: Runtime
    clock: Clock
    volumes: VolumeManager
    images: ImageManager
    cgroups: Cgroups | None
    statuses: StatusManager
    recorder: Recorder
    start_slots: asyncio.Semaphore
    removal_slots: asyncio.Semaphore
    services: Callable[[], Iterable[Service]]
    """Every Service, for environments."""
    node_dns: Callable[[], DnsConfig]
    node_facts: Callable[[Pod, tuple[str, ...]], NodeFacts]
    """(pod, its addresses) to what the pod may learn."""
    memory_capacity_bytes: int
    network: asyncio.Event
    """Set while the runtime can give pods a network."""
    acted: Callable[[], None]
    """Something was started: the PLEG may want to look."""

    async def get_object(self, pod: Pod, kind: str, name: str) -> ConfigMap | Secret | None:
        """An object of the pod's namespace. Raises ApiError."""
        return await self.volumes.get_object(pod, kind, name)

    def field_path(self, pod: Pod, container: AnyContainer) -> str:
        """How events name a container of the pod."""
        for group, containers in (
            ("containers", pod.spec.containers),
            ("initContainers", pod.spec.init_containers),
            ("ephemeralContainers", pod.spec.ephemeral_containers),
        ):
            if any(c.name == container.name for c in containers):
                return f"spec.{group}{{{container.name}}}"
        return ""
