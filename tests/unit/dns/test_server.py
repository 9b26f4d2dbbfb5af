"""The server over real sockets on loopback, fed by a real apiserver in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord

from tests.unit.dns.services import endpoint, service, slice_of
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Namespace, Node
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.client.client import Client
from tiphys.dns import forwarding
from tiphys.dns.config import DnsConfig
from tiphys.dns.server import DnsServer
from tiphys.testing.control_plane import control_plane

TIMEOUT_SECONDS = 10


@dataclass
class Served:
    client: Client
    server: DnsServer
    port: int

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False) -> DNSRecord:
        return DNSRecord.parse(await self.exchange(bytes(DNSRecord.question(name, kind).pack()), tcp=tcp))

    async def exchange(self, query: bytes, *, tcp: bool = False) -> bytes:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if tcp:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(len(query).to_bytes(2) + query)
                answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                writer.close()
                await writer.wait_closed()
                return answer
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect(("127.0.0.1", self.port))
                await loop.sock_sendall(client, query)
                return await loop.sock_recv(client, 4096)


def free_port() -> int:
    """A port that UDP and TCP both have free."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


class Upstream(asyncio.DatagramProtocol):
    """Knows every name, by one address."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        reply = DNSRecord.parse(data).reply()
        reply.add_answer(RR(reply.q.qname, QTYPE.A, ttl=60, rdata=A("203.0.113.5")))
        self.transport.sendto(bytes(reply.pack()), address)


@pytest.fixture
async def upstream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", 0))
    monkeypatch.setattr(forwarding, "DNS_PORT", transport.get_extra_info("sockname")[1])
    yield
    transport.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    resolv_conf, port = tmp_path / "resolv.conf", free_port()
    resolv_conf.write_text("nameserver 127.0.0.1\nnameserver ::1\noptions x\n")
    async with control_plane() as plane:
        await plane.client.create(from_dict(Namespace, {"metadata": {"name": "shop"}}))
        cidr = "10.244.0.0/24"
        node = {"metadata": {"name": "n1"}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}
        await plane.client.create(from_dict(Node, node))
        await plane.client.create(service())
        config = DnsConfig(node_name="n1", port=port, resolv_conf=resolv_conf, forward_timeout_seconds=0.5)
        server = DnsServer(plane.client, config)
        task = asyncio.create_task(server.run())
        try:
            await published(plane.client)
            # The pods' gateway has no link here: loopback stands for it.
            async with server.listening("127.0.0.1", port):
                yield Served(plane.client, server, port)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def published(client: Client) -> None:
    """The server says that it serves by becoming its Service's endpoint."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with contextlib.aclosing(client.watch(EndpointSlice, "kube-system")) as events:
            async for event in events:
                if event.object.metadata.name == "kube-dns-n1":
                    return


async def known(served: Served, name: str) -> DNSRecord:
    for _ in range(500):
        answer = await served.ask(name)
        if answer.header.rcode == RCODE.NOERROR:
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} stays unknown")


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_service_is_answered_with_authority(served: Served, tcp: bool) -> None:
    answer = await served.ask("WEB.shop.svc.cluster.local.", tcp=tcp)
    assert [str(record.rdata) for record in answer.rr] == ["10.96.0.7"]
    assert answer.header.aa == 1
    assert str(answer.q.qname) == "WEB.shop.svc.cluster.local."  # the case asked for is given back


async def test_what_does_not_exist_is_denied_for_a_few_seconds(served: Served) -> None:
    answer = await served.ask("nothing.shop.svc.cluster.local")
    assert answer.header.rcode == RCODE.NXDOMAIN
    [soa] = answer.auth
    assert (soa.rtype, soa.ttl) == (QTYPE.SOA, 5)
    nodata = await served.ask("web.shop.svc.cluster.local", "AAAA")
    assert (nodata.header.rcode, nodata.rr, len(nodata.auth)) == (RCODE.NOERROR, [], 1)


async def test_a_new_service_is_known_at_once_though_it_was_denied(served: Served) -> None:
    assert (await served.ask("db.shop.svc.cluster.local")).header.rcode == RCODE.NXDOMAIN
    await served.client.create(service("db", "10.96.0.8"))
    assert [str(r.rdata) for r in (await known(served, "db.shop.svc.cluster.local")).rr] == ["10.96.0.8"]


async def test_an_answer_too_large_for_udp_is_cut_and_whole_over_tcp(served: Served) -> None:
    await served.client.create(service("many", "None"))
    endpoints = [endpoint(f"10.244.1.{n}") for n in range(1, 101)]
    await served.client.create(slice_of(*endpoints, service_name="many", name="many-1"))
    await known(served, "10-244-1-1.many.shop.svc.cluster.local")
    cut = await served.ask("many.shop.svc.cluster.local")
    assert (cut.header.tc, cut.rr) == (1, [])
    assert len((await served.ask("many.shop.svc.cluster.local", tcp=True)).rr) == 100


@pytest.mark.usefixtures("upstream")
async def test_other_names_are_asked_of_the_hosts_resolver(served: Served) -> None:
    assert [str(r.rdata) for r in (await served.ask("example.org")).rr] == ["203.0.113.5"]


@pytest.mark.usefixtures("upstream")
async def test_an_external_name_comes_with_its_address(served: Served) -> None:
    await served.client.create(service("out", "", type="ExternalName", externalName="example.org"))
    answer = await known(served, "out.shop.svc.cluster.local")
    assert [str(record.rdata) for record in answer.rr] == ["example.org.", "203.0.113.5"]
    assert [str(r.rdata) for r in (await served.ask("out.shop.svc.cluster.local", "CNAME")).rr] == ["example.org."]


async def test_without_an_answer_from_upstream_the_client_is_told(served: Served) -> None:
    assert (await served.ask("example.org")).header.rcode == RCODE.SERVFAIL


@pytest.mark.parametrize("message", [b"", b"\x00", b"\xff" * 40, bytes(12)])
async def test_hostile_bytes_are_dropped_and_the_next_question_answered(served: Served, message: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(message, ("127.0.0.1", served.port))
    assert (await served.ask("web.shop.svc.cluster.local")).rr
