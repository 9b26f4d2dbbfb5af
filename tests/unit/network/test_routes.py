"""Pods of different hosts talk: real packets between network namespaces on one link."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.network.hosts import Host, node
from tests.unit.network.namespaces import ask, own_network, run
from tiphys.api.types.core_v1 import Node
from tiphys.base import nft

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"),
]


IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2


def eventually(true: Callable[[], bool], timeout_seconds: float = 8.0) -> None:
    end = time.monotonic() + timeout_seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def ask_whole(address: str, port: int, size_bytes: int) -> str:
    """Send one datagram that may not be cut."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        client.settimeout(2)
        client.sendto(b"x" * size_bytes, (address, port))
        return client.recv(200).decode()


def nodes(hosts: list[Host]) -> list[Node]:
    return [node(host.name, host.pod_cidr, host.address) for host in hosts if host.is_node]


@pytest.fixture(params=["vxlan", "routes"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def hosts(tmp_path: Path, backend: str) -> Iterator[list[Host]]:
    """Three nodes and a control-plane host (the last), on a bridge whose own address 172.20.0.1 is outside."""
    with own_network():
        run("ip link add under type bridge")
        run("ip addr add 172.20.0.1/24 dev under")
        run("ip link set under up")
        made = [Host(n, tmp_path, backend=backend, is_node=n < 9) for n in (2, 3, 4, 9)]
        started = []
        try:
            for host in made:
                host.start("under")
                started.append(host)
            for host in made:
                host.learn(*nodes(made))
            yield made
        finally:
            for host in started:
                host.close()


def reaches(one: Host, other: Host) -> Callable[[], bool]:
    return lambda: one.pod.ask(other.pod_address, 8080) == f"pod-{other.name} {one.pod_address}"


def test_pods_reach_pods_of_other_hosts_with_their_own_addresses(hosts: list[Host]) -> None:
    a, b, c, server = hosts
    for one, other in ((a, b), (b, a), (a, c), (c, b)):
        eventually(reaches(one, other))
    # Nodes reach remote pods, and so does a host that only has a control plane.
    assert a.ask(b.pod_address, 8080).startswith(f"pod-{b.name} ")
    eventually(lambda: server.ask(b.pod_address, 8080) == f"pod-{b.name} {server.address}")
    # Pods reach other nodes, and what is outside, from their own node's address.
    assert a.pod.ask(b.address, 9000) == f"{b.name} {a.address}"
    assert a.pod.ask(server.address, 9000) == f"{server.name} {a.address}"


def test_large_packets_fit(hosts: list[Host], backend: str) -> None:
    a, b, *_ = hosts
    eventually(reaches(a, b))
    size_bytes = 1450 if backend == "vxlan" else 1500
    assert a.pod.call(lambda: ask_whole(b.pod_address, 5353, size_bytes - 28)).startswith(f"pod-{b.name}")
    assert f"mtu {size_bytes}" in a.run(f"ip link show tiphys-{a.config.cluster_id}")


def test_what_others_delete_is_repaired(hosts: list[Host], backend: str) -> None:
    a, b, *_ = hosts
    eventually(reaches(a, b))
    broken = [f"ip route del {b.pod_cidr}"]
    if backend == "vxlan":
        name = a.config.tunnel_name
        broken += [
            f"ip neigh del 10.244.{b.number}.0 dev {name}",
            f"bridge fdb del 02:54:0a:f4:{b.number:02x}:00 dev {name}",
            f"ip link set {name} down",
            f"ip link del {name}",
        ]
    for command in broken:
        a.run(command)
        eventually(reaches(a, b))


def test_a_restart_keeps_what_is_right_and_removes_what_is_not(hosts: list[Host]) -> None:
    a, b, c, _ = hosts
    eventually(reaches(a, b))
    before = a.run(f"ip route show {b.pod_cidr}")
    a.do(a._end_routes())
    a.learn(*(n for n in nodes(hosts) if n.metadata.name != c.name))
    a.do(a._run_routes())
    eventually(lambda: not a.run(f"ip route show {c.pod_cidr}"))
    assert a.run(f"ip route show {b.pod_cidr}") == before
    assert reaches(a, b)()


def test_a_range_moves_to_another_node_and_a_node_to_another_address(hosts: list[Host], backend: str) -> None:
    a, b, c, _ = hosts
    eventually(reaches(a, c))
    # Node c goes, and a new node with b's address gets its range.
    moved = [node("node-9", c.pod_cidr, b.address, "2027-01-01T00:00:00Z") if n.metadata.name == c.name else n
             for n in nodes(hosts)]  # fmt: skip
    a.learn(*moved)
    leads = f"bridge fdb show dev {a.config.tunnel_name}" if backend == "vxlan" else f"ip route show {c.pod_cidr}"
    eventually(lambda: c.address not in a.run(leads))
    assert b.address in a.run(leads)
    c.run("ip addr add 172.20.0.44/24 dev eth0")
    a.learn(*(node(c.name, c.pod_cidr, "172.20.0.44") if n.metadata.name == c.name else n for n in nodes(hosts)))
    eventually(reaches(a, c))


def test_cleanup_leaves_nothing(hosts: list[Host]) -> None:
    a, b, _, server = hosts
    eventually(reaches(a, b))
    for host in (a, server):
        host.do(host._end_routes())
        host.do(host.network.cleanup())
        host.do(host.network.cleanup())
        assert "10.244" not in host.run("ip route show")
        assert "tvxlan" not in host.run("ip link show")
        host.do(host._run_routes())


def test_masquerading_on_a_node_port_comes_back_through_the_tunnel(hosts: list[Host], backend: str) -> None:
    """A packet from outside, sent on to another node's pod, leaves with an address whose answer comes back here."""
    a, b, *_ = hosts
    eventually(reaches(a, b))
    rules = "add table ip t\nadd chain ip t pre { type nat hook prerouting priority dstnat; }\n"
    rules += "add chain ip t post { type nat hook postrouting priority srcnat; }\n"
    rules += f"add rule ip t pre tcp dport 30080 dnat to {b.pod_address}:8080\n"
    rules += f"add rule ip t post ip daddr {b.pod_address} masquerade\n"
    a.do(nft.apply(rules))
    answer = ask(a.address, 30080)
    assert answer.startswith(f"pod-{b.name} ")
    assert answer.split()[1] == (f"10.244.{a.number}.0" if backend == "vxlan" else a.address)
