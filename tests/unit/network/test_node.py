"""A node's network made and taken back, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.network.namespaces import own_network, run
from tiphys.network import cni, links
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.node import NodeNetwork

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"),
]


def config(folder: Path, cluster_id: str = "0badcafe") -> NodeNetworkConfig:
    return NodeNetworkConfig(
        cluster_id=cluster_id,
        cluster_cidr="10.244.0.0/16",
        service_cidr="10.96.0.0/12",
        cni_conf_dir=folder / cluster_id / "net.d",
        state_dir=folder / cluster_id / "state",
        host_state_dir=folder / "run",
    )


def host() -> list[str]:
    commands = (
        "nft list ruleset",
        "ip -o link",
        "ip -o addr",
        "ip route",
        "sysctl net.ipv4.ip_forward net.ipv4.conf.all.send_redirects",
    )
    return [run(command) for command in commands]


@pytest.fixture
def empty_host() -> Iterator[None]:
    """A host without a default route, like a laptop on a plane."""
    with own_network():
        yield


@pytest.mark.usefixtures("empty_host")
async def test_a_network_is_made_and_leaves_nothing(tmp_path: Path) -> None:
    before = host()
    network = NodeNetwork(config(tmp_path))
    await network.ensure("10.244.3.0/24")
    assert "inet 10.244.3.1/24" in run("ip addr show tiphys-0badcafe")
    assert run("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert "ip saddr 10.244.3.0/24" in run("nft list ruleset")
    assert "src 10.244.3.1" in run("ip route get 10.96.0.1")
    [conflist] = (tmp_path / "0badcafe" / "net.d").iterdir()
    assert json.loads(conflist.read_text())["plugins"][0]["ipam"]["ranges"] == [
        [{"subnet": "10.244.3.0/24", "gateway": "10.244.3.1"}]
    ]
    await network.cleanup()
    await network.cleanup()
    assert host() == before


@pytest.mark.usefixtures("empty_host")
async def test_it_repairs_what_is_amiss_and_follows_a_new_range(tmp_path: Path) -> None:
    network = NodeNetwork(config(tmp_path))
    await network.ensure("10.244.3.0/24")
    made = host()
    run("nft flush ruleset")
    run("ip link set tiphys-0badcafe down")
    await network.ensure("10.244.3.0/24")
    assert host()[1:] == made[1:]
    await network.ensure("10.244.9.0/24")
    assert "10.244.3." not in "".join(host())


@pytest.mark.usefixtures("empty_host")
async def test_two_clusters_side_by_side(tmp_path: Path) -> None:
    before = host()
    first, second = NodeNetwork(config(tmp_path)), NodeNetwork(config(tmp_path, "0000beef"))
    await first.ensure("10.244.3.0/24")
    await second.ensure("10.245.3.0/24")
    await first.cleanup()
    # The other's pods still need the host to forward.
    assert run("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert "tiphys-0000beef" in run("ip link")
    await second.cleanup()
    assert host() == before
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("empty_host")
async def test_deleting_a_bridge_deletes_what_hangs_on_it() -> None:
    await links.ensure_bridge("tiphys-0badcafe", "10.244.3.1", "10.244.3.0/24", 0)
    run("ip link add pod type veth peer name far")
    run("ip link set pod master tiphys-0badcafe")
    await links.delete_bridge("tiphys-0badcafe")
    await links.delete_bridge("tiphys-0badcafe")
    assert "far" not in run("ip link")


def test_the_mtu_is_the_uplinks(tmp_path: Path) -> None:
    [bridge] = json.loads(cni.conflist("x", "10.244.3.0/24", tmp_path, 1400))["plugins"]
    assert bridge["mtu"] == 1400
    [bridge] = json.loads(cni.conflist("x", "10.244.3.0/24", tmp_path, 0))["plugins"]
    assert "mtu" not in bridge


@pytest.mark.usefixtures("empty_host")
@pytest.mark.skipif(shutil.which("iptables") is None, reason="needs iptables")
async def test_a_firewall_that_forwards_nothing_lets_pods_through(tmp_path: Path) -> None:
    run("iptables -P FORWARD DROP")
    before = host()
    network = NodeNetwork(config(tmp_path))
    await network.ensure("10.244.3.0/24")
    await network.ensure("10.244.3.0/24")
    rules = run("iptables -S FORWARD")
    assert rules.count("-i tiphys-0badcafe") == rules.count("-o tiphys-0badcafe") == 1
    await network.cleanup()
    assert host() == before
