"""All controllers against a real apiserver in virtual time, over a network that fails as a seed says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Namespace, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.chance import CHANCE
from tiphys.base.http.messages import PeerIdentity
from tiphys.client import Client, InProcessTransport
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager
from tiphys.testing import builders
from tiphys.testing.control_plane import ControlPlane, PretendKubelet, control_plane
from tiphys.testing.faults import FaultyTransport
from tiphys.testing.virtual_time import VirtualClock

QUIET_NODES = ControllerManagerConfig(root_ca=b"CA", node_monitor_grace_period_seconds=1e9)
"""The nodes here send no heartbeats, and nobody minds."""
MANAGER = PeerIdentity("system:kube-controller-manager")


@dataclass(slots=True)
class World:
    """A cluster with nodes ``node-1`` to ``node-3`` and the namespace ``x``."""

    plane: ControlPlane
    client: Client
    network: FaultyTransport
    kubelet: PretendKubelet
    config: ControllerManagerConfig
    managers: list[asyncio.Task[None]] = field(default_factory=list)

    def start_manager(self, config: ControllerManagerConfig | None = None) -> asyncio.Task[None]:
        """Run (one more) controller manager."""
        clock = self.plane.clock
        manager = ControllerManager(Client(self.network, clock=clock), config or self.config, clock=clock)
        self.managers.append(asyncio.ensure_future(manager.run()))
        return self.managers[-1]

    async def kill(self, manager: asyncio.Task[None]) -> None:
        """Stop a controller manager wherever it is."""
        manager.cancel()
        await asyncio.wait((manager,))

    async def until(self, check: Callable[[], Awaitable[bool]], *, seconds: float = 600.0) -> float:
        """How long (virtual) it took until `check` held; AssertionError if it never did."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not await check():
            if loop.time() - started > seconds:
                raise AssertionError("it never came true")
            await asyncio.sleep(0.05)
        return loop.time() - started

    async def is_gone(self, kind: type, name: str, namespace: str = "x") -> bool:
        """Whether the object does not exist."""
        try:
            await self.client.get(kind, name, namespace)
        except ApiError as error:
            return error.code == 404
        return False

    async def pods(self, **labels: str) -> list[Pod]:
        """The pods of ``x`` with these labels."""
        text = ",".join(f"{k}={v}" for k, v in labels.items())
        return list((await self.client.list(Pod, "x", label_selector=text)).items)


@asynccontextmanager
async def world(
    seed: int = 0,
    *,
    faults: float = 0.0,
    decide: Callable[[Pod], str] | None = None,
    config: ControllerManagerConfig | None = None,
) -> AsyncIterator[World]:
    CHANCE.seed(seed)
    clock = VirtualClock()
    async with control_plane(clock=clock) as plane:
        network = FaultyTransport(InProcessTransport(plane.server.handler, MANAGER), seed, probability=faults)
        kubelet = PretendKubelet(plane.client, decide=decide, clock=clock)
        for name in ("node-1", "node-2", "node-3"):
            await plane.client.create(builders.node(name))
            found = await plane.client.get(type(builders.node(name)), name)
            found.status = builders.node(name).status
            await plane.client.update_status(found)
        await plane.client.create(Namespace(metadata=ObjectMeta(name="x")))
        running = asyncio.ensure_future(kubelet.run())
        made = World(plane, plane.client, network, kubelet, config or QUIET_NODES)
        made.start_manager()
        try:
            yield made
        finally:
            tasks = [running, *made.managers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
