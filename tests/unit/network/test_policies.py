"""NetworkPolicies with real packets: three pods on a bridge and a client outside, under policies of all kinds."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.network.namespaces import Namespace, ask, own_network, run
from tiphys.api.codec import from_dict
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Namespace as NamespaceObject
from tiphys.api.types.core_v1 import Pod, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.networking_v1 import NetworkPolicy
from tiphys.base import nft
from tiphys.client import Client
from tiphys.network import sysctl
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.policies import NetworkPolicies
from tiphys.network.policy_rules import compile_rules, directions, script
from tiphys.testing.control_plane import control_plane

TABLE = "tiphys-policies-test"
ADDRESSES = {"a": "10.244.0.2", "b": "10.244.0.3", "c": "10.244.0.4"}
NAMESPACES = {"a": "x", "b": "x", "c": "y"}
OUTSIDE = "192.168.7.2"

kernel = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")


def pods() -> list[Pod]:
    ports = [{"name": "main", "image": "any", "ports": [{"name": "http", "containerPort": 8080}]}]
    return [
        from_dict(
            Pod,
            {
                "metadata": {"name": name, "namespace": NAMESPACES[name], "labels": {"app": name}},
                "spec": {"nodeName": "here", "containers": ports},
                "status": {"phase": "Running", "podIP": address},
            },
        )
        for name, address in ADDRESSES.items()
    ]


def namespaces() -> list[NamespaceObject]:
    return [from_dict(NamespaceObject, {"metadata": {"name": n, "labels": {"team": n}}}) for n in "xy"]


def policy(name: str = "p", *, namespace: str = "x", select: str = "", **spec: Any) -> NetworkPolicy:
    selector = {"matchLabels": {"app": select}} if select else {}
    meta = {"name": name, "namespace": namespace}
    return from_dict(NetworkPolicy, {"metadata": meta, "spec": {"podSelector": selector, **spec}})


@dataclass
class Net:
    places: dict[str, Namespace]

    async def enforce(self, *policies: NetworkPolicy) -> None:
        await nft.apply(script(TABLE, compile_rules(policies, pods(), namespaces(), "here")))

    def reaches(self, frm: str, to: str, port: int = 8080) -> bool:
        address = ADDRESSES.get(to, OUTSIDE)
        answer = self.places[frm].ask(address, port) if frm != "node" else ask(address, port)
        return answer not in ("silent", "refused")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with own_network():
        sysctl.ensure(tmp_path / "before.json")
        run("ip link add br0 type bridge")
        run("ip addr add 10.244.0.1/24 dev br0")
        run("ip link set br0 up")
        made = Net({name: Namespace() for name in (*ADDRESSES, "outside")})
        for name, address in ADDRESSES.items():
            made.places[name].join(f"v{name}", "br0", f"{address}/24", "10.244.0.1")
            for port in (8080, 9090):
                made.places[name].serve(port, name)
        made.places["outside"].join("vo", "", f"{OUTSIDE}/24", "192.168.7.1")
        run("ip addr add 192.168.7.1/24 dev vo")
        made.places["outside"].serve(8080, "outside")
        try:
            yield made
        finally:
            for place in made.places.values():
                place.close()


@pytest.mark.root
@kernel
async def test_isolated_pods_take_nothing_but_from_their_node(net: Net) -> None:
    await net.enforce()
    assert net.reaches("c", "a")
    await net.enforce(policy())
    assert not net.reaches("c", "a")
    assert not net.reaches("b", "a")
    assert not net.reaches("outside", "a")
    assert net.reaches("node", "a")
    assert net.reaches("a", "c"), "answers pass"
    assert net.reaches("a", "outside")
    assert net.reaches("b", "c"), "pods of other namespaces are not isolated"


@pytest.mark.root
@kernel
async def test_who_is_let_in(net: Net) -> None:
    own = {"podSelector": {"matchLabels": {"app": "b"}}}
    await net.enforce(policy(select="a", ingress=[{"from": [own]}]))
    assert net.reaches("b", "a")
    assert not net.reaches("c", "a")
    assert net.reaches("c", "b"), "it is not selected"
    other = {"namespaceSelector": {"matchLabels": {"team": "y"}}}
    await net.enforce(policy(select="a", ingress=[{"from": [other]}]))
    assert net.reaches("c", "a")
    assert not net.reaches("b", "a")
    both = other | {"podSelector": {"matchLabels": {"app": "none"}}}
    await net.enforce(policy(select="a", ingress=[{"from": [both]}]))
    assert not net.reaches("c", "a")
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.0.4/32"]}}
    await net.enforce(policy(select="a", ingress=[{"from": [block]}]))
    assert net.reaches("outside", "a")
    assert net.reaches("b", "a")
    assert not net.reaches("c", "a")
    await net.enforce(policy("p", select="a"), policy("q", ingress=[{}]))
    assert net.reaches("outside", "a"), "policies add up"


@pytest.mark.root
@kernel
async def test_ports_by_number_name_and_range(net: Net) -> None:
    for port in (8080, "http"):
        await net.enforce(policy(select="a", ingress=[{"ports": [{"port": port, "protocol": "TCP"}]}]))
        assert net.reaches("c", "a", 8080)
        assert not net.reaches("c", "a", 9090)
    await net.enforce(policy(select="a", ingress=[{"ports": [{"port": 9000, "endPort": 9100}]}]))
    assert net.reaches("c", "a", 9090)
    assert not net.reaches("c", "a", 8080)
    await net.enforce(policy(select="a", ingress=[{"ports": [{"protocol": "UDP"}]}]))
    assert not net.reaches("c", "a")


@pytest.mark.root
@kernel
async def test_where_pods_may_go(net: Net) -> None:
    await net.enforce(policy(select="a", policyTypes=["Egress"]))
    assert not net.reaches("a", "b")
    assert not net.reaches("a", "outside")
    assert net.reaches("b", "a"), "who may come is another matter"
    named = {"ports": [{"port": "http"}], "to": [{"podSelector": {"matchLabels": {"app": "b"}}}]}
    await net.enforce(policy(select="a", policyTypes=["Egress"], egress=[named]))
    assert net.reaches("a", "b", 8080)
    assert not net.reaches("a", "b", 9090)
    assert not net.reaches("a", "c")
    # Both sides have a say.
    await net.enforce(policy("out", select="a", policyTypes=["Egress"], egress=[named]), policy("in", select="b"))
    assert not net.reaches("a", "b", 8080)


@pytest.mark.root
@kernel
async def test_the_table_follows_policies_and_goes_with_the_last(net: Net, tmp_path: Path) -> None:
    async with control_plane() as plane:
        for namespace in namespaces():
            await plane.client.create(namespace)
            account = ObjectMeta(name="default", namespace=namespace.metadata.name)
            await plane.client.create(ServiceAccount(metadata=account))
        for pod in pods():
            made = await create_when_admitted(plane.client, pod)
            made.status = pod.status
            await plane.client.update_status(made)
        config = NodeNetworkConfig("test", "10.244.0.0/16", tmp_path, tmp_path, node_name="here")
        enforcer = NetworkPolicies(plane.client, config)
        running = asyncio.create_task(enforcer.run())
        try:
            await settled(enforcer)
            assert not await nft.table_exists("ip", TABLE)
            await plane.client.create(policy(select="a"))
            await settled(enforcer)
            assert not net.reaches("b", "a")
            run(f"nft delete table ip {TABLE}")
            while await asyncio.to_thread(net.reaches, "b", "a"):  # noqa: ASYNC110 (another process is waited for)
                await asyncio.sleep(0.05)
            await plane.client.delete(NetworkPolicy, "p", "x")
            await settled(enforcer)
            assert not await nft.table_exists("ip", TABLE)
            assert net.reaches("b", "a")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def create_when_admitted(client: Client, pod: Pod) -> Pod:
    """The server hears of a new ServiceAccount a moment after it was made."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await client.create(pod)
            except ApiError:
                await asyncio.sleep(0.02)


async def settled(enforcer: NetworkPolicies) -> None:
    async with asyncio.timeout(10):
        await asyncio.sleep(0.1)
        await enforcer.synced.wait()


def test_what_a_policy_isolates_when_it_does_not_say() -> None:
    assert directions(policy()) == ("Ingress",)
    assert directions(policy(egress=[{}])) == ("Ingress", "Egress")
    assert directions(policy(policyTypes=["Egress"])) == ("Egress",)


def test_pods_that_packets_do_not_tell_apart_are_left_out() -> None:
    found = pods()
    found[0].spec.host_network = True
    found[1].status.phase = "Succeeded"
    found[2].spec.node_name = "elsewhere"
    rules = compile_rules([policy(), policy(namespace="y")], found, namespaces(), "here")
    assert not rules.ingress
