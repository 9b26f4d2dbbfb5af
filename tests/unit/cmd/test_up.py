"""What stands in the way of a new cluster is said before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts import underlay
from tiphys.cmd.up import _addresses_free


def config(tmp_path: Path, hollow_nodes: int = 0) -> ClusterConfig:
    return ClusterConfig(
        data_dir=str(tmp_path), node_name="n", node_ip="192.0.2.9", pod_cidr="10.9.0.0/16", hollow_nodes=hollow_nodes
    )


@pytest.mark.parametrize(
    ("destination", "link", "words"),
    [
        ("10.9.0.0/24", "tiphys-0badc0de", "10.9.0.0/24 is routed to tiphys-0badc0de, a cluster's (`tiphys down"),
        ("10.9.3.4", "tun0", "10.9.3.4 is routed to tun0, choose another with --pod-cidr"),
    ],
)
def test_pods_addresses_that_are_another_networks_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str, link: str, words: str
) -> None:
    monkeypatch.setattr(underlay, "routes", lambda: [("192.0.2.0/24", "eth0"), (destination, link)])
    with pytest.raises(ConfigError) as caught:
        _addresses_free(config(tmp_path))
    assert words in str(caught.value)


def test_wider_routes_and_its_own_links_are_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(tmp_path)
    routes = [("10.0.0.0/8", "tun0"), ("10.9.0.0/24", f"tiphys-{made.cluster_id}"), ("10.10.0.0/24", "eth1")]
    monkeypatch.setattr(underlay, "routes", lambda: routes)
    _addresses_free(made)


def test_a_hollow_cluster_routes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underlay, "routes", lambda: pytest.fail("asked the kernel"))
    _addresses_free(config(tmp_path, hollow_nodes=3))
