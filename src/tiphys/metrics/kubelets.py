"""Readings of all nodes, taken when somebody asks: nothing is measured while nobody wants to know.

asked ──► last reading younger than RESOLUTION_SECONDS ──────────────────────────────► answer
    └──► older: read all kubelets; the reading before is younger than STALE_SECONDS ──► answer
                                   └── none: wait COLD_SECONDS, read once more ───────► answer
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.base.clock import Clock
from tiphys.base.http.client import HttpClient
from tiphys.base.logging import get_logger
from tiphys.client.client import Client
from tiphys.metrics.readings import ContainerKey, Point, Reading, Use, parse, use

_logger = get_logger(__name__)
RESOLUTION_SECONDS: Final = 15.0
STALE_SECONDS: Final = 90.0
#: Something that was not measured yet is not waited for that long: it has only just started.
NEW_SECONDS: Final = 2.0
#: What a first answer's use is measured over; the kernel's counters are exact enough for that.
COLD_SECONDS: Final = 1.0
#: Of one kubelet, connecting included, and of all of them: who asks is not to wait for dead nodes.
SCRAPE_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 12.0
CONCURRENT_SCRAPES: Final = 32
_ADDRESS_TYPES: Final = ("InternalIP", "Hostname", "ExternalIP")
_TARGET: Final = "/metrics/resource"


@dataclass(frozen=True, slots=True)
class Usage:
    """Use by node name, and by container."""

    nodes: dict[str, Use]
    containers: dict[ContainerKey, Use]


class Kubelets:
    """`tls` verifies kubelets and says who we are to them."""

    def __init__(self, client: Client, tls: ssl.SSLContext, clock: Clock) -> None:
        self._client = client
        self._tls = tls
        self._clock = clock
        self._connections: dict[str, tuple[str, HttpClient]] = {}
        self._before: dict[str, Reading] = {}
        self._latest: dict[str, Reading] = {}
        self._read_at = float("-inf")
        self._usage = Usage({}, {})
        self._reading = asyncio.Lock()
        self._concurrent = asyncio.Semaphore(CONCURRENT_SCRAPES)

    async def usage(self, complete: Callable[[Usage], bool] = lambda _: True) -> Usage:
        """Use now, as of at most RESOLUTION_SECONDS ago, NEW_SECONDS if that is not `complete`. Nodes that do not
        answer are left out. Raises ApiError or OSError when the apiserver does not say which nodes there are."""
        async with self._reading:
            age = self._clock.monotonic() - self._read_at
            if age < NEW_SECONDS or (age < RESOLUTION_SECONDS and complete(self._usage)):
                return self._usage
            nodes = (await self._client.list(Node)).items
            if age > STALE_SECONDS:
                self._latest.clear()
            cold = not self._latest
            await self._read(nodes)
            if cold:
                await self._clock.sleep(COLD_SECONDS)
                await self._read(nodes)
            self._read_at = self._clock.monotonic()
            self._usage = self._compared()
            return self._usage

    async def close(self) -> None:
        for _, connection in self._connections.values():
            await connection.close()
        self._connections.clear()

    async def _read(self, nodes: Sequence[Node]) -> None:
        alive = (node for node in nodes if not _is_lost(node))
        reachable = {node.metadata.name or "": url for node in alive if (url := kubelet_url(node))}
        await self._forget(reachable.keys())
        found: dict[str, Reading] = {}

        async def read(name: str, url: str) -> None:
            reading = await self._scrape(name, url)
            if reading is not None:
                found[name] = reading

        tasks = [asyncio.ensure_future(read(name, url)) for name, url in reachable.items()]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=READ_TIMEOUT_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
        self._before, self._latest = self._latest, dict(found)

    async def _scrape(self, name: str, url: str) -> Reading | None:
        async with self._concurrent:
            try:
                connection = await self._connection(name, url)
                async with asyncio.timeout(SCRAPE_TIMEOUT_SECONDS):
                    answer = await connection.request("GET", _TARGET, timeout_seconds=SCRAPE_TIMEOUT_SECONDS)
                if answer.status != 200:
                    raise ConnectionError(f"status {answer.status}: {answer.body[:200]!r}")
                return parse(answer.body.decode(), self._clock.now())
            except (OSError, ValueError, ApiError) as error:
                _logger.warning("a kubelet was not measured", node=name, error=str(error) or type(error).__name__)
                return None

    async def _connection(self, name: str, url: str) -> HttpClient:
        kept = self._connections.get(name)
        if kept is not None and kept[0] == url:
            return kept[1]
        if kept is not None:
            await kept[1].close()
        connection = HttpClient(url, self._tls, max_connections=1)
        self._connections[name] = (url, connection)
        return connection

    async def _forget(self, names: object) -> None:
        """Let go of nodes that are no more."""
        for name in [name for name in self._connections if name not in names]:  # type: ignore[operator]
            await self._connections.pop(name)[1].close()

    def _compared(self) -> Usage:
        nodes: dict[str, Use] = {}
        containers: dict[ContainerKey, Use] = {}
        for name, latest in self._latest.items():
            before = self._before.get(name, Reading())
            if latest.node is not None and (found := use(before.node, latest.node)) is not None:
                nodes[name] = found
            containers |= _containers(before.containers, latest.containers)
        return Usage(nodes, containers)


def _containers(before: dict[ContainerKey, Point], latest: dict[ContainerKey, Point]) -> dict[ContainerKey, Use]:
    found = ((key, use(before.get(key), point)) for key, point in latest.items())
    return {key: measured for key, measured in found if measured is not None}


def _is_lost(node: Node) -> bool:
    """Whether nobody hears of the node: its kubelet would not answer us either."""
    return any(c.type == "Ready" and c.status == "Unknown" for c in node.status.conditions)


def kubelet_url(node: Node) -> str:
    """Where a node's kubelet listens; "" for a node that has none."""
    endpoints = node.status.daemon_endpoints
    port = endpoints.kubelet_endpoint.port if endpoints is not None and endpoints.kubelet_endpoint is not None else 0
    for wanted in _ADDRESS_TYPES:
        for address in node.status.addresses:
            if address.type == wanted and address.address and port:
                host = f"[{address.address}]" if ":" in address.address else address.address
                return f"https://{host}:{port}"
    return ""
