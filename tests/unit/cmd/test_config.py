"""A cluster's settings: what cannot work is refused with the flag's name, what is kept comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.cmd.config import ClusterConfig, ConfigError, load, save


def config(**changes: Any) -> ClusterConfig:
    return ClusterConfig(**{"data_dir": "/nowhere", "node_name": "n", "node_ip": "192.0.2.7"} | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"service_cidr": "10.244.0.0/16"}, "--service-cidr 10.244.0.0/16 and --pod-cidr 10.244.0.0/16 overlap"),
        ({"service_cidr": "10.96.0.0/29"}, "too small: it needs 16 addresses"),
        ({"service_cidr": "10.96.0.1/16"}, "--service-cidr 10.96.0.1/16 is not an IPv4 range"),
        ({"pod_cidr": "10.244.0.0/25"}, "every node gets a /24"),
        ({"pod_cidr": "fd00::/48"}, "--pod-cidr fd00::/48 is not an IPv4 range"),
        ({"node_ip": "10.96.3.4"}, "the node's address 10.96.3.4 lies in --service-cidr"),
        ({"node_ip": "host"}, "--node-ip host is not an IPv4 address"),
        ({"secure_port": 7000, "kubelet_port": 7000}, "--secure-port and --kubelet-port are both 7000"),
        ({"load_balancer_cidr": "some"}, "--load-balancer-cidr some is no range of addresses"),
        ({"load_balancer_cidr": "192.0.2.0/24"}, "the node's address 192.0.2.7 lies in --load-balancer-cidr"),
    ],
)
def test_what_cannot_work_is_refused_by_its_flag(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**changes)
    assert words in str(caught.value)


def test_a_balancer_may_have_ranges_or_the_nodes_addresses() -> None:
    assert config(load_balancer_cidr="192.0.2.32/28, 192.0.2.50-192.0.2.60").load_balancer_pool
    assert [config(load_balancer_cidr=text).load_balancer_pool for text in ("", "nodes", "none")] == ["", "", ""]


def test_service_addresses_follow_the_range() -> None:
    made = config(service_cidr="10.7.0.0/16")
    assert (made.api_service_ip, made.dns_service_ip) == ("10.7.0.1", "10.7.0.10")


def test_what_is_saved_is_loaded_and_private(tmp_path: Path) -> None:
    made = config(data_dir=str(tmp_path / "data"), node_port_range=(31000, 31010))
    save(made)
    assert load(tmp_path / "data") == made
    assert (tmp_path / "data" / "cluster.json").stat().st_mode & 0o777 == 0o600


def test_no_cluster_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cluster in"):
        load(tmp_path)
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        load(tmp_path)
