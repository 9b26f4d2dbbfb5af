"""The way to several apiservers from one machine: a TCP balancer on its loopback address, TLS passes through untouched.

An upstream is learned to be down by connections that fail, and left alone until a probe gets through; nothing is asked
of those that work. A host that lost its power or its link says no goodbye: the kernel's keepalive notices, within
`KEEPALIVE_SECONDS`, and its clients' connections are cut so that they come again and get another.

    up ──(connect fails or times out)──► down ──(probe connects)──► up
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

from tiphys.base.backoff import Backoff
from tiphys.base.chance import CHANCE
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.cmd.config import ClusterConfig

CONNECT_SECONDS: Final = 1.0
"""For one upstream to take a connection: they are near."""
KEEPALIVE_SECONDS: Final = 6
"""After so much silence of an upstream's host its connections are cut."""
MAX_CONNECTIONS: Final = 4096
"""Clients beyond it are refused."""
BUFFER_BYTES: Final = 256 * 1024
"""Held for a reader that is slower than its writer, before the writer must wait."""
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 3), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, KEEPALIVE_SECONDS - 3))
_logger = get_logger(__name__)


@dataclass(eq=False)
class Upstream:
    """One apiserver. `connections` are open, `opening` counts those on their way: so the least busy is found."""

    host: str
    port: int
    up: bool = True
    opening: int = 0
    connections: set[_Side] = field(default_factory=set)


class Balancer:
    """``await start(host, port)``, then ``run()`` until cancelled, then ``close()``."""

    def __init__(
        self, upstreams: Sequence[tuple[str, int]], *, shuffle: Callable[[list[Upstream]], None] = CHANCE.shuffle
    ) -> None:
        if not upstreams:
            raise ValueError("a balancer needs an upstream")
        self.upstreams = [Upstream(host, port) for host, port in upstreams]
        shuffle(self.upstreams)  # else all machines' first connections would go to the same one
        self._clients = 0
        self._down = asyncio.Event()
        self._tasks = Supervisor("balancer")
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (chosen by the kernel for 0). Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), host, port, backlog=1024)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def run(self) -> None:
        """Probe upstreams that are down. Sleeps while all are up."""
        backoff = Backoff(initial_seconds=0.25, maximum_seconds=5.0)
        while True:
            down = [upstream for upstream in self.upstreams if not upstream.up]
            if not down:
                backoff.reset()
                self._down.clear()
                await self._down.wait()
            await asyncio.sleep(backoff.next_seconds())
            await asyncio.gather(*(self._probe(upstream) for upstream in down))

    async def close(self) -> None:
        """Stop listening, and cut every connection."""
        if self._server is not None:
            self._server.close()
        await self._tasks.close()
        for upstream in self.upstreams:
            for side in list(upstream.connections):
                side.cut()

    def admit(self, client: _Client) -> bool:
        """Take a new client, unless there are too many."""
        if self._clients >= MAX_CONNECTIONS:
            _logger.warning("too many connections", limit=MAX_CONNECTIONS)
            return False
        self._clients += 1
        self._tasks.start(self._connect(client), "connect")
        return True

    def forget(self) -> None:
        """A client that was admitted has gone."""
        self._clients -= 1

    def candidates(self) -> list[Upstream]:
        """Those that are up, the least busy first; then the others: what looks down may have come back this moment."""
        return sorted(self.upstreams, key=lambda one: (not one.up, len(one.connections) + one.opening))

    async def _connect(self, client: _Client) -> None:
        tried: set[int] = set()
        while left := [one for one in self.candidates() if id(one) not in tried]:
            if client.gone:
                return
            upstream = left[0]
            tried.add(id(upstream))
            side = await self._open(upstream)
            if side is not None:
                side.join(client)
                return
        client.cut()

    async def _open(self, upstream: Upstream) -> _Side | None:
        loop = asyncio.get_running_loop()
        upstream.opening += 1
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                transport, side = await loop.create_connection(lambda: _Side(upstream), upstream.host, upstream.port)
        except (OSError, TimeoutError) as error:
            self._mark(upstream, up=False, why=str(error) or "no answer")
            return None
        finally:
            upstream.opening -= 1
        own: socket.socket = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (*_KEEPALIVE, (socket.TCP_USER_TIMEOUT, KEEPALIVE_SECONDS * 1000)):
            own.setsockopt(socket.IPPROTO_TCP, option, value)
        self._mark(upstream, up=True)
        return side

    async def _probe(self, upstream: Upstream) -> None:
        side = await self._open(upstream)
        if side is not None:
            side.cut()

    def _mark(self, upstream: Upstream, *, up: bool, why: str = "") -> None:
        if upstream.up != up:
            upstream.up = up
            _logger.info("upstream", server=f"{upstream.host}:{upstream.port}", up=up, why=why)
        if not up:
            self._down.set()


class _Pipe(asyncio.Protocol):
    """One end of a connection through the balancer: what it reads, its peer writes."""

    transport: asyncio.Transport | None = None
    peer: _Pipe | None = None
    ended = False
    """Whether this end has sent all it will."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        """An end that has said all may still listen; the connection is over when both have."""
        self.ended = True
        if self.peer is None or self.peer.transport is None or self.peer.ended:
            return False
        self.peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Client(_Pipe):
    """A client's end: what it says before an upstream has been found is kept, and no more is read then."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._admitted = False
        self.early = b""

    @property
    def gone(self) -> bool:
        return self.transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._admitted = self._balancer.admit(self)
        if not self._admitted:
            self.cut()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            super().data_received(data)
            return
        self.early += data
        if self.transport is not None:
            self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._admitted:
            self._balancer.forget()


class _Side(_Pipe):
    """An upstream's end."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def join(self, client: _Client) -> None:
        """Let bytes flow between this end and the client's."""
        if client.transport is None or self.transport is None:
            self.cut()
            client.cut()
            return
        self.peer, client.peer = client, self
        self.transport.write(client.early)
        client.early = b""
        client.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._upstream.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._upstream.connections.discard(self)
        super().connection_lost(error)


@contextlib.asynccontextmanager
async def balancer_of(config: ClusterConfig) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The balancer of a machine with these settings, listening; it is closed at the end."""
    parts = [urlsplit(url) for url in config.server_urls]
    balancer = Balancer([(part.hostname or "", part.port or config.secure_port) for part in parts])
    await balancer.start("127.0.0.1", config.balancer_port)
    try:
        yield balancer.run
    finally:
        await balancer.close()
