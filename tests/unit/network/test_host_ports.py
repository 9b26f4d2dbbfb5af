"""Which host ports there are, and real packets through them."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from tests.unit.network.namespaces import Namespace, ask, own_network, run
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Pod
from tiphys.base import nft
from tiphys.network.host_ports import HostPort, host_ports, script


def pod(name: str, ip: str, *ports: dict[str, Any], created: str = "2026-01-01T00:00:00Z", **spec: Any) -> Pod:
    wire = {
        "metadata": {"name": name, "uid": name, "creationTimestamp": created},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": list(ports)}], **spec},
        "status": {"podIP": ip, "phase": "Running"},
    }
    return from_dict(Pod, wire)


def test_ports_by_protocol_and_address() -> None:
    ports = (
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "192.168.7.1"},
        {"containerPort": 81, "hostPort": 8081, "hostIP": "0.0.0.0"},
        {"containerPort": 9},
    )
    assert host_ports([pod("a", "10.244.0.2", *ports)]) == [
        HostPort("", "tcp", 8080, "10.244.0.2", 80),
        HostPort("", "tcp", 8081, "10.244.0.2", 81),
        HostPort("192.168.7.1", "udp", 53, "10.244.0.2", 53),
    ]


def test_a_sidecar_has_ports_and_an_init_container_none() -> None:
    init = [
        {"name": "s", "image": "i", "restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 1}]},
        {"name": "i", "image": "i", "ports": [{"containerPort": 2, "hostPort": 2}]},
    ]
    assert [p.port for p in host_ports([pod("a", "10.244.0.2", initContainers=init)])] == [1]


@pytest.mark.parametrize("change", ["no address", "host network", "ended"])
def test_pods_without_ports_of_their_own(change: str) -> None:
    one = pod("a", "10.244.0.2", {"containerPort": 80, "hostPort": 8080})
    if change == "no address":
        one.status.pod_ip = None
    elif change == "host network":
        one.spec.host_network = True
    else:
        one.status.phase = "Succeeded"
    assert host_ports([one]) == []


def test_the_older_pod_keeps_a_port() -> None:
    port = {"containerPort": 80, "hostPort": 8080}
    young = pod("a", "10.244.0.3", port, created="2026-01-02T00:00:00Z")
    assert [p.pod_address for p in host_ports([young, pod("b", "10.244.0.2", port)])] == ["10.244.0.2"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")
async def test_packets_reach_the_pod() -> None:
    with own_network():
        run("sysctl -qw net.ipv4.ip_forward=1")
        run("ip link add br0 type bridge")
        run("ip addr add 10.244.0.1/24 dev br0")
        run("ip link set br0 up")
        inside, outside = Namespace(), Namespace()
        try:
            inside.join("va", "br0", "10.244.0.2/24", "10.244.0.1")
            outside.join("vo", "", "192.168.7.2/24", "192.168.7.1")
            run("ip addr add 192.168.7.1/24 dev vo")
            run("ip addr add 192.168.7.3/24 dev vo")
            inside.serve(80, "pod")
            ports = (
                {"containerPort": 80, "hostPort": 8080},
                {"containerPort": 80, "hostPort": 8081, "hostIP": "192.168.7.3"},
            )
            await nft.apply(script("t", host_ports([pod("a", "10.244.0.2", *ports)])))
            assert outside.ask("192.168.7.1", 8080) == "pod 192.168.7.2"
            assert ask("192.168.7.1", 8080) == "pod 192.168.7.1"
            assert inside.ask("192.168.7.1", 8080) == "pod 10.244.0.1"
            assert outside.ask("192.168.7.3", 8081) == "pod 192.168.7.2"
            assert outside.ask("192.168.7.1", 8081) == "refused"
            await nft.apply(script("t", []))
            assert outside.ask("192.168.7.1", 8080) == "refused"
        finally:
            inside.close()
            outside.close()
