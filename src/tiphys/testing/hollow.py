"""Hollow nodes with a real kubelet on a fake runtime: statuses, leases and pod lifecycles are the product's own.

Hundreds fit in a process, because they share one informer of pods and one of Services. For thousands, where nothing of
a kubelet but its answers matters, use `tiphys.kubelet.hollow.HollowNodes` (given here too).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from tiphys.api.types.core_v1 import Pod, Service
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.events import EventRecorder
from tiphys.client.informer import Informer
from tiphys.cri.types import AuthConfig, Image, SandboxConfig
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.hollow import HollowNodes, HollowShape
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.node.facts import HostFacts
from tiphys.testing.fake_cri import FakeRuntime

__all__ = ["HollowCluster", "HollowNode", "HollowNodes", "HollowRuntime", "HollowShape"]


class _Share:
    """One node's part of an informer of all pods. `run` returns at once: whoever owns the informer runs it."""

    def __init__(self, informer: Informer[Pod]) -> None:
        self._informer = informer
        self.on_add: list[Callable[[Pod], None]] = []
        self.on_update: list[Callable[[Pod, Pod], None]] = []
        self.on_delete: list[Callable[[Pod], None]] = []
        self.known: dict[str, Pod] = {}

    def add_handler(
        self,
        *,
        on_add: Callable[[Pod], None] | None = None,
        on_update: Callable[[Pod, Pod], None] | None = None,
        on_delete: Callable[[Pod], None] | None = None,
    ) -> None:
        if on_update is not None:
            self.on_update.append(on_update)
        if on_delete is not None:
            self.on_delete.append(on_delete)
        if on_add is not None:
            self.on_add.append(on_add)
            for pod in list(self.known.values()):
                on_add(pod)

    async def run(self) -> None:
        return

    async def wait_synced(self) -> None:
        await self._informer.wait_synced()

    def see(self, pod: Pod) -> None:
        uid = pod.metadata.uid or ""
        old, self.known[uid] = self.known.get(uid), pod
        if old is None:
            for added in self.on_add:
                added(pod)
        else:
            for updated in self.on_update:
                updated(old, pod)

    def lose(self, pod: Pod) -> None:
        if self.known.pop(pod.metadata.uid or "", None) is not None:
            for deleted in self.on_delete:
                deleted(pod)


class HollowRuntime(FakeRuntime):
    """Has every image anyone asks for."""

    async def image_status(self, image: str) -> Image | None:
        return await super().image_status(image) or self.add_image(image)

    async def pull_image(
        self, image: str, *, auth: AuthConfig | None = None, sandbox: SandboxConfig | None = None
    ) -> str:
        return self.add_image(image).id


class HollowNode:
    """A kubelet named `name` whose containers exist in `runtime` only."""

    def __init__(
        self,
        client: Client,
        name: str,
        data_dir: Path,
        *,
        node_ip: str = "10.0.0.1",
        pods: _Share | None = None,
        services: Informer[Service] | None = None,
        recorder: EventRecorder | None = None,
        clock: Clock | None = None,
        shape: HollowShape | None = None,
    ) -> None:
        shape = shape or HollowShape()
        self.name = name
        self.runtime = HollowRuntime(clock=clock)
        config = KubeletConfig(
            node_name=name,
            node_ip=node_ip,
            data_dir=data_dir,
            cgroup_root="",
            max_pods=shape.max_pods,
            mount_volumes=False,
        )
        facts = HostFacts(shape.cpu_millis, shape.memory_bytes, shape.disk_bytes, os_image="hollow")
        self.kubelet = Kubelet(
            client, self.runtime, config, facts=facts, pods=pods, services=services, recorder=recorder, clock=clock
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self.kubelet.run()


class HollowCluster:
    """`count` hollow nodes named ``hollow-0`` …; `run` until cancelled. What they write is in a temporary folder."""

    def __init__(self, client: Client, count: int, *, prefix: str = "hollow-", clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._pods: Informer[Pod] = Informer(client, Pod, clock=clock)
        self._services: Informer[Service] = Informer(client, Service, clock=clock)
        self._shares: dict[str, _Share] = defaultdict(lambda: _Share(self._pods))
        self._folder = tempfile.TemporaryDirectory(prefix="tiphys-hollow-")
        recorder = EventRecorder(client, "kubelet", clock=clock)
        self.nodes = [
            HollowNode(
                client,
                f"{prefix}{number}",
                Path(self._folder.name) / str(number),
                node_ip=f"10.128.{number // 256}.{number % 256}",
                pods=self._shares[f"{prefix}{number}"],
                services=self._services,
                recorder=recorder,
                clock=clock,
            )
            for number in range(count)
        ]
        self._pods.add_handler(on_add=self._see, on_update=lambda _, pod: self._see(pod), on_delete=self._lose)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with Supervisor("hollow-cluster") as supervisor:
                supervisor.spawn(self._pods.run, "pods")
                supervisor.spawn(self._services.run, "services")
                for node in self.nodes:
                    supervisor.spawn(node.run, node.name)
                await supervisor.wait()
        finally:
            self._folder.cleanup()

    def _see(self, pod: Pod) -> None:
        share = self._shares.get(pod.spec.node_name or "")
        if share is not None:
            share.see(pod)

    def _lose(self, pod: Pod) -> None:
        share = self._shares.get(pod.spec.node_name or "")
        if share is not None:
            share.lose(pod)
