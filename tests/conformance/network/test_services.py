"""Services as clients meet them: types, affinity, ports, endpoints."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.conformance.network.clients import (
    HTTP_PORT,
    UDP_PORT,
    apply_all,
    asked,
    asked_by_udp,
    asked_here,
    endpoints,
    network_of,
    node_ip,
    pod_ip,
    server,
    service,
    start,
    udp_server,
    until,
)
from tests.e2e.cluster import Cluster


def get(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("service", name, "-n", namespace)["spec"]
    return found


def patch(cluster: Cluster, namespace: str, name: str, change: dict[str, Any]) -> None:
    cluster.kubectl("patch", "service", name, "-n", namespace, "--type=merge", "-p", json.dumps(change))


def test_the_service_of_the_apiserver(cluster: Cluster) -> None:
    """[sig-network] Services should provide secure master service [Conformance]
    [sig-network] Services should find a service from listing all namespaces [Conformance]
    [sig-network] EndpointSlice should have Endpoints and EndpointSlices pointing to API Server [Conformance]
    """
    found = cluster.get("services", "-A")["items"]
    [own] = [s for s in found if (s["metadata"]["namespace"], s["metadata"]["name"]) == ("default", "kubernetes")]
    assert [(p["name"], p["port"]) for p in own["spec"]["ports"]] == [("https", 443)]
    old = cluster.get("endpoints", "kubernetes", "-n", "default")
    assert [p["name"] for p in old["subsets"][0]["ports"]] == ["https"]
    [piece] = cluster.get("endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes")["items"]
    assert piece["endpoints"][0]["addresses"] == [old["subsets"][0]["addresses"][0]["ip"]]
    groups = [group["name"] for group in json.loads(cluster.output("get", "--raw", "/apis"))["groups"]]
    assert "discovery.k8s.io" in groups


def test_types_change(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Services should be able to change the type from ClusterIP to ExternalName [Conformance]
    [sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]
    [sig-network] Services should be able to change the type from ExternalName to NodePort [Conformance]
    [sig-network] Services should be able to change the type from NodePort to ExternalName [Conformance]
    [sig-network] Services should be able to create a functioning NodePort service [Conformance]
    """
    outside = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "outward"}}
    start(
        cluster, namespace, server("one"), server("two"), service("inward"), service("node", type="NodePort"),
        outside | {"spec": {"type": "ExternalName", "externalName": "example.com"}},
    )  # fmt: skip
    node = node_ip(cluster)
    spec = get(cluster, namespace, "node")
    port = spec["ports"][0]["nodePort"]
    for address, number in (("node", 80), (spec["clusterIP"], 80), (node, port)):
        until(lambda a=address, n=number: asked(cluster, namespace, "one", a, n), f"{address}:{number} answers")
    assert asked_here(node, port) in ("one", "two")
    ports = [{"name": "http", "port": 80, "targetPort": HTTP_PORT, "protocol": "TCP"}]
    inward = {"externalName": None, "selector": {"app": "web"}, "ports": ports}
    patch(cluster, namespace, "outward", {"spec": {"type": "ClusterIP", **inward}})
    until(lambda: asked(cluster, namespace, "one", "outward") in ("one", "two"), "it has an address now")
    patch(cluster, namespace, "outward", {"spec": {"type": "NodePort"}})
    fresh = get(cluster, namespace, "outward")["ports"][0]["nodePort"]
    until(lambda: asked(cluster, namespace, "two", node, fresh) in ("one", "two"), "and a port of the node")
    for name in ("node", "inward"):
        patch(
            cluster,
            namespace,
            name,
            {"spec": {"type": "ExternalName", "externalName": f"outward.{namespace}.svc.cluster.local"}},
        )
        assert "clusterIP" not in get(cluster, namespace, name)
        until(lambda name=name: asked(cluster, namespace, "one", name) in ("one", "two"), "it is an alias")
    until(lambda: asked_here(node, port) == "", "its port is closed")


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
def test_session_affinity(cluster: Cluster, namespace: str, kind: str) -> None:
    """[sig-network] Services should have session affinity work for service with type clusterIP [LinuxOnly]
        [Conformance]
    [sig-network] Services should have session affinity work for NodePort service [LinuxOnly] [Conformance]
    [sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly]
        [Conformance]
    [sig-network] Services should be able to switch session affinity for NodePort service [LinuxOnly] [Conformance]
    """
    pods = [server(name) for name in ("one", "two", "three")]
    start(
        cluster,
        namespace,
        *pods,
        server("client", app="client"),
        service("sticky", type=kind, sessionAffinity="ClientIP"),
    )
    spec = get(cluster, namespace, "sticky")
    ways = [(spec["clusterIP"], 80)] + (
        [(node_ip(cluster), spec["ports"][0]["nodePort"])] if kind == "NodePort" else []
    )
    for address, port in ways:

        def answers(count: int = 8, address: str = address, port: int = port) -> set[str]:
            return {asked(cluster, namespace, "client", address, port) for _ in range(count)}

        until(lambda answers=answers: len(answers()) == 1 and "" not in answers(), "one pod answers all")
        patch(cluster, namespace, "sticky", {"spec": {"sessionAffinity": "None"}})
        until(lambda answers=answers: len(answers(12) - {""}) > 1, "any pod answers")
        patch(cluster, namespace, "sticky", {"spec": {"sessionAffinity": "ClientIP"}})
        until(lambda answers=answers: len(answers()) == 1, "one pod answers all again")


