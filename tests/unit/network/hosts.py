"""Hosts on one link, each a network namespace with an event loop, an API of its own and a pod."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from tests.unit.network.namespaces import Namespace, ask, run
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Node
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.node import NodeNetwork
from tiphys.network.routes import PodRoutes
from tiphys.testing.control_plane import ControlPlane, control_plane

T = TypeVar("T")


def node(name: str, pod_cidr: str, address: str, created: str = "2026-01-01T00:00:00Z") -> Node:
    wire = {
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr]} if pod_cidr else {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}] if address else [],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    return from_dict(Node, wire)


class Host:
    """Node ``name`` at 172.20.0.``number``, pods in 10.244.``number``.0/24, one of them at .2."""

    def __init__(self, number: int, folder: Path, *, backend: str = "vxlan", is_node: bool = True) -> None:
        self.name, self.address = f"node-{number}", f"172.20.0.{number}"
        self.pod_cidr, self.pod_address = f"10.244.{number}.0/24", f"10.244.{number}.2"
        self.config = NodeNetworkConfig(
            cluster_id=f"{number:08x}", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/12",
            cni_conf_dir=folder / self.name / "net.d", state_dir=folder / self.name / "state",
            host_state_dir=folder / self.name / "run", node_name=self.name, node_ip=self.address, backend=backend,
        )  # fmt: skip
        self.network = NodeNetwork(self.config)
        self.is_node = is_node
        self.place = Namespace()
        self.pod = Namespace()
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    def start(self, bridge: str) -> None:
        self.place.join(f"h{self.address.rpartition('.')[2]}", bridge, f"{self.address}/24", "172.20.0.1")
        self.place.serve(9000, self.name)
        self.place._thread.submit(self._loop.run_forever)
        self.do(self._start())
        if self.is_node:
            self.do(asyncio.to_thread(self._add_pod))
            self._serve_pod()

    def _add_pod(self) -> None:
        # A thread's namespace is inherited by the threads it starts: this runs on the host.
        self.pod.join("pod", f"tiphys-{self.config.cluster_id}", f"{self.pod_address}/24", f"10.244.{self.number}.1")

    def _serve_pod(self) -> None:
        self.pod.serve(8080, f"pod-{self.name}")
        self.pod.serve(5353, f"pod-{self.name}", socket.SOCK_DGRAM)

    @property
    def number(self) -> int:
        return int(self.address.rpartition(".")[2])

    async def _start(self) -> None:
        if self.is_node:
            await self.network.ensure(self.pod_cidr)
        self.plane: ControlPlane = await self._stack.enter_async_context(control_plane())
        await self._run_routes()

    async def _run_routes(self) -> None:
        self.routes = PodRoutes(self.plane.client, self.config, self.name if self.is_node else "", self.address)
        self._task = asyncio.get_running_loop().create_task(self.routes.run())

    async def _end_routes(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it in this host's namespace and loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def run(self, command: str) -> str:
        async def go() -> str:
            return run(command)

        return self.do(go())

    def ask(self, address: str, port: int) -> str:
        """What a server says to this host itself."""
        return self.do(asyncio.to_thread(ask, address, port))

    def learn(self, *nodes: Node) -> None:
        """From now on these are the cluster's nodes."""
        self.do(self._learn(nodes))

    async def _learn(self, nodes: tuple[Node, ...]) -> None:
        client = self.plane.client
        for old in (await client.list(Node)).items:
            await client.delete(Node, old.metadata.name or "")
        for new in nodes:
            await client.create(new)
            found = await client.get(Node, new.metadata.name or "")
            found.status = new.status
            await client.update_status(found)

    def close(self) -> None:
        async def end() -> None:
            await self._end_routes()
            await self._stack.aclose()

        self.do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.place.close()
        self.pod.close()
        self._loop.close()
