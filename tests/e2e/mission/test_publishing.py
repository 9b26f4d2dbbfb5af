"""Applications published to clients outside of the cluster: each way in, on three hosts, seen from beside them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.mission.services import PORT, Servers, holder, pod


@pytest.fixture
def servers(hosts_cluster: HostsCluster, namespace: str) -> Servers:
    return Servers(hosts_cluster, namespace)


def node_port(service: dict[str, Any], name: str = "http") -> int:
    return int(next(port["nodePort"] for port in service["spec"]["ports"] if port.get("name") == name))


def test_a_node_port_is_open_on_every_host(servers: Servers) -> None:
    cluster = servers.cluster
    port = node_port(servers.publish("web", type="NodePort"))
    for host in cluster.names():
        address = cluster.address(host)
        eventually(lambda address=address: servers.who(address, port=port)[0], f"{host} answers", 10)
        found = {servers.who(address, port=port)[0] for _ in range(12)}
        assert len(found) > 1, "every host leads to the pods of others too"
        assert servers.who_in_pod("node-1", address, port)[0] in servers.names()


def test_with_external_policy_local_clients_keep_their_address(servers: Servers) -> None:
    cluster = servers.cluster
    servers.cluster.kubectl("label", "pod", servers.pod_name("node-2"), "-n", servers.namespace, "tier=one")
    chosen = {"selector": {"app": "web", "tier": "one"}}
    made = servers.publish("local", type="LoadBalancer", externalTrafficPolicy="Local", **chosen)
    port, health = node_port(made), made["spec"]["healthCheckNodePort"]
    near = cluster.address("node-2")
    eventually(lambda: servers.who(near, port=port)[0], "the pod's own host answers", 10)
    assert servers.who(near, port=port) == (servers.pod_name("node-2"), cluster.address("machine"))
    assert servers.who(cluster.address("node-1"), port=port)[0] == ""
    assert cluster.fetch(f"http://{near}:{health}/")[0] == 200
    assert cluster.fetch(f"http://{cluster.address('node-1')}:{health}/")[0] == 503
    address = eventually(lambda: servers.ingress("local"), "it has an address", 10)
    eventually(
        lambda: servers.who(address) == (servers.pod_name("node-2"), cluster.address("machine")),
        "the balancer's address leads there", 10,
    )  # fmt: skip


def test_a_load_balancer_answers_outside_and_on_its_ports_alone(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    address = servers.balanced("web")
    assert address.rpartition(".")[0] == cluster.address("machine").rpartition(".")[0]
    eventually(lambda: servers.who(address)[0], "it answers outside", 10)
    assert len({servers.who(address)[0] for _ in range(12)}) > 1
    assert servers.who_in_pod("node-3", address)[0] in servers.names()
    assert "refused" in servers.who(address, port=10250)[1]
    events = cluster.get("events", "-n", namespace)["items"]
    reasons = {event["reason"] for event in events if event["involvedObject"]["name"] == "web"}
    assert {"EnsuringLoadBalancer", "EnsuredLoadBalancer", "AddressAnnounced"} <= reasons
    asked_for = f"{address.rpartition('.')[0]}.220"
    other = servers.balanced("other", loadBalancerIP=asked_for, allocateLoadBalancerNodePorts=False)
    assert other == asked_for
    assert "nodePort" not in cluster.get("service", "other", "-n", namespace)["spec"]["ports"][0]
    cluster.kubectl("delete", "service", "web", "other", "-n", namespace, "--timeout=20s")
    assert servers.who(address)[0] == ""
    servers.publish("foreign", type="LoadBalancer", loadBalancerClass="example.com/other")
    assert servers.balanced("again") == address, "addresses return to the pool"
    assert servers.ingress("foreign") == ""


def test_source_ranges_keep_others_out(servers: Servers) -> None:
    outside = servers.cluster.address("machine")
    address = servers.balanced("web", loadBalancerSourceRanges=["192.0.2.0/24"])
    time.sleep(1)
    assert servers.who(address)[0] == ""
    servers.publish("web", type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24", f"{outside}/32"])
    eventually(lambda: servers.who(address)[0], "those named come in", 10)


def test_the_address_moves_when_its_host_dies(whole_hosts: HostsCluster, servers: Servers) -> None:
    address = servers.balanced("web")
    eventually(lambda: servers.who(address)[0], "it answers", 10)
    first = holder(whole_hosts, address)
    whole_hosts.stop(first)
    died = time.monotonic()
    rest = {servers.pod_name(host) for host in servers.pods if host != first}
    eventually(lambda: servers.who(address)[0] in rest, "another host answers", 15)
    assert time.monotonic() - died < 8
    whole_hosts.start(first)
    eventually(lambda: all(servers.who(address)[0] for _ in range(10)), "it answers while the host is back", 30)


def test_the_address_moves_when_its_host_is_cut_off(whole_hosts: HostsCluster, servers: Servers) -> None:
    address = servers.balanced("web", externalTrafficPolicy="Local")
    eventually(lambda: len(set(settled(whole_hosts, address))) == 1, "one host answers", 10)
    first = holder(whole_hosts, address)
    assert servers.who(address)[0] == servers.pod_name(first)
    whole_hosts.partition(first)
    rest = {servers.pod_name(host) for host in servers.pods if host != first}
    eventually(lambda: servers.who(address)[0] in rest, "another host answers", 8)
    whole_hosts.heal(first)
    # Both believe it theirs for a moment: one yields, the other says so again.
    eventually(lambda: servers.who(address)[0] == servers.pod_name(first), "it is back where it belongs", 30)
    assert all(servers.who(address)[0] for _ in range(5))


def settled(cluster: HostsCluster, address: str) -> Iterator[str]:
    """Who answers for the address, for two seconds."""
    for _ in range(4):
        yield holder(cluster, address)
        time.sleep(0.5)


def test_external_addresses_and_host_ports(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    external = f"{cluster.address('machine').rpartition('.')[0]}.99"
    servers.publish("external", externalIPs=[external])
    cluster.on("machine", "ip", "route", "add", f"{external}/32", "via", cluster.address("node-2"))
    try:
        eventually(lambda: servers.who(external)[0] in servers.names(), "the external address answers", 10)
    finally:
        cluster.on("machine", "ip", "route", "del", f"{external}/32")
    ports = [{"containerPort": PORT, "hostPort": 8099, "name": "http"}]
    cluster.apply(pod("bound", container={"ports": ports}, nodeName="node-3"), namespace)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/bound", "-n", namespace, "--timeout=30s")
    address = cluster.address("node-3")
    eventually(lambda: servers.who(address, port=8099)[0] == "bound", "the host's port leads to the pod", 10)
    assert servers.who_in_pod("node-1", address, 8099)[0] == "bound"
    assert servers.who(cluster.address("node-1"), port=8099)[0] == ""


def test_udp_clients_follow_when_their_endpoint_moves(hosts_cluster: HostsCluster, namespace: str) -> None:
    """The same socket is the same flow for the kernel, whose memory of it must go with the endpoint."""
    cluster, number = hosts_cluster, 5300
    ports = [{"name": "http", "port": 53, "targetPort": number, "protocol": "UDP"}]
    spec = {"type": "NodePort", "ports": ports}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "names"}, "spec": spec}, namespace)
    port = node_port(cluster.get("service", "names", "-n", namespace))
    with contextlib.ExitStack() as running, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for host in ("node-1", "node-3"):
            command = ["nsenter", f"--net={cluster.namespace_path(host)}", sys.executable, "-I", "-c", UDP_SERVER]
            server = running.enter_context(subprocess.Popen([*command, str(number), host]))
            running.callback(server.kill)
        client.settimeout(0.3)
        client.connect((cluster.address("node-2"), port))
        for host in ("node-1", "node-3", "node-1"):
            cluster.apply(udp_endpoint(cluster.address(host), number), namespace)
            eventually(lambda host=host: asked(client) == host, f"{host} answers the same client", 10)


UDP_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
while True:
    server.sendto(sys.argv[2].encode(), server.recvfrom(100)[1])
"""


def asked(client: socket.socket) -> str:
    try:
        client.send(b"?")
        return client.recv(100).decode()
    except OSError:
        return ""


def udp_endpoint(address: str, port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "names-1", "labels": {"kubernetes.io/service-name": "names"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "http", "port": port, "protocol": "UDP"}],
    }


@pytest.fixture(autouse=True)
def _calm(hosts_cluster: HostsCluster) -> Iterator[None]:
    """Each test begins with all nodes Ready."""
    eventually(lambda: all(hosts_cluster.ready().values()), "all nodes are Ready", 60)
    yield