def test_endpoints_follow_pods(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Services should serve a basic endpoint from pods [Conformance]
    [sig-network] Services should serve multiport endpoints from pods [Conformance]
    [sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]
    [sig-network] EndpointSlice should create and delete Endpoints and EndpointSlices for a Service with a selector
        specified [Conformance]
    """
    two_ports = [{"name": n, "port": p, "targetPort": n} for n, p in (("portname1", 81), ("portname2", 82))]
    apply_all(cluster, namespace, service("basic"), service("multi", app="multi", ports=two_ports))
    until(lambda: endpoints(cluster, namespace, "basic") == {}, "nobody is there")
    first = [{"name": "portname1", "containerPort": 100}]
    second = [{"name": "portname2", "containerPort": 101}]
    start(cluster, namespace, server("one"), server("m1", app="multi", ports=first))
    until(lambda: endpoints(cluster, namespace, "basic") == {"one": [HTTP_PORT]}, "one pod")
    until(lambda: endpoints(cluster, namespace, "multi") == {"m1": [100]}, "one pod at one port")
    start(cluster, namespace, server("two"), server("m2", app="multi", ports=second))
    until(lambda: endpoints(cluster, namespace, "basic") == {"one": [HTTP_PORT], "two": [HTTP_PORT]}, "two pods")
    until(lambda: endpoints(cluster, namespace, "multi") == {"m1": [100], "m2": [101]}, "each at its own port")
    old = cluster.get("endpoints", "basic", "-n", namespace)["subsets"]
    assert {a["targetRef"]["name"] for subset in old for a in subset["addresses"]} == {"one", "two"}
    cluster.kubectl("delete", "pod", "one", "m1", "-n", namespace)
    until(lambda: endpoints(cluster, namespace, "basic") == {"two": [HTTP_PORT]}, "one pod less")
    until(lambda: endpoints(cluster, namespace, "multi") == {"m2": [101]}, "one pod less")
    cluster.kubectl("delete", "pod", "two", "m2", "-n", namespace)
    until(lambda: endpoints(cluster, namespace, "basic") == {}, "nobody again")
    cluster.kubectl("delete", "service", "basic", "-n", namespace)
    label = "kubernetes.io/service-name=basic"
    until(
        lambda: not cluster.get("endpointslices", "-n", namespace, "-l", label)["items"], "slices go with the Service"
    )
    until(
        lambda: cluster.kubectl("get", "endpoints", "basic", "-n", namespace, check=False).returncode, "endpoints too"
    )


def test_one_port_two_protocols(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Services should serve endpoints on same port and different protocols [Conformance]"""
    both = [
        {"name": "tcp", "port": 80, "targetPort": HTTP_PORT, "protocol": "TCP"},
        {"name": "udp", "port": 80, "targetPort": UDP_PORT, "protocol": "UDP"},
    ]
    start(cluster, namespace, server("one"), server("client", app="client"), service("both", ports=both))
    address = get(cluster, namespace, "both")["clusterIP"]
    network = network_of(cluster, namespace, "client")
    with udp_server(cluster, namespace, "one"):
        until(lambda: asked(cluster, namespace, "client", address) == "one", "TCP answers")
        until(lambda: asked_by_udp(address, 80, network) == "one", "UDP answers")
        patch(cluster, namespace, "both", {"spec": {"ports": both[:1]}})
        until(lambda: asked_by_udp(address, 80, network) == "", "UDP is closed")
        assert asked(cluster, namespace, "client", address) == "one"
        patch(cluster, namespace, "both", {"spec": {"ports": both[1:]}})
        until(lambda: asked(cluster, namespace, "client", address) == "", "TCP is closed")
        until(lambda: asked_by_udp(address, 80, network) == "one", "UDP answers")


@pytest.mark.parametrize("same_address", [True, False])
def test_slices_made_by_hand(cluster: Cluster, namespace: str, same_address: bool) -> None:
    """[sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple
        EndpointSlices [Conformance]
    [sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices
        [Conformance]
    """
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in (("portone", 80), ("porttwo", 81))]
    custom = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "custom"}, "spec": {"ports": ports}}
    other = {"command": ["sh", "-c", "mkdir /www; hostname > /www/index.html; exec httpd -f -p 9090 -h /www"]}
    pods = [server("one"), server("two"), server("client", app="client")]
    pods[0]["spec"]["containers"].append(
        {**pods[0]["spec"]["containers"][0], **other, "name": "more", "ports": [], "readinessProbe": None}
    )
    start(cluster, namespace, *pods, custom)
    addresses = {name: pod_ip(cluster, namespace, name) for name in ("one", "two")}
    targets = [("one", HTTP_PORT), ("one", 9090)] if same_address else [("one", 9090), ("two", HTTP_PORT)]
    for number, ((pod, port), front) in enumerate(zip(targets, ports, strict=True)):
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"custom-{number}", "labels": {"kubernetes.io/service-name": "custom"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [addresses[pod]]}],
            "ports": [{"name": front["name"], "port": port, "protocol": "TCP"}],
        }
        cluster.apply(slice_, namespace)
    address = get(cluster, namespace, "custom")["clusterIP"]
    for (pod, _), front in zip(targets, ports, strict=True):
        until(
            lambda pod=pod, port=front["port"]: asked(cluster, namespace, "client", address, port) == pod,
            f"{pod} answers at {front['port']}",
        )


