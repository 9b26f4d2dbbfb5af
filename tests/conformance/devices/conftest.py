"""A control plane over TLS with controllers, hollow nodes and a scheduler that can be started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.api.running import RunningServer, running_server
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.kubelet.hollow import HollowNodes, HollowShape
from tiphys.scheduler.scheduler import Scheduler


class Cluster:
    """`server`, with two nodes (their names in `nodes`) on which pods are Running at once."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.nodes: list[str] = []
        self._clients: list[Client] = []
        self._hollow: asyncio.Task[Any] | None = None
        self._scheduler: asyncio.Task[Any] | None = None

    def _client(self) -> Client:
        client = Client.from_config(kubeconfig.load(self.server.kubeconfig))
        self._clients.append(client)
        return client

    async def begin(self, _: Any) -> None:
        nodes = HollowNodes(self._client(), 2, shape=HollowShape(4_000, 8 << 30, 1 << 34, 110, lambda number: {}))
        self._hollow = asyncio.ensure_future(nodes.run())
        await nodes.ready.wait()
        await self.start_scheduler(None)

    async def start_scheduler(self, _: Any) -> None:
        self._scheduler = asyncio.ensure_future(Scheduler(self._client()).run())

    async def stop_scheduler(self, _: Any) -> None:
        await _stop(self._scheduler)

    async def end(self, _: Any) -> None:
        await _stop(self._scheduler)
        await _stop(self._hollow)
        for client in self._clients:
            await client.close()


async def _stop(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_server(controllers=True) as server:
        running = Cluster(server)
        server.call(running.begin)
        running.nodes = server.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
        yield running
        server.call(running.end)
