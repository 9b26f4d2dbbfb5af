"""DNS: queries answered a second over UDP on loopback, one client, the server in a process of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
import time

from dnslib import DNSRecord

from bench.report import Report, Row
from bench.server import free_port
from tests.unit.dns.services import endpoint, service, slice_of
from tiphys.dns.config import DnsConfig
from tiphys.dns.server import DnsServer
from tiphys.testing.control_plane import control_plane

NAMES = 1_000
IN_FLIGHT = 64
SECONDS = 4.0
ROUNDS = 2
DEADLINE_SECONDS = 30


async def run(report: Report) -> None:
    """The best of two rounds, as the client takes one of the cores and others may want them."""
    port = free_port()
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.dns", str(port))
    try:
        figure = await asyncio.to_thread(_best, port)
    finally:
        server.terminate()
        await server.wait()
    report.add(Row(f"DNS over UDP, {NAMES:,} names, one client", figure, "queries/s", 33_000, 33_000))


def _best(port: int) -> float:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", port))
        queries = [bytes(DNSRecord.question(f"svc-{i}.shop.svc.cluster.local").pack()) for i in range(NAMES)]
        _wait_answer(client, queries[0])
        client.settimeout(5)
        return max(_per_second(client, queries) for _ in range(ROUNDS))


def _wait_answer(client: socket.socket, query: bytes) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < until:
        try:
            client.send(query)
            answer = DNSRecord.parse(client.recv(4096))
        except (TimeoutError, ConnectionRefusedError):
            time.sleep(0.05)
            continue
        if not answer.rr:
            raise RuntimeError(f"the server did not answer well: {answer}")
        return
    raise TimeoutError(f"no DNS answer after {DEADLINE_SECONDS} s")


def _per_second(client: socket.socket, queries: list[bytes]) -> float:
    """Answers a second with a window of `IN_FLIGHT` questions, each answer followed by the next question."""
    for query in queries[:IN_FLIGHT]:
        client.send(query)
    answered, started = 0, time.monotonic()
    while (took := time.monotonic() - started) < SECONDS:
        for query in queries:
            client.recv(4096)
            client.send(query)
        answered += len(queries)
    for _ in range(IN_FLIGHT):
        client.recv(4096)
    return answered / took


async def _serve(port: int) -> None:
    async with control_plane() as plane:
        server = DnsServer(plane.client, DnsConfig(node_name="bench"))
        for index in range(NAMES):
            name = f"svc-{index}"
            piece = slice_of(endpoint(f"10.244.{index // 250}.{index % 250 + 1}"), service_name=name)
            found = service(name, f"10.96.{index // 250 + 1}.{index % 250 + 1}")
            server.resolver.zone.update(("shop", name), found, [piece])
        async with server.listening("127.0.0.1", port):
            await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
