"""Makes the addresses of load balancers answer on the nodes' link: one live node answers ARP for each.

Nodes tell each other that they live by small datagrams, twice a second and only while there are such addresses, so that
an address moves two seconds after its node has died, and stays where it is while the apiserver is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Final

from tiphys.api.types.core_v1 import Node, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base.address_ranges import AddressRanges
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.client.events import NORMAL, EventRecorder
from tiphys.client.informer import Informer
from tiphys.proxy.arp import Responder, link_with
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.services import load_balancer_addresses
from tiphys.proxy.speakers import Membership, address_of, candidates, holder, is_eligible

HEARTBEAT_SECONDS: Final = 0.5
REPEATS: Final = 4
"""How many times an address that moved here is announced, a heartbeat apart: announcements may be lost."""
MAGIC: Final = b"tiphys-speaker 1 "
_logger = get_logger(__name__)


class Announcer:
    """Shares the proxy's informers. ``run`` until cancelled; this node answers for nothing then."""

    def __init__(
        self,
        config: ProxyConfig,
        services: Informer[Service],
        nodes: Informer[Node],
        slices_of: Callable[[Service], Iterable[EndpointSlice]],
        recorder: EventRecorder,
    ) -> None:
        self._config = config
        self._pool = AddressRanges(config.load_balancer_cidr)
        self._services = services
        self._nodes = nodes
        self._slices_of = slices_of
        self._recorder = recorder
        self._members = Membership()
        self._wake = asyncio.Event()
        self._peers: dict[str, str] = {}  # address of a node to its name
        self._repeats: dict[str, int] = {}
        self._hears = False
        self._port_missed = False
        self.held: frozenset[str] = frozenset()
        """The addresses this node answers for."""

    def look(self) -> None:
        """Something changed: a Service, its endpoints, a node."""
        self._wake.set()

    async def run(self) -> None:
        backoff = Backoff(0.5, 2.0, 10.0)
        while True:
            try:
                with Responder(link_with(self._config.node_ip)) as responder:
                    self.held = frozenset()
                    backoff.reset()
                    await self._keep(responder)
            except OSError as error:
                delay_seconds = backoff.next_seconds()
                _logger.warning("load balancers' addresses are not answered for", error=str(error))
                await asyncio.sleep(delay_seconds)
            finally:
                self.held = frozenset()

    async def _keep(self, responder: Responder) -> None:
        async with contextlib.AsyncExitStack() as stack:
            heartbeats: _Heartbeats | None = None
            while True:
                self._wake.clear()
                published = self._published()
                self._know_nodes()
                if published and self._peers and heartbeats is None:
                    heartbeats = await self._open(stack)
                self._hears = heartbeats is not None
                self._hold(responder, published)
                busy = bool(published and self._peers) or bool(self._repeats)
                try:
                    await asyncio.wait_for(self._wake.wait(), HEARTBEAT_SECONDS if busy else None)
                except TimeoutError:
                    self._beat(responder, heartbeats if published else None)

    async def _open(self, stack: contextlib.AsyncExitStack) -> _Heartbeats | None:
        """None when the port cannot be had: then the API alone says which nodes live, though later."""
        address = (self._config.node_ip, self._config.heartbeat_port)
        loop = asyncio.get_running_loop()
        try:
            _, opened = await loop.create_datagram_endpoint(lambda: _Heartbeats(self._heard), local_addr=address)
        except OSError as error:
            if not self._port_missed:
                _logger.warning("heartbeats between nodes: the port cannot be had", port=address[1], error=str(error))
            self._port_missed = True
            return None
        stack.callback(opened.close)
        self._port_missed = False
        return opened

    def _published(self) -> list[tuple[str, Service]]:
        return [
            (address, service)
            for service in self._services.list()
            if service.spec.type == "LoadBalancer"
            for address in load_balancer_addresses(service)
            if address in self._pool
        ]

    def _know_nodes(self) -> None:
        others = [n for n in self._nodes.list() if n.metadata.name != self._config.node_name and is_eligible(n)]
        self._peers = {address_of(node): node.metadata.name or "" for node in others if address_of(node)}
        self._members.know(self._peers.values(), asyncio.get_running_loop().time())

    def _hold(self, responder: Responder, published: list[tuple[str, Service]]) -> None:
        now = asyncio.get_running_loop().time()
        alive = self._members.alive(now) if self._hears else set(self._peers.values())
        own = self._nodes.get(self._config.node_name)
        if own is not None and is_eligible(own):
            alive.add(self._config.node_name)
        found = {
            address: service
            for address, service in published
            if holder(address, candidates(service, self._slices_of(service), alive)) == self._config.node_name
        }
        if found.keys() == self.held:
            return
        responder.answer_for(found)
        for address in found.keys() - self.held:
            self._repeats[address] = REPEATS
            responder.announce(address)
            text = f"Node {self._config.node_name} answers for {address}"
            self._recorder.event(found[address], NORMAL, "AddressAnnounced", text)
        _logger.info("load balancers' addresses", held=sorted(found))
        self._repeats = {address: left for address, left in self._repeats.items() if address in found}
        self.held = frozenset(found)

    def _beat(self, responder: Responder, heartbeats: _Heartbeats | None) -> None:
        for address, left in list(self._repeats.items()):
            responder.announce(address)
            self._repeats[address] = left - 1
            if left <= 1:
                del self._repeats[address]
        if heartbeats is not None:
            heartbeats.send(self._peers, self._config.heartbeat_port, MAGIC + self._config.node_name.encode())

    def _heard(self, address: str, data: bytes) -> None:
        name = self._peers.get(address)
        # Another cluster's nodes may use the same port.
        if name is None or data != MAGIC + name.encode():
            return
        if self._members.heard(name, asyncio.get_running_loop().time()):
            # While the link was cut it may have answered for what is here, and been believed.
            self._repeats = dict.fromkeys(self.held, REPEATS)
            self._wake.set()


class _Heartbeats(asyncio.DatagramProtocol):
    def __init__(self, heard: Callable[[str, bytes], None]) -> None:
        self._heard = heard
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's are their own classes

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._heard(address[0], data)

    def send(self, addresses: Iterable[str], port: int, data: bytes) -> None:
        assert self._transport is not None
        for address in addresses:
            with contextlib.suppress(OSError, socket.gaierror):
                self._transport.sendto(data, (address, port))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
