"""Packets between hosts, each a network namespace on one bridge: the bare link against pods and Services.

Sender and receiver are processes in the hosts' and pods' namespaces; routes, tunnel and rules are the product's own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench.report import Report, Row
from tests.unit.network.hosts import node
from tests.unit.network.namespaces import Namespace, own_network
from tests.unit.network.namespaces import run as shell
from tests.unit.network.test_routes import eventually
from tests.unit.proxy.test_hosts import Served, publish, service
from tiphys.network.topology import DIRECT, VXLAN

SECONDS = 2.0
ROUNDS = 3
"""Each way is measured in turn with the bare link, so often: a busy machine slows all of them alike."""
BULK_PORT, BARE_PORT, NODE_PORT = 8080, 9001, 30080

# Sends from memory without copying, and throws away what arrives: what is measured is the way between.
_SENDER = """
import os, socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
data = os.memfd_create("data")
os.write(data, bytes(1 << 20))
sent = 0
with socket.create_connection((address, port), timeout=5) as connection:
    connection.settimeout(None)
    connection.send(b"B")
    end = time.monotonic() + seconds
    started = time.monotonic()
    while time.monotonic() < end:
        sent += os.sendfile(connection.fileno(), data, 0, 1 << 20)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(sent * 8 / (time.monotonic() - started) / 1e9)
"""
_CALLER = """
import socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
count, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    with socket.create_connection((address, port), timeout=5) as connection:
        connection.send(b"?")
        connection.recv(100)
    count += 1
print(count / seconds)
"""
_SERVER = """
import socket, sys, threading
server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=512)
print("listening", flush=True)
def bulk(connection):
    while connection.recv(1 << 20, socket.MSG_TRUNC):
        pass
    connection.send(b".")
    connection.close()
while True:
    connection, _ = server.accept()
    if connection.recv(1) == b"B":
        threading.Thread(target=bulk, args=(connection,), daemon=True).start()
    else:
        connection.send(b"!")
        connection.close()
"""


def _inside(place: Namespace | None, script: str, *arguments: str) -> list[str]:
    """The command of a script in a namespace; None is this thread's own."""
    enter = ["nsenter", f"--net=/proc/{os.getpid()}/task/{place.id}/ns/net"] if place else []
    return [*enter, sys.executable, "-I", "-c", script, *arguments]


class _Way(NamedTuple):
    """From a namespace (None: this thread's) to an address."""

    name: str
    place: Namespace | None
    address: str
    port: int

    def answers(self) -> bool:
        command = _inside(self.place, _CALLER, self.address, str(self.port), "0.01")
        return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _measure(script: str, way: _Way) -> float:
    command = _inside(way.place, script, way.address, str(way.port), str(SECONDS))
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def _serve(place: Namespace, port: int) -> subprocess.Popen[str]:
    started = subprocess.Popen(_inside(place, _SERVER, str(port)), stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "listening\n"
    return started


async def run(report: Report) -> None:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        report.skip("network", "needs root and nft")
        return
    await asyncio.to_thread(_run, report)


class _Quiet(Served):
    """A host whose pod serves nothing of the tests'."""

    def _serve_pod(self) -> None:
        return


def _run(report: Report) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for backend in (DIRECT, VXLAN):
            with own_network():
                shell("ip link add under type bridge")
                shell("ip addr add 172.20.0.1/24 dev under")
                shell("ip link set under up")
                hosts = [_Quiet(number, Path(folder) / backend, backend=backend) for number in (2, 3)]
                servers: list[subprocess.Popen[str]] = []
                try:
                    for host in hosts:
                        host.start("under")
                    for host in hosts:
                        host.learn(*(node(h.name, h.pod_cidr, h.address) for h in hosts))
                    _rows(report, hosts, backend, servers)
                finally:
                    for server in servers:
                        server.kill()
                        server.wait()
                    for host in hosts:
                        host.close()


def _rows(report: Report, hosts: list[_Quiet], backend: str, servers: list[subprocess.Popen[str]]) -> None:
    one, other = hosts
    servers += [_serve(other.pod, BULK_PORT), _serve(other.place, BARE_PORT)]
    publish(hosts, service(), other)  # type: ignore[arg-type]
    ways = [
        _Way("host to host on the bare link", one.place, other.address, BARE_PORT),
        _Way("pod to pod of another host", one.pod, other.pod_address, BULK_PORT),
        _Way("pod to another host's pod by ClusterIP", one.pod, "10.96.0.7", 80),
        _Way("outside to another host's pod by NodePort", None, one.address, NODE_PORT),
    ]
    for way in ways:
        eventually(way.answers)
    rounds = [[_measure(_SENDER, way) for way in ways] for _ in range(ROUNDS)]
    figures = [statistics.median(figures) for figures in zip(*rounds, strict=True)]
    for way, figure in zip(ways, figures, strict=True):
        share = f", {100 * figure / figures[0]:.0f}% of the bare link" if way is not ways[0] else ""
        report.add(Row(f"network, {backend}: {way.name}, one TCP stream{share}", figure, "Gbit/s"))
    if backend == DIRECT:
        for way in ways:
            report.add(Row(f"network: connections one after another, {way.name}", _measure(_CALLER, way), "/s"))