def test_latency_of_endpoints(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Service endpoints latency should not be very high [Conformance]

    Thirty instead of a hundred, and a second instead of twenty.
    """
    start(cluster, namespace, server("one"))
    began = time.monotonic()
    names = [f"latency-{number}" for number in range(30)]
    apply_all(cluster, namespace, *(service(name) for name in names))
    applied = time.monotonic()

    def all_there() -> bool:
        found = cluster.get("endpointslices", "-n", namespace)["items"]
        served = {p["metadata"]["labels"]["kubernetes.io/service-name"] for p in found if p.get("endpoints")}
        return set(names) <= served

    until(all_there, "all have endpoints", 20)
    assert time.monotonic() - applied < 1 + (applied - began)


def test_host_ports_by_address_and_protocol(cluster: Cluster, namespace: str) -> None:
    """[sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP
    and protocol [LinuxOnly] [Conformance]
    """
    node, port = node_ip(cluster), 54323

    def bound(name: str, address: str, protocol: str = "TCP") -> dict[str, Any]:
        number = HTTP_PORT if protocol == "TCP" else UDP_PORT
        return server(
            name, ports=[{"containerPort": number, "hostPort": port, "hostIP": address, "protocol": protocol}]
        )

    start(cluster, namespace, bound("one", "127.0.0.1"), bound("two", node), bound("three", node, "UDP"))
    until(lambda: asked_here(node, port) == "two", "the node's address leads to the second")
    with udp_server(cluster, namespace, "three"):
        until(lambda: asked_by_udp(node, port) == "three", "its UDP to the third")
    assert asked_here("127.0.0.1", port) in ("one", "")


def test_pods_reach_pods_and_the_node_reaches_them(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http
        [NodeConformance] [Conformance]
    [sig-network] Networking Granular Checks: Pods should function for intra-pod communication: udp
        [NodeConformance] [Conformance]
    [sig-network] Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly]
        [NodeConformance] [Conformance]
    [sig-network] Networking Granular Checks: Pods should function for node-pod communication: udp [LinuxOnly]
        [NodeConformance] [Conformance]
    """
    names = ("one", "two", "three")
    start(cluster, namespace, *(server(name) for name in names), server("client", app="client"))
    network = network_of(cluster, namespace, "client")
    for name in names:
        address = pod_ip(cluster, namespace, name)
        assert asked(cluster, namespace, "client", address, HTTP_PORT) == name
        assert asked_here(address, HTTP_PORT) == name
        with udp_server(cluster, namespace, name):
            assert asked_by_udp(address, UDP_PORT, network) == name
            assert asked_by_udp(address, UDP_PORT) == name


def test_through_the_apiserver(cluster: Cluster, namespace: str) -> None:
    """[sig-network] Proxy version v1 should proxy through a service and a pod [Conformance]
    [sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy [Conformance]
    [sig-network] Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath
        [Conformance]
    """
    start(cluster, namespace, server("one"), service("web"))
    until(lambda: endpoints(cluster, namespace, "web"), "the Service has its endpoint")
    base = f"/api/v1/namespaces/{namespace}"
    for path in (
        f"pods/one:{HTTP_PORT}/proxy/", f"pods/http:one:{HTTP_PORT}/proxy/index.html",
        "services/web/proxy/", "services/web:80/proxy/", "services/web:http/proxy/index.html",
        "services/http:web:http/proxy/",
    ):  # fmt: skip
        assert cluster.output("get", "--raw", f"{base}/{path}") == "one", path
    missing = cluster.kubectl("get", "--raw", f"{base}/services/web/proxy/nothing", check=False)
    assert "NotFound" in missing.stderr or "404" in missing.stderr or "not find" in missing.stderr
