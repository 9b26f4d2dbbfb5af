"""A kubelet on a fake runtime, against the real apiserver in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.types.core_v1 import Event, Node, Pod, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import PeerIdentity
from tiphys.client.client import Client
from tiphys.client.transport import InProcessTransport
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.kubelet import Kubelet
from tiphys.kubelet.node.facts import HostFacts
from tiphys.store.memory import MemoryBackend
from tiphys.testing.fake_cri import FakeRuntime

NODE = "n1"


class World:
    """The apiserver, an admin's client, and a kubelet that can be stopped and started again."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        self.admin = self.client("admin", "system:masters")
        self.node_client = self.client(f"system:node:{NODE}", "system:nodes")
        self.runtime = FakeRuntime(images=["img"])
        self.config = KubeletConfig(
            node_name=NODE, node_ip="10.0.0.1", data_dir=folder, cgroup_root="", mount_volumes=False
        )
        self.kubelet: Kubelet | None = None
        self._task: asyncio.Task[None] | None = None

    def client(self, name: str, *groups: str) -> Client:
        return Client(InProcessTransport(self.server.handler, PeerIdentity(name, groups, f"fingerprint of {name}")))

    async def start(self) -> None:
        self.kubelet = Kubelet(self.node_client, self.runtime, self.config, facts=HostFacts(4000, 8 << 30, 100 << 30))
        self._task = asyncio.create_task(self.kubelet.run())
        await self.until(self.node_ready)
        await self.until(self.knows_its_pods)

    async def knows_its_pods(self) -> bool:
        known = self.kubelet.pods.all() if self.kubelet is not None and self.kubelet.pods is not None else []
        return {w.pod.metadata.name for w in known} >= {p.metadata.name for p in (await self.admin.list(Pod)).items}

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def node_ready(self) -> bool:
        return any(
            c.type == "Ready" and c.status == "True"
            for node in (await self.admin.list(Node)).items
            for c in node.status.conditions
        )

    async def until(self, condition: Callable[[], Any], timeout_seconds: float = 10.0) -> Any:
        """The first true answer; every request to the apiserver lets other tasks run."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                found = await condition()
                if found:
                    return found
                await asyncio.sleep(0.005)

    async def create(self, name: str = "p", spec: dict[str, Any] | None = None, **metadata: Any) -> Pod:
        body = {
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": {
                "nodeName": NODE,
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
                "containers": [{"name": "web", "image": "img", "imagePullPolicy": "IfNotPresent"}],
                **(spec or {}),
            },
        }
        return await self.admin.create(codec.from_dict(Pod, body))

    async def pod(self, name: str = "p") -> Pod | None:
        return next((p for p in (await self.admin.list(Pod, "default")).items if p.metadata.name == name), None)

    async def is_ready(self, name: str = "p") -> Pod | None:
        pod = await self.pod(name)
        ready = pod is not None and any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
        return pod if ready else None

    async def in_phase(self, phase: str, name: str = "p") -> Pod | None:
        pod = await self.pod(name)
        return pod if pod is not None and pod.status.phase == phase else None

    async def gone(self, name: str = "p") -> bool:
        return await self.pod(name) is None

    async def events(self, reason: str) -> list[str]:
        return [e.message or "" for e in (await self.admin.list(Event, "default")).items if e.reason == reason]

    def container_ids(self) -> list[str]:
        return [w for worker in self.kubelet.pods.all() for w in worker.running_containers()]  # type: ignore[union-attr]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    server = ApiServer(ApiServerConfig(), MemoryBackend())
    await server.start()
    with tempfile.TemporaryDirectory() as folder:
        made = World(server, Path(folder))
        await made.admin.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        await made.start()
        yield made
        await made.stop()
    await server.close()
