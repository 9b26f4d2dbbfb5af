"""Names: of Services, of pods, of the cluster, and a pod's own settings."""

from __future__ import annotations

from tests.conformance.network.clients import apply_all, pod_ip, run_in, server, service, start, until
from tests.e2e.cluster import Cluster


def addresses(cluster: Cluster, namespace: str, pod: str, name: str, kind: str = "a") -> set[str]:
    """What the pod is told of the name."""
    text = run_in(cluster, namespace, pod, "nslookup", f"-type={kind}", name).partition("\n\n")[2]
    return {line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("Address")}


def told(cluster: Cluster, namespace: str, pod: str, name: str, kind: str) -> str:
    return run_in(cluster, namespace, pod, "nslookup", f"-type={kind}", name)


def test_the_cluster_and_the_hosts_file(cluster: Cluster, namespace: str) -> None:
    """[sig-network] DNS should provide DNS for the cluster [Conformance]
    [sig-network] DNS should provide /etc/hosts entries for the cluster [Conformance]
    [sig-network] DNS should support configurable pod DNS nameservers [Conformance]
    """
    custom = {"nameservers": ["192.0.2.53"], "searches": ["resolv.conf.local"]}
    start(
        cluster, namespace, server("client", hostname="client-host", subdomain="family"),
        server("custom", dnsPolicy="None", dnsConfig=custom),
    )  # fmt: skip
    wanted = {cluster.get("service", "kubernetes")["spec"]["clusterIP"]}
    full = "kubernetes.default.svc.cluster.local"
    until(lambda: addresses(cluster, namespace, "client", full) == wanted, "the apiserver's name")
    for name in ("kubernetes.default", "kubernetes.default.svc", full):
        reached = run_in(cluster, namespace, "client", "sh", "-c", f"nc -w 2 {name} 443 < /dev/null && echo reached")
        assert reached.strip() == "reached", name
    hosts = run_in(cluster, namespace, "client", "cat", "/etc/hosts")
    own = pod_ip(cluster, namespace, "client")
    assert f"{own}\tclient-host.family.{namespace}.svc.cluster.local\tclient-host" in hosts
    resolv = run_in(cluster, namespace, "custom", "cat", "/etc/resolv.conf").split()
    assert resolv == ["search", "resolv.conf.local", "nameserver", "192.0.2.53"] or resolv == [
        "nameserver", "192.0.2.53", "search", "resolv.conf.local",
    ]  # fmt: skip


def test_services_by_their_names(cluster: Cluster, namespace: str) -> None:
    """[sig-network] DNS should provide DNS for services [Conformance]
    [sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly] [Conformance]
    """
    start(cluster, namespace, server("one"), server("two"), service("web"), service("peers", clusterIP="None"))
    address = cluster.get("service", "web", "-n", namespace)["spec"]["clusterIP"]
    pods = {pod_ip(cluster, namespace, name) for name in ("one", "two")}
    domain = f"{namespace}.svc.cluster.local"
    until(lambda: addresses(cluster, namespace, "one", f"web.{domain}") == {address}, "the Service's name")
    until(lambda: addresses(cluster, namespace, "one", f"peers.{domain}") == pods, "the endpoints of a headless one")
    assert f"80 web.{domain}" in told(cluster, namespace, "one", f"_http._tcp.web.{domain}", "srv")
    headless = told(cluster, namespace, "one", f"_http._tcp.peers.{domain}", "srv")
    for ip in pods:
        assert f"8080 {ip.replace('.', '-')}.peers.{domain}" in headless
    backwards = ".".join(reversed(address.split(".")))
    assert f"web.{domain}" in told(cluster, namespace, "one", f"{backwards}.in-addr.arpa", "ptr")
    # Partly qualified names go through the pod's search path, as the C library has it.
    for name in ("web", f"web.{namespace}", f"web.{namespace}.svc", "peers", f"peers.{namespace}.svc"):
        port = 80 if name.startswith("web") else 8080
        answer = run_in(cluster, namespace, "one", "wget", "-q", "-T", "2", "-O", "-", f"http://{name}:{port}/")
        assert answer.strip() in ("one", "two"), name


def test_pods_by_their_names(cluster: Cluster, namespace: str) -> None:
    """[sig-network] DNS should provide DNS for pods for Hostname [Conformance]
    [sig-network] DNS should provide DNS for pods for Subdomain [Conformance]
    """
    start(
        cluster, namespace, server("querier", hostname="querier-1", subdomain="family", app="family"),
        service("family", app="family", clusterIP="None"),
    )  # fmt: skip
    domain = f"family.{namespace}.svc.cluster.local"
    own = {pod_ip(cluster, namespace, "querier")}
    until(lambda: addresses(cluster, namespace, "querier", f"querier-1.{domain}") == own, "host name and subdomain")
    assert addresses(cluster, namespace, "querier", domain) == own
    assert run_in(cluster, namespace, "querier", "hostname", "-f").strip() == f"querier-1.{domain}"
    assert "querier-1" in run_in(cluster, namespace, "querier", "cat", "/etc/hosts")


def test_a_name_outside(cluster: Cluster, namespace: str) -> None:
    """[sig-network] DNS should provide DNS for ExternalName services [Conformance]"""
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"}}
    start(
        cluster,
        namespace,
        server("client"),
        alias | {"spec": {"type": "ExternalName", "externalName": "foo.example.com"}},
    )
    name = f"alias.{namespace}.svc.cluster.local"
    until(lambda: "foo.example.com" in told(cluster, namespace, "client", name, "cname"), "the alias")
    apply_all(cluster, namespace, alias | {"spec": {"type": "ExternalName", "externalName": "bar.example.com"}})
    until(lambda: "bar.example.com" in told(cluster, namespace, "client", name, "cname"), "the new alias")
    change = '{"spec":{"type":"ClusterIP","externalName":null,"ports":[{"port":80,"name":"http","protocol":"TCP"}]}}'
    cluster.kubectl("patch", "service", "alias", "-n", namespace, "-p", change)
    address = cluster.get("service", "alias", "-n", namespace)["spec"]["clusterIP"]
    until(lambda: addresses(cluster, namespace, "client", name) == {address}, "an address of its own")
