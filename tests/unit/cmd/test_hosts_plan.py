"""Which hosts a cluster gets: names, addresses, parts; and the settings each is given."""

from __future__ import annotations

import ipaddress

import pytest

from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts import plan
from tiphys.cmd.hosts.plan import Hosts
from tiphys.cmd.hosts.settings import host_settings, machine_settings
from tiphys.cmd.supervision import groups

SUBNET = "172.20.5.0/24"


def hosts(nodes: int = 3, control_planes: int = 0, etcd_members: int = 0) -> Hosts:
    members = plan.layout(SUBNET, nodes=nodes, control_planes=control_planes, etcd_members=etcd_members)
    return Hosts(cluster_id="0123abcd", subnet=SUBNET, hosts=members)


def machine(found: Hosts) -> ClusterConfig:
    return machine_settings(ClusterConfig(data_dir="/d", node_name="machine", node_ip="192.0.2.7"), found)


def test_nodes_are_numbered_and_addressed_from_eleven() -> None:
    assert [(host.name, host.role, host.address) for host in hosts(2).hosts] == [
        ("node-1", "worker", "172.20.5.11"),
        ("node-2", "worker", "172.20.5.12"),
    ]


def test_members_of_etcd_live_with_control_planes_and_the_rest_alone() -> None:
    found = hosts(1, 2, 3)
    assert [(host.name, host.role, host.etcd) for host in found.hosts] == [
        ("etcd-1", "etcd", True),
        ("control-1", "server", True),
        ("control-2", "server", True),
        ("node-1", "worker", False),
    ]
    assert len({host.address for host in found.hosts}) == 4


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((65, 0, 0), "--nodes 65 cannot be"),
        ((1, 10, 3), "--control-planes 10 cannot be"),
        ((1, 3, 0), "--control-planes 3 need a store that they share: add --etcd-members 3"),
        ((1, 2, 2), "--etcd-members 2: an even number survives no more deaths than one less"),
    ],
)
def test_numbers_that_cannot_work_are_refused_by_their_flag(numbers: tuple[int, int, int], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        hosts(*numbers)
    assert words in str(caught.value)


def test_names_of_links_fit_the_kernel_and_differ() -> None:
    found = hosts(64, 9, 7)
    links = [found.link(host) for host in found.hosts]
    assert all(len(name) <= 15 for name in [*links, found.bridge])
    assert len(set(links)) == len(links)


def test_the_underlay_avoids_every_range_in_use() -> None:
    first = plan.choose_subnet("00000000", [])
    assert first == "172.18.0.0/24"
    assert plan.choose_subnet("00000000", [first, "172.18.1.128/25"]) == "172.18.2.0/24"
    assert ipaddress.ip_network(plan.choose_subnet("ffffffff", [])).subnet_of(ipaddress.ip_network("172.16.0.0/12"))
    with pytest.raises(ConfigError, match="none is left"):
        plan.choose_subnet("00000000", ["172.16.0.0/12"])


def test_a_new_node_takes_the_lowest_free_number() -> None:
    fewer = plan.without(hosts(3), "node-2")
    more, host = plan.with_node(fewer)
    assert (host.name, host.address) == ("node-2", "172.20.5.12")
    more, named = plan.with_node(more, "extra")
    assert (named.name, named.address) == ("extra", "172.20.5.14")
    with pytest.raises(ConfigError, match="there is a host extra already"):
        plan.with_node(more, "extra")


def test_a_host_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no host node-9: there are node-1, node-2, node-3"):
        hosts().named("node-9")


def test_the_machine_is_the_control_plane_of_hosts_that_have_none() -> None:
    config = machine(hosts(3))
    assert (config.role, config.node_ip) == ("server", "172.20.5.1")
    assert config.server_urls == ("https://172.20.5.1:6443",)
    assert config.load_balancer_cidr == "172.20.5.192/27"
    assert "node" not in groups(config)


def test_the_machine_is_only_a_way_to_control_planes_on_hosts() -> None:
    config = machine(hosts(2, 3, 3))
    assert groups(config) == {"balancer": "balancer"}
    assert config.server == "https://127.0.0.1:6443"
    assert config.server_urls == tuple(f"https://172.20.5.{last}:6443" for last in (2, 3, 4))


def test_a_control_plane_s_host_works_on_its_own_apiserver_and_waits_for_leases() -> None:
    found = hosts(2, 3, 3)
    own = host_settings(machine(found), found, found.named("control-2"))
    assert (own.data_dir, own.node_name, own.node_ip) == ("/d/hosts/control-2", "control-2", "172.20.5.3")
    assert own.server == "https://127.0.0.1:6443"
    assert own.balancer_port == 6443, "what joining machines are told"
    assert own.leader_elect
    assert own.etcd_member == "control-2"
    assert own.etcd_servers == tuple(f"https://172.20.5.{last}:2379" for last in (2, 3, 4))
    assert own.etcd_initial_cluster[0] == "control-1=https://172.20.5.2:2380"
    assert {"172.20.5.1", "172.20.5.2", "172.20.5.4"} <= set(own.server_names)


def test_a_store_s_host_runs_nothing_else() -> None:
    found = hosts(1, 0, 3)
    own = host_settings(machine(found), found, found.named("etcd-2"))
    assert groups(own) == {"etcd": "etcd"}
    assert machine(found).etcd_servers == own.etcd_servers
