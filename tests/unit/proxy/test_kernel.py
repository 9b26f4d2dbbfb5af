"""The rules with real packets: two pods, a client outside and the node itself, in network namespaces."""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.unit.network.namespaces import Namespace, ask, own_network, run
from tests.unit.proxy.cluster import CONFIG, endpoint, service, slice_of
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base import nft
from tiphys.proxy import conntrack
from tiphys.proxy.ledger import Ledger
from tiphys.proxy.ruleset import changes_script, full_script
from tiphys.proxy.services import items_of

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"),
]
BOTH = (endpoint("10.244.0.2"), endpoint("10.244.0.3"))


@dataclass
class Net:
    """pod-a 10.244.0.2 and pod-b 10.244.0.3 on the node's bridge; ``outside`` 192.168.7.2; the node is 192.168.7.1."""

    a: Namespace
    b: Namespace
    outside: Namespace
    ledger: Ledger

    async def want(self, wanted: Service, *slices: EndpointSlice, anew: bool = False) -> None:
        name = wanted.metadata.name or ""
        self.ledger.replace(("default", name), items_of(wanted, slices, CONFIG))
        if anew:
            await nft.apply(full_script(CONFIG, self.ledger.state()))
        else:
            await nft.apply(changes_script(CONFIG.table, self.ledger.changes()))
        self.ledger.accept()


@pytest.fixture
def net() -> Iterator[Net]:
    with own_network():
        run("sysctl -qw net.ipv4.ip_forward=1")
        run("ip link add br0 type bridge")
        run("ip addr add 10.244.0.1/24 dev br0")
        run("ip link set br0 up")
        run("ip route add 10.96.0.0/12 dev lo src 10.244.0.1")
        pods = Net(Namespace(), Namespace(), Namespace(), Ledger())
        pods.a.join("va", "br0", "10.244.0.2/24", "10.244.0.1")
        pods.b.join("vb", "br0", "10.244.0.3/24", "10.244.0.1")
        pods.outside.join("vo", "", "192.168.7.2/24", "192.168.7.1")
        run("ip addr add 192.168.7.1/24 dev vo")
        for pod, name in ((pods.a, "a"), (pods.b, "b")):
            pod.serve(8080, name)
            pod.serve(5353, name, socket.SOCK_DGRAM)
        try:
            yield pods
        finally:
            for namespace in (pods.a, pods.b, pods.outside):
                namespace.close()


async def test_a_cluster_address_reaches_every_endpoint_evenly(net: Net) -> None:
    await net.want(service(), slice_of(*BOTH), anew=True)
    answers = Counter(net.outside.ask("10.96.0.7", 80).split()[0] for _ in range(60))
    assert set(answers) == {"a", "b"}
    assert min(answers.values()) > 10
    assert ask("10.96.0.7", 80).split()[0] in "ab"  # from the node itself


async def test_a_pod_reaches_its_neighbour_and_itself(net: Net) -> None:
    await net.want(service(), slice_of(endpoint("10.244.0.3")), anew=True)
    # Its own address is kept on the way to a neighbour; back to itself it comes from the bridge.
    assert net.a.ask("10.96.0.7", 80) == "b 10.244.0.2"
    assert net.b.ask("10.96.0.7", 80) == "b 10.244.0.1"


async def test_clients_outside_the_cluster_come_with_the_nodes_address(net: Net) -> None:
    await net.want(service(), slice_of(endpoint("10.244.0.2")), anew=True)
    assert net.outside.ask("10.96.0.7", 80) == "a 10.244.0.1"


async def test_a_node_port_from_everywhere(net: Net) -> None:
    await net.want(service(ports=((80, 30080),), type="NodePort"), slice_of(endpoint("10.244.0.2")), anew=True)
    assert net.outside.ask("192.168.7.1", 30080) == "a 10.244.0.1"
    assert net.b.ask("192.168.7.1", 30080) == "a 10.244.0.1"
    assert ask("192.168.7.1", 30080) == "a 10.244.0.1"


async def test_local_external_traffic_keeps_its_source_and_stays_on_the_node(net: Net) -> None:
    wanted = service(ports=((80, 30080),), type="NodePort", externalTrafficPolicy="Local")
    here, there = endpoint("10.244.0.2"), endpoint("10.244.0.3", node="there")
    await net.want(wanted, slice_of(here, there), anew=True)
    assert {net.outside.ask("192.168.7.1", 30080) for _ in range(12)} == {"a 192.168.7.2"}
    # From inside the cluster any endpoint will do.
    inside = {net.a.ask("192.168.7.1", 30080).split()[0] for _ in range(30)}
    assert inside == {"a", "b"}
    await net.want(wanted, slice_of(there))
    assert net.outside.ask("192.168.7.1", 30080) == "silent"
    assert net.a.ask("192.168.7.1", 30080).split()[0] == "b"


async def test_local_internal_traffic_never_leaves_the_node(net: Net) -> None:
    wanted = service(internalTrafficPolicy="Local")
    await net.want(wanted, slice_of(endpoint("10.244.0.2"), endpoint("10.244.0.3", node="there")), anew=True)
    assert {net.b.ask("10.96.0.7", 80).split()[0] for _ in range(12)} == {"a"}
    await net.want(wanted, slice_of(endpoint("10.244.0.3", node="there")))
    assert net.a.ask("10.96.0.7", 80) == "silent"


