"""A control plane with a scheduler and hollow nodes, one for these tests."""

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

ZONES = ("a", "b")


@pytest.fixture(scope="module")
def hollow() -> Iterator[RunningServer]:
    """Four nodes of 4 cores and 8Gi in two zones; pods assigned to one are Running at once."""
    with running_server(controllers=True) as running:
        tasks: list[asyncio.Task[Any]] = []
        clients: list[Client] = []

        async def begin(_: Any) -> None:
            shape = HollowShape(
                4_000, 8 << 30, 1 << 34, 110, lambda number: {"topology.kubernetes.io/zone": ZONES[number % 2]}
            )
            clients.extend(Client.from_config(kubeconfig.load(running.kubeconfig)) for _ in range(2))
            nodes = HollowNodes(clients[0], 4, shape=shape)
            tasks.append(asyncio.ensure_future(nodes.run()))
            tasks.append(asyncio.ensure_future(Scheduler(clients[1]).run()))
            await nodes.ready.wait()

        async def end(_: Any) -> None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for client in clients:
                await client.close()

        running.call(begin)
        yield running
        running.call(end)
