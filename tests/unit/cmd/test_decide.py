"""What `up` decides: a new cluster from flags, or the one that is there, and which flags it refuses then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.cmd import config as cluster_config
from tiphys.cmd import decide as deciding
from tiphys.cmd.config import ConfigError
from tiphys.cmd.decide import UpOptions, decide
from tiphys.cmd.hosts import record, underlay


def options(tmp_path: Path, *given: str, **changes: Any) -> UpOptions:
    asked: dict[str, Any] = {
        "data_dir": tmp_path / "data",
        "demo": False,
        "hollow_nodes": 0,
        "secure_port": 6443,
        "kubelet_port": 10250,
        "service_cidr": "10.96.0.0/12",
        "pod_cidr": "10.244.0.0/16",
        "node_port_range": (30000, 32767),
        "node_ip": "",
    }
    return UpOptions(**{**asked, **changes, "given": frozenset(given)})


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding.os, "geteuid", lambda: 0)
    monkeypatch.setattr(underlay, "taken_ranges", list)


def existing(tmp_path: Path, **changes: Any) -> None:
    config, hosts = decide(options(tmp_path, **changes))
    cluster_config.save(config)
    if hosts is not None:
        record.save(config, hosts)


def test_one_machine_is_everything_unless_hosts_are_asked_for(tmp_path: Path) -> None:
    config, hosts = decide(options(tmp_path, node_ip="192.0.2.9"))
    assert (config.role, config.node_ip, hosts) == ("all", "192.0.2.9", None)
    config, hosts = decide(options(tmp_path, nodes=3))
    assert (config.role, config.network_backend) == ("server", "routes")
    assert hosts is not None
    assert len(hosts.of("worker")) == 3


def test_an_existing_cluster_is_resumed_whatever_the_defaults_are(tmp_path: Path) -> None:
    existing(tmp_path, secure_port=7443, nodes=2)
    config, hosts = decide(options(tmp_path))
    assert config.secure_port == 7443
    assert hosts is not None
    assert len(hosts.hosts) == 2


@pytest.mark.parametrize(
    ("flag", "changes", "words"),
    [
        ("--secure-port", {"secure_port": 7000}, "--secure-port 7000: the cluster in"),
        ("--nodes", {"nodes": 4}, "--nodes 4: the cluster in"),
        ("--node-port-range", {"node_port_range": (31000, 31100)}, "has 30000-32767: leave the flag out"),
        ("--control-planes", {"control_planes": 3}, "--control-planes 3"),
        ("--etcd-members", {"etcd_members": 3}, "has none"),
    ],
)
def test_a_flag_that_says_otherwise_is_refused_by_name(
    tmp_path: Path, flag: str, changes: dict[str, Any], words: str
) -> None:
    existing(tmp_path, nodes=3)
    with pytest.raises(ConfigError) as caught:
        decide(options(tmp_path, flag, **changes))
    assert words in str(caught.value)


def test_a_flag_that_says_the_same_is_fine(tmp_path: Path) -> None:
    existing(tmp_path, nodes=3, secure_port=7443)
    decide(options(tmp_path, "--nodes", "--secure-port", nodes=3, secure_port=7443))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hollow_nodes": 3, "nodes": 3}, "--hollow nodes need no hosts"),
        ({"nodes": 3, "node_ip": "192.0.2.9"}, "--node-name and --node-ip are the one node's"),
        ({"control_planes": 1}, "add --nodes 3"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decide(options(tmp_path, **changes))
    assert words in str(caught.value)


def test_a_hollow_cluster_stays_hollow(tmp_path: Path) -> None:
    existing(tmp_path, hollow_nodes=3)
    with pytest.raises(ConfigError, match="is hollow"):
        decide(options(tmp_path))


def test_a_joined_machine_is_not_brought_up_as_a_cluster(tmp_path: Path) -> None:
    config = cluster_config.ClusterConfig(
        data_dir=str(tmp_path / "data"), node_name="w", node_ip="192.0.2.8", role="worker"
    )
    cluster_config.save(config)
    with pytest.raises(ConfigError, match="`tiphys join` resumes it"):
        decide(options(tmp_path))


def test_names_of_hosts_become_names_of_nodes() -> None:
    assert deciding.node_name("My_Host.Local.") == "my-host.local"
    assert deciding.node_name("___") == "node"