async def test_no_endpoints_no_port_no_service(net: Net) -> None:
    wanted = service(ports=((80, 30080),), type="NodePort")
    await net.want(wanted, slice_of(), anew=True)
    assert net.a.ask("10.96.0.7", 80) == "refused"
    assert net.a.ask("10.96.0.7", 81) == "refused"
    assert net.outside.ask("192.168.7.1", 30080) == "refused"
    assert net.a.ask("10.96.0.8", 80) == "silent"
    assert ask("10.96.0.7", 80) == "refused"
    await net.want(wanted, slice_of(endpoint("10.244.0.2")))
    assert net.b.ask("10.96.0.7", 80) == "a 10.244.0.3"


async def test_external_and_balancer_addresses_with_source_ranges(net: Net) -> None:
    balancer = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}]}}
    wanted = service(
        type="LoadBalancer",
        externalIPs=["198.51.100.3"],
        loadBalancerSourceRanges=["192.168.7.0/24"],
        status=balancer,
    )
    await net.want(wanted, slice_of(endpoint("10.244.0.2")), anew=True)
    assert net.outside.ask("198.51.100.3", 80) == "a 10.244.0.1"
    assert net.outside.ask("203.0.113.9", 80) == "a 10.244.0.1"
    wanted.spec.load_balancer_source_ranges = ("192.168.8.0/24",)
    await net.want(wanted, slice_of(endpoint("10.244.0.2")))
    assert net.outside.ask("203.0.113.9", 80) == "silent"
    assert net.outside.ask("198.51.100.3", 80) == "a 10.244.0.1"


async def test_a_client_with_affinity_stays_where_it_was(net: Net) -> None:
    wanted = service(ports=((80, 30080),), type="NodePort", sessionAffinity="ClientIP")
    await net.want(wanted, slice_of(*BOTH), anew=True)
    [first] = {net.outside.ask("10.96.0.7", 80).split()[0] for _ in range(15)}
    assert {net.outside.ask("192.168.7.1", 30080).split()[0] for _ in range(15)} == {first}
    # Its endpoint goes: it moves, and stays there when the old one returns.
    other = endpoint("10.244.0.3" if first == "a" else "10.244.0.2")
    await net.want(wanted, slice_of(other))
    [second] = {net.outside.ask("10.96.0.7", 80).split()[0] for _ in range(5)}
    assert second != first
    await net.want(wanted, slice_of(*BOTH))
    assert {net.outside.ask("10.96.0.7", 80).split()[0] for _ in range(15)} == {second}
    # Without affinity every connection is drawn anew.
    await net.want(service(ports=((80, 30080),), type="NodePort"), slice_of(*BOTH))
    assert len({net.outside.ask("10.96.0.7", 80).split()[0] for _ in range(30)}) == 2


async def test_changes_and_a_table_made_anew_end_in_the_same_rules(net: Net) -> None:
    await net.want(service(), slice_of(endpoint("10.244.0.2")), anew=True)
    await net.want(service("db", "10.96.0.9", sessionAffinity="ClientIP"), slice_of(*BOTH, service_name="db"))
    await net.want(service(ports=((80, 30080),), type="NodePort"), slice_of(*BOTH))
    await net.want(service("db", "10.96.0.9"), slice_of(endpoint("10.244.0.9"), service_name="db"))
    by_changes = rules()
    await nft.apply(full_script(CONFIG, net.ledger.state()))
    assert rules() == by_changes
    net.ledger.replace(("default", "web"), {})
    net.ledger.replace(("default", "db"), {})
    await nft.apply(changes_script(CONFIG.table, net.ledger.changes()))
    empty = rules()
    await nft.apply(full_script(CONFIG, {}))
    assert rules() == empty


async def test_udp_flows_leave_an_endpoint_that_is_gone(net: Net) -> None:
    wanted = service("dns", ports=((53, 0),), protocol="UDP")
    both = [slice_of(e, service_name="dns", port=5353, port_name="p53", protocol="UDP") for e in BOTH]
    await net.want(wanted, anew=True)
    client = net.outside.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.settimeout(1)
        client.connect(("10.96.0.7", 53))
        # Begun while there is no endpoint, then endpoint after endpoint goes: always the same flow, same source port.
        with pytest.raises(OSError):
            client.send(b"?")
            client.recv(100)
        for slices, expected in (([both[0]], b"a"), ([both[1]], b"b"), ([both[0]], b"a")):
            net.ledger.replace(("default", "dns"), items_of(wanted, slices, CONFIG))
            changes = net.ledger.changes()
            await net.want(wanted, *slices)
            await conntrack.forget(conntrack.stale_flows(changes))
            client.send(b"?")
            assert client.recv(100).split()[0] == expected


def rules() -> list[str]:
    """The ruleset as a set of lines; nft prints a port's header as it last guessed it."""
    return sorted(line.replace("tcp dport", "th dport") for line in run("nft -s list ruleset").splitlines())
