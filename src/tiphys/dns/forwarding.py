"""Names outside the cluster: asked of the host's own resolvers, which are left alone for a while when they are dead."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
DNS_PORT = 53
MAX_IN_FLIGHT = 500


def nameservers(text: str) -> list[str]:
    """The IPv4 servers of a resolv.conf, in order; a host's local stub counts, names and IPv6 don't."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(str(ipaddress.IPv4Address(words[1])))
            except ValueError:
                continue
    return found


class Forwarder:
    """Relays whole messages over UDP. One upstream is asked at a time, the first that is not resting."""

    def __init__(self, resolv_conf: Path, clock: Clock, *, timeout_seconds: float, pause_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._resting: dict[str, float] = {}
        self._in_flight = 0
        try:
            self.servers = nameservers(resolv_conf.read_text())
        except OSError:
            self.servers = []

    async def ask(self, data: bytes) -> bytes | None:
        """The upstream's answer to the message; None when nobody answers (then, for a while, at once)."""
        if self._in_flight >= MAX_IN_FLIGHT:
            return None
        self._in_flight += 1
        try:
            for server in self.servers:
                if self._resting.get(server, 0.0) > self._clock.monotonic():
                    continue
                answer = await self._ask_one(server, data)
                if answer is not None:
                    return answer
                self._resting[server] = self._clock.monotonic() + self._pause_seconds
                _logger.warning("upstream DNS server does not answer", server=server, pause_seconds=self._pause_seconds)
            return None
        finally:
            self._in_flight -= 1

    async def _ask_one(self, server: str, data: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        received: asyncio.Future[bytes] = loop.create_future()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Once(data[:2], received), remote_addr=(server, DNS_PORT)
            )
        except OSError:
            return None
        try:
            transport.sendto(data)
            return await asyncio.wait_for(received, self._timeout_seconds)
        except (TimeoutError, OSError):
            return None
        finally:
            transport.close()


class _Once(asyncio.DatagramProtocol):
    """Takes the first datagram with the right id; the socket is connected, so the sender is who was asked."""

    def __init__(self, message_id: bytes, received: asyncio.Future[bytes]) -> None:
        self._id = message_id
        self._received = received

    def datagram_received(self, data: bytes, address: object) -> None:
        if data[:2] == self._id and not self._received.done():
            self._received.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self._received.done():
            self._received.set_exception(OSError(str(error)))
