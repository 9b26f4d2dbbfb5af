"""Hosts whose pods talk through a tunnel, as nodes on different links need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.mission.conftest import running
from tests.e2e.mission.services import PORT, Servers


@pytest.fixture(scope="module")
def hosts_cluster() -> Iterator[HostsCluster]:
    with running(8, "--nodes", "3", "--network-backend", "vxlan") as cluster:
        yield cluster


def test_pods_and_services_work_through_the_tunnel(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    servers = Servers(cluster, namespace)
    assert "vxlan" in cluster.on("node-1", "ip", "-d", "link", "show", "type", "vxlan").stdout
    for one in servers.pods:
        for other in servers.pods:
            seen = servers.who_in_pod(one, servers.pod_ip(other), PORT)
            assert seen == (servers.pod_name(other), servers.pod_ip(one))
    assert servers.who(servers.pod_ip("node-2"), port=PORT)[0] == servers.pod_name("node-2")
    address = servers.balanced("web")
    eventually(lambda: servers.who(address)[0], "the balancer's address answers", 10)
    assert {servers.who(address)[0] for _ in range(20)} == servers.names()
    port = cluster.get("service", "web", "-n", namespace)["spec"]["ports"][0]["nodePort"]
    for host in cluster.names():
        assert {servers.who(cluster.address(host), port=port)[0] for _ in range(20)} == servers.names()
    make = "dd if=/dev/urandom of=/www/big bs=1M count=16 2>/dev/null; md5sum < /www/big"
    wanted = cluster.output("exec", "-n", namespace, servers.pod_name("node-1"), "--", "sh", "-c", make)
    fetch = f"wget -q -O - http://{servers.pod_ip('node-1')}:{PORT}/big | md5sum"
    assert cluster.output("exec", "-n", namespace, servers.pod_name("node-3"), "--", "sh", "-c", fetch) == wanted


def test_a_lost_tunnel_is_made_anew(hosts_cluster: HostsCluster, namespace: str) -> None:
    servers = Servers(hosts_cluster, namespace)
    links = hosts_cluster.on("node-1", "ip", "-br", "link", "show", "type", "vxlan").stdout
    assert hosts_cluster.on("node-1", "ip", "link", "del", links.split()[0]).returncode == 0
    eventually(lambda: servers.who_in_pod("node-1", servers.pod_ip("node-2"), PORT)[0], "pods talk again", 5)
