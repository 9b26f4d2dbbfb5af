"""The network of three hosts: pods, names and Services, as clients on and off them see it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.mission.services import PORT, Servers, pod, service


@pytest.fixture
def servers(hosts_cluster: HostsCluster, namespace: str) -> Servers:
    return Servers(hosts_cluster, namespace)


def test_pods_of_all_hosts_talk_with_their_own_addresses(servers: Servers) -> None:
    for one in servers.pods:
        for other in servers.pods:
            seen = servers.who_in_pod(one, servers.pod_ip(other), PORT)
            assert seen == (servers.pod_name(other), servers.pod_ip(one))


def test_hosts_and_the_apiserver_reach_pods_of_every_host(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    for other in servers.pods:
        assert servers.who(servers.pod_ip(other), frm="node-1", port=PORT)[0] == servers.pod_name(other)
        path = f"/api/v1/namespaces/{namespace}/pods/{servers.pod_name(other)}:{PORT}/proxy/cgi-bin/who"
        assert cluster.output("get", "--raw", path).split()[0] == servers.pod_name(other)


def test_a_deleted_route_is_back_at_once(servers: Servers) -> None:
    cluster = servers.cluster
    target = servers.pod_ip("node-2")
    network = f"{target.rpartition('.')[0]}.0/24"
    assert cluster.on("node-1", "ip", "route", "del", network).returncode == 0
    eventually(lambda: servers.who_in_pod("node-1", target, PORT)[0], "the route is repaired", 5)


def test_much_data_arrives_whole(servers: Servers) -> None:
    cluster = servers.cluster
    make = "dd if=/dev/urandom of=/www/big bs=1M count=48 2>/dev/null; md5sum < /www/big"
    wanted = cluster.output("exec", "-n", servers.namespace, servers.pod_name("node-1"), "--", "sh", "-c", make)
    fetch = f"wget -q -O - http://{servers.pod_ip('node-1')}:{PORT}/big | md5sum"
    got = cluster.output("exec", "-n", servers.namespace, servers.pod_name("node-3"), "--", "sh", "-c", fetch)
    assert got == wanted


def test_a_cluster_address_leads_to_every_pod_from_every_host(servers: Servers) -> None:
    address = servers.publish("web")["spec"]["clusterIP"]
    eventually(lambda: servers.who(address, frm="node-1")[0], "the Service answers", 10)
    for host in servers.pods:
        eventually(lambda host=host: servers.who(address, frm=host)[0], "the Service answers on the host", 10)
        found = Counter(servers.who_in_pod(host, address)[0] for _ in range(9))
        assert set(found) <= servers.names()
        assert len(found) > 1
    # A pod that meets itself sees its node; one that meets another is seen as it is.
    for _ in range(12):
        name, client = servers.who_in_pod("node-1", address)
        own = servers.pod_name("node-1")
        assert client == servers.pod_ip("node-1") if name != own else client.endswith(".1")


def test_names_are_answered_on_every_host(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    address = servers.publish("web")["spec"]["clusterIP"]
    servers.publish("peers", clusterIP="None")
    cluster.apply(pod("named", app="named", hostname="zero", subdomain="family"), namespace)
    cluster.apply(service("family", app="named", clusterIP="None"), namespace)
    elsewhere = {"type": "ExternalName", "externalName": f"web.{namespace}.svc.cluster.local"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "elsewhere"}, "spec": elsewhere}, namespace
    )
    cluster.kubectl("wait", "--for=condition=Ready", "pod/named", "-n", namespace, "--timeout=30s")
    single = cluster.get("pod", "named", "-n", namespace)["status"]["podIP"]
    wanted = {
        "web": {address},
        f"web.{namespace}.svc.cluster.local": {address},
        f"peers.{namespace}.svc.cluster.local": {servers.pod_ip(host) for host in servers.pods},
        f"zero.family.{namespace}.svc.cluster.local": {single},
        f"elsewhere.{namespace}.svc.cluster.local": {address},
    }
    for host in servers.pods:
        for name, addresses in wanted.items():
            eventually(
                lambda name=name, host=host, addresses=addresses: lookup(servers, host, name) == addresses,
                f"{name} on {host}", 10,
            )  # fmt: skip
    assert servers.who_in_pod("node-2", f"elsewhere.{namespace}.svc.cluster.local")[0] in servers.names()


def lookup(servers: Servers, host: str, name: str) -> set[str]:
    """The addresses a pod of the host gets for the name."""
    text = servers.cluster.kubectl(
        "exec", "-n", servers.namespace, servers.pod_name(host), "--", "nslookup", "-type=a", name, check=False
    ).stdout
    lines = text.partition("\n\n")[2].splitlines()
    return {line.split(":", 1)[1].strip() for line in lines if line.startswith("Address")}


def test_an_affine_client_stays_with_its_pod(servers: Servers) -> None:
    address = servers.publish("sticky", sessionAffinity="ClientIP")["spec"]["clusterIP"]
    for host in servers.pods:
        eventually(lambda host=host: servers.who_in_pod(host, address)[0], "the Service answers", 10)
        assert len({servers.who_in_pod(host, address)[0] for _ in range(6)}) == 1


def test_internal_traffic_stays_on_its_host_when_told_to(servers: Servers) -> None:
    address = servers.publish("near", internalTrafficPolicy="Local")["spec"]["clusterIP"]
    for host in servers.pods:
        eventually(lambda host=host: servers.who_in_pod(host, address)[0], "the Service answers", 10)
        assert {servers.who_in_pod(host, address)[0] for _ in range(5)} == {servers.pod_name(host)}


def test_traffic_prefers_its_host_and_leaves_it_when_it_must(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    address = servers.publish("close", trafficDistribution="PreferSameNode")["spec"]["clusterIP"]
    own = servers.pod_name("node-1")
    eventually(
        lambda: {servers.who_in_pod("node-1", address)[0] for _ in range(4)} == {own}, "its own host's pod answers", 10
    )
    cluster.kubectl("delete", "daemonset", servers.name, "-n", namespace, "--cascade=orphan")
    cluster.kubectl("label", "pod", own, "-n", namespace, "app=other", "--overwrite")
    rest = servers.names() - {own}

    def others_answer() -> bool:
        return servers.who_in_pod("node-1", address)[0] in rest

    eventually(others_answer, "another host's pod answers", 10)


def test_endpoints_of_a_dead_host_vanish(whole_hosts: HostsCluster, servers: Servers) -> None:
    address = servers.publish("web")["spec"]["clusterIP"]
    eventually(lambda: servers.who(address, frm="node-1")[0], "the Service answers", 10)
    gone = servers.pod_name("node-3")
    whole_hosts.stop("node-3")
    eventually(lambda: gone not in ready_pods(servers), "the dead host's endpoint is not ready", 40)

    def never_there() -> bool:
        return all(servers.who(address, frm="node-1")[0] in servers.names() - {gone} for _ in range(8))

    eventually(never_there, "nobody is sent there", 10)


def ready_pods(servers: Servers) -> set[str]:
    found = servers.cluster.get(
        "endpointslices", "-n", servers.namespace, "-l", "kubernetes.io/service-name=web"
    )["items"]  # fmt: skip
    return {
        endpoint["targetRef"]["name"]
        for piece in found
        for endpoint in piece.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    }


def test_a_network_policy_holds_across_hosts(servers: Servers, namespace: str) -> None:
    cluster = servers.cluster
    target, port = servers.pod_ip("node-2"), PORT
    friend = {"podSelector": {"matchLabels": {"friend": "yes"}}}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "friends"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [friend]}]},
    }
    assert servers.who_in_pod("node-1", target, port)[0]
    cluster.apply(policy, namespace)
    eventually(lambda: not servers.who_in_pod("node-1", target, port)[0], "strangers are kept out", 10)
    cluster.kubectl("label", "pod", servers.pod_name("node-1"), "-n", namespace, "friend=yes")
    eventually(lambda: servers.who_in_pod("node-1", target, port)[0], "friends come in", 10)
    assert servers.who_in_pod("node-3", target, port)[0] == ""
    assert servers.who(target, frm="node-2", port=port)[0], "the pod's own host is always let in"
    cluster.kubectl("delete", "networkpolicy", "friends", "-n", namespace)
    eventually(lambda: servers.who_in_pod("node-3", target, port)[0], "without the policy everybody comes in", 10)
