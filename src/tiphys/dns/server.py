"""The cluster's DNS server: informers keep the zone, UDP and TCP answer from it, answers are kept as bytes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from typing import cast

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Service
from tiphys.api.types.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForNode,
)
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.dns import wire
from tiphys.dns.config import DnsConfig
from tiphys.dns.forwarding import Forwarder
from tiphys.dns.records import Answer, Key, Zone

_logger = get_logger(__name__)
_SERVICE_LABEL = "kubernetes.io/service-name"
_IP_FREEBIND = 15
MAX_CACHED_ANSWERS = 8192
MAX_TCP_CONNECTIONS = 200
TCP_IDLE_SECONDS = 10.0


class Resolver:
    """Answers messages from the zone, else from upstream. Answers of the zone are remembered until it changes."""

    def __init__(self, zone: Zone, forwarder: Forwarder, ttl_seconds: int) -> None:
        self.zone = zone
        self._forwarder = forwarder
        self._ttl_seconds = ttl_seconds
        self._answers: dict[bytes, bytes] = {}

    def changed(self) -> None:
        """The zone changed: forget what was answered."""
        self._answers.clear()

    def at_once(self, data: bytes) -> bytes | None:
        """The answer when it needs no one else; b"" drops the message, None means `forward` must ask upstream."""
        known = self._answers.get(data[2:])
        if known is not None:
            return data[:2] + known
        try:
            question = wire.read(data)
        except wire.Malformed:
            return b""
        if not self.zone.owns(question.name):
            return None
        found = self.zone.resolve(question.name, question.type)
        if self._leads_outside(question, found):
            return None
        reply = wire.answer(question, found, self.zone.domain, self._ttl_seconds)
        packed = wire.fit(reply, question.size_bytes)
        if len(self._answers) >= MAX_CACHED_ANSWERS:
            self._answers.clear()
        self._answers[data[2:]] = packed[2:]
        return packed

    def over_tcp(self, data: bytes) -> bytes | None:
        """As `at_once`, without a limit of size."""
        try:
            question = wire.read(data)
        except wire.Malformed:
            return b""
        if not self.zone.owns(question.name):
            return None
        found = self.zone.resolve(question.name, question.type)
        if self._leads_outside(question, found):
            return None
        return bytes(wire.answer(question, found, self.zone.domain, self._ttl_seconds).pack())

    def _leads_outside(self, question: wire.Question, found: Answer) -> bool:
        """Whether the answer is but an alias of a name that upstream must be asked for: clients do not ask again."""
        if question.type == "CNAME" or not self._forwarder.servers or len(found.records) != 1:
            return False
        [record] = found.records
        return record.type == "CNAME" and not self.zone.owns(str(record.data))

    async def forward(self, data: bytes) -> bytes:
        """An answer from upstream, or a refusal: REFUSED when there is none to ask, SERVFAIL when none answers."""
        question = wire.read(data)
        if self.zone.owns(question.name):
            return await self._through_alias(question)
        if self._forwarder.servers:
            answer = await self._forwarder.ask(data)
            if answer is not None:
                return answer
        code = "SERVFAIL" if self._forwarder.servers else "REFUSED"
        return bytes(wire.failure(question, code).pack())

    async def _through_alias(self, question: wire.Question) -> bytes:
        """The alias of an ExternalName Service together with what upstream says of its target, if it says anything."""
        found = self.zone.resolve(question.name, question.type)
        reply = wire.answer(question, found, self.zone.domain, self._ttl_seconds)
        if self._leads_outside(question, found):
            behind = await self._forwarder.ask(wire.query(question, str(found.records[0].data)))
            if behind is not None:
                wire.extend(reply, behind)
        return wire.fit(reply, question.size_bytes)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver, tasks: Supervisor) -> None:
        self._resolver = resolver
        self._tasks = tasks
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are their own classes, registered nowhere: no isinstance.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self._transport is not None
        answer = self._resolver.at_once(data)
        if answer is None:
            self._tasks.start(self._forward(data, address), "forward")
        elif answer:
            self._transport.sendto(answer, address)

    async def _forward(self, data: bytes, address: tuple[str, int]) -> None:
        answer = await self._resolver.forward(data)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(answer, address)


class DnsServer:
    """`run` serves until cancelled. It listens once its node has a podCIDR, and becomes its Service's endpoint."""

    def __init__(self, client: Client, config: DnsConfig, *, clock: Clock | None = None) -> None:
        self._client = client
        self._config = config
        clock = clock or SystemClock()
        forwarder = Forwarder(
            config.resolv_conf, clock,
            timeout_seconds=config.forward_timeout_seconds, pause_seconds=config.forward_pause_seconds,
        )  # fmt: skip
        self.resolver = Resolver(Zone(config.cluster_domain), forwarder, config.ttl_seconds)
        self._services = Informer(client, Service)
        self._slices = Informer(client, EndpointSlice, indexes={"service": _service_keys})
        self._nodes = Informer(client, Node, field_selector=f"metadata.name={config.node_name}")
        self._gateway = ""
        self._has_gateway = asyncio.Event()
        self._tcp_connections = 0
        self._services.add_handler(
            on_add=lambda s: self._refresh(_key(s)),
            on_update=lambda _, s: self._refresh(_key(s)),
            on_delete=lambda s: self._refresh(_key(s)),
        )
        self._slices.add_handler(
            on_add=self._slice_changed, on_update=lambda _, s: self._slice_changed(s), on_delete=self._slice_changed
        )
        self._nodes.add_handler(on_add=self._node_changed, on_update=lambda _, n: self._node_changed(n))

    async def run(self) -> None:
        """Serve until cancelled."""
        async with Supervisor("dns") as supervisor:
            supervisor.spawn(self._services.run, "services")
            supervisor.spawn(self._slices.run, "slices")
            supervisor.spawn(self._nodes.run, "nodes")
            # Names that exist must not be denied, so nothing is answered before all are known.
            await self._services.wait_synced()
            await self._slices.wait_synced()
            await self._has_gateway.wait()
            address = self._gateway
            async with self.listening(address, self._config.port):
                await self._publish(address)
                _logger.info("serving", address=address, port=self._config.port)
                await supervisor.wait()

    @contextlib.asynccontextmanager
    async def listening(self, address: str, port: int) -> AsyncIterator[None]:
        """Answer on UDP and TCP while the block runs; the address may come later."""
        loop = asyncio.get_running_loop()
        async with Supervisor("dns-queries") as tasks, contextlib.AsyncExitStack() as opened:
            datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self.resolver, tasks), sock=_bound(socket.SOCK_DGRAM, address, port)
            )
            opened.callback(datagrams.close)
            streams = await asyncio.start_server(self._serve_tcp, sock=_bound(socket.SOCK_STREAM, address, port))
            opened.callback(streams.close)
            yield

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tcp_connections >= MAX_TCP_CONNECTIONS:
            writer.close()
            return
        self._tcp_connections += 1
        try:
            while True:
                size = await asyncio.wait_for(reader.readexactly(2), TCP_IDLE_SECONDS)
                data = await asyncio.wait_for(reader.readexactly(int.from_bytes(size)), TCP_IDLE_SECONDS)
                answer = self.resolver.over_tcp(data)
                if answer is None:
                    answer = await self.resolver.forward(data)
                if not answer:
                    return
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            return
        finally:
            self._tcp_connections -= 1
            writer.close()

    def _refresh(self, key: Key) -> None:
        service = self._services.get(key[1], key[0])
        slices = self._slices.by_index("service", f"{key[0]}/{key[1]}")
        self.resolver.zone.update(key, service, slices)
        self.resolver.changed()

    def _slice_changed(self, piece: EndpointSlice) -> None:
        for text in _service_keys(piece):
            namespace, _, name = text.partition("/")
            self._refresh((namespace, name))

    def _node_changed(self, node: Node) -> None:
        if node.spec.pod_cidr:
            self._gateway = str(ipaddress.ip_network(node.spec.pod_cidr)[1])
            self._has_gateway.set()

    async def _publish(self, address: str) -> None:
        """Be an endpoint of the DNS Service, for the pods of this node. Retried by the supervisor when refused.

        Each node's proxy prefers the server of its own node, as the hint says; the endpoint goes with its node.
        """
        config = self._config
        node = self._nodes.get(config.node_name)
        owners = (
            (OwnerReference(api_version="v1", kind="Node", name=config.node_name, uid=node.metadata.uid or ""),)
            if node
            else ()
        )
        piece = EndpointSlice(
            metadata=ObjectMeta(
                name=f"{config.service_name}-{config.node_name}",
                namespace=config.namespace,
                labels={_SERVICE_LABEL: config.service_name, "endpointslice.kubernetes.io/managed-by": "tiphys-dns"},
                owner_references=owners,
            ),
            address_type="IPv4",
            endpoints=(
                Endpoint(
                    addresses=(address,),
                    conditions=EndpointConditions(ready=True),
                    node_name=config.node_name,
                    hints=EndpointHints(for_nodes=(ForNode(name=config.node_name),)),
                ),
            ),
            ports=(
                EndpointPort(name="dns", port=config.port, protocol="UDP"),
                EndpointPort(name="dns-tcp", port=config.port, protocol="TCP"),
            ),
        )
        try:
            await self._client.create(piece)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            current = await self._client.get(EndpointSlice, piece.metadata.name or "", config.namespace)
            piece.metadata.resource_version = current.metadata.resource_version
            await self._client.update(piece)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # The bridge that has the address may be made after us.
    made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    made.setblocking(False)
    try:
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


def _service_keys(piece: EndpointSlice) -> Iterator[str]:
    name = piece.metadata.labels.get(_SERVICE_LABEL)
    if name:
        yield f"{piece.metadata.namespace}/{name}"


def _key(service: Service) -> Key:
    return (service.metadata.namespace or "", service.metadata.name or "")
