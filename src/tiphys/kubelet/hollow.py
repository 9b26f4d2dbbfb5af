"""Hollow nodes in bulk: nodes that exist, beat and answer for their pods, and run nothing.

For studying a control plane: thousands in one process. A pod assigned to one is Running and Ready at once, and gone at
once when deleted. Nodes whose kubelet is real but whose containers are not are `tiphys.testing.hollow`'s.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.clock import Clock, SystemClock, rfc3339
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.base.workqueue import WorkQueue
from tiphys.client.client import Client
from tiphys.client.informer import Informer, without_managed_fields
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.description import Pressure, new_node, node_status
from tiphys.kubelet.node.facts import HostFacts
from tiphys.kubelet.node.lease import NodeLease

PARALLEL: Final = 32
"""Requests under way at once."""
LEASES_PER_SECOND: Final = 50
LEASE_RENEW_SECONDS: Final = 10.0
LEASE_RENEW_MAXIMUM_SECONDS: Final = 30.0
_PORTS_BASE: Final = 10250
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HollowShape:
    """What each node claims to have; `labels` are added to the usual ones, by the node's number."""

    cpu_millis: int = 32_000
    memory_bytes: int = 256 << 30
    disk_bytes: int = 1 << 40
    max_pods: int = 110
    labels: Callable[[int], Mapping[str, str]] = field(default=lambda _number: {})


class HollowNodes:
    """`count` nodes named `prefix` and a number from 0. `run` until cancelled; `ready` is set when all exist."""

    def __init__(
        self,
        client: Client,
        count: int,
        *,
        prefix: str = "hollow-",
        shape: HollowShape | None = None,
        leases: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._names = [f"{prefix}{number}" for number in range(count)]
        self._mine = frozenset(self._names)
        self._shape = shape or HollowShape()
        self._leases = leases
        self._clock = clock or SystemClock()
        self._pods: Informer[Pod] = Informer(client, Pod, transform=without_managed_fields, clock=clock)
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue(initial_seconds=0.1, maximum_seconds=10.0)
        self._addresses = itertools.count(1)
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Make the nodes, then answer for pods and beat, until cancelled."""
        async with Supervisor("hollow-nodes") as supervisor:
            nodes = await self._register_all()
            self._pods.add_handler(on_add=self._see, on_update=lambda _, pod: self._see(pod))
            supervisor.spawn(self._pods.run, "pods")
            for number in range(PARALLEL):
                supervisor.spawn(self._work, f"worker {number}")
            if self._leases:
                supervisor.spawn(lambda: self._beat(nodes), "leases")
            self.ready.set()
            _logger.info("hollow nodes run", count=len(nodes))
            await supervisor.wait()

    async def _register_all(self) -> list[Node]:
        slots = asyncio.Semaphore(PARALLEL)

        async def register(number: int, name: str) -> Node:
            async with slots:
                return await self._register(number, name)

        return await asyncio.gather(*(register(number, name) for number, name in enumerate(self._names)))

    async def _register(self, number: int, name: str) -> Node:
        shape = self._shape
        ip = f"10.{128 + number // 65536}.{number // 256 % 256}.{number % 256}"
        config = KubeletConfig(
            node_name=name,
            node_ip=ip,
            data_dir=Path("/"),
            max_pods=shape.max_pods,
            port=_PORTS_BASE,
            labels=dict(shape.labels(number)),
        )
        facts = HostFacts(shape.cpu_millis, shape.memory_bytes, shape.disk_bytes, os_image="hollow")
        status = node_status(
            config,
            facts,
            runtime_version="hollow://1",
            images=(),
            pressure=Pressure(),
            before={},
            now=self._clock.now(),
        )
        node = new_node(config, facts, status)
        while True:
            try:
                return await self._client.create(node)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    return await self._client.get(Node, name)
                if error.code < 500 and error.code != 429:
                    raise
            except (OSError, TimeoutError):
                pass
            await self._clock.sleep(0.5)

    async def _beat(self, nodes: list[Node]) -> None:
        """Renew every lease in turn, evenly over the period."""
        wanted = max(LEASE_RENEW_SECONDS, len(nodes) / LEASES_PER_SECOND)
        period = min(wanted, LEASE_RENEW_MAXIMUM_SECONDS)
        beats = [
            NodeLease(self._client, node, self._clock, duration_seconds=40, renew_seconds=period) for node in nodes
        ]
        pause = period / max(len(beats), 1)
        while True:
            begun = self._clock.monotonic()
            for number, beat in enumerate(beats):
                try:
                    await beat.renew()
                except (ApiError, OSError, TimeoutError) as error:
                    _logger.debug("lease not renewed", error=str(error))
                ahead = begun + (number + 1) * pause - self._clock.monotonic()
                if ahead > 0.02:
                    await self._clock.sleep(ahead)

    def _see(self, pod: Pod) -> None:
        if pod.spec.node_name not in self._mine:
            return
        if pod.metadata.deletion_timestamp or pod.status.phase in (None, "", "Pending"):
            self._queue.add((pod.metadata.namespace or "", pod.metadata.name or ""))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._answer(key)
                self._queue.forget(key)
            except ApiError as error:
                if error.code not in (404, 409):
                    self._queue.add_rate_limited(key)
            except (OSError, TimeoutError):
                self._queue.add_rate_limited(key)
            finally:
                self._queue.done(key)

    async def _answer(self, key: tuple[str, str]) -> None:
        namespace, name = key
        pod = self._pods.get(name, namespace)
        if pod is None:
            return
        uid = pod.metadata.uid or ""
        if pod.metadata.deletion_timestamp:
            await self._client.delete(Pod, name, namespace, uid=uid, grace_period_seconds=0)
        elif pod.status.phase in (None, "", "Pending"):
            body = {"metadata": {"uid": uid}, "status": self._running(pod)}
            await self._client.patch(Pod, name, namespace, body, type="strategic", subresource="status")

    def _running(self, pod: Pod) -> dict[str, Any]:
        now = rfc3339(self._clock.now())
        number = next(self._addresses)
        ip = f"100.{64 + number // 65536 % 64}.{number // 256 % 256}.{number % 256}"
        kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
        return {
            "phase": "Running",
            "startTime": now,
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": t, "status": "True", "lastTransitionTime": now} for t in kinds],
            "containerStatuses": [
                {
                    "name": c.name,
                    "image": c.image or "",
                    "imageID": "",
                    "ready": True,
                    "started": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": now}},
                }
                for c in pod.spec.containers
            ],
        }
