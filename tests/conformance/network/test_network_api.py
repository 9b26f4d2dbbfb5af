"""The API of network kinds with all controllers running: lifecycles, statuses, mirroring, discovery."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.controllers.world import World, world
from tiphys.api.codec import from_dict, to_dict
from tiphys.api.types.core_v1 import Endpoints, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.networking_v1 import Ingress, IngressClass, IPAddress, ServiceCIDR
from tiphys.client import WatchEvent
from tiphys.testing import virtual_time

LABELS = {"special-label": "network"}


def meta(name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "labels": dict(LABELS), **more}
    return found | ({"namespace": namespace} if namespace else {})


def slice_of(name: str) -> EndpointSlice:
    wire = {"metadata": meta(name, "x"), "addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}]}
    return from_dict(EndpointSlice, wire)


def ingress(name: str) -> Ingress:
    backend = {"service": {"name": "default-backend", "port": {"number": 80}}}
    return from_dict(Ingress, {"metadata": meta(name, "x"), "spec": {"defaultBackend": backend}})


def ingress_class(name: str) -> IngressClass:
    return from_dict(IngressClass, {"metadata": meta(name), "spec": {"controller": "example.com/controller"}})


def service_cidr(name: str) -> ServiceCIDR:
    number = sum(name.encode()) % 200
    return from_dict(ServiceCIDR, {"metadata": meta(name), "spec": {"cidrs": [f"10.{number}.0.0/24"]}})


def address(name: str) -> IPAddress:
    spec = {"parentRef": {"group": "", "resource": "services", "namespace": "x", "name": "web"}}
    return from_dict(IPAddress, {"metadata": meta(f"192.0.2.{sum(name.encode()) % 200}"), "spec": spec})


KINDS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]": (
        slice_of, "discovery.k8s.io", "endpointslices",
    ),
    "[sig-network] Ingress API should support creating Ingress API operations [Conformance]": (
        ingress, "networking.k8s.io", "ingresses",
    ),
    "[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]": (
        ingress_class, "networking.k8s.io", "ingressclasses",
    ),
    "[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]": (
        address, "networking.k8s.io", "ipaddresses",
    ),
    "[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]": (
        service_cidr, "networking.k8s.io", "servicecidrs",
    ),
}  # fmt: skip


async def discovered(w: World, group: str, plural: str) -> bool:
    groups = json.loads((await w.client.raw("GET", "/apis")).body)["groups"]
    versions = [v["version"] for g in groups if g["name"] == group for v in g["versions"]]
    resources = json.loads((await w.client.raw("GET", f"/apis/{group}/v1")).body)["resources"]
    return "v1" in versions and plural in {r["name"] for r in resources}


async def count(w: World, kind: type[Any], namespace: str, selector: str = "special-label=network") -> int:
    return len((await w.client.list(kind, namespace, label_selector=selector)).items)


@pytest.mark.parametrize("codename", KINDS)
def test_operations(codename: str) -> None:
    make, group, plural = KINDS[codename]
    first = make("first")
    kind, name, namespace = type(first), first.metadata.name, first.metadata.namespace or ""

    async def scenario() -> None:
        async with world() as w:
            client = w.client
            assert await discovered(w, group, plural)
            seen: list[WatchEvent[Any]] = []
            before = (await client.list(kind, namespace)).metadata.resource_version or ""
            created = await client.create(first)
            for other in ("second", "third"):
                await client.create(make(other))
            assert (await client.get(kind, name, namespace)).metadata.uid == created.metadata.uid
            assert await count(w, kind, namespace) == 3
            if namespace:
                assert await count(w, kind, "") == 3
            await client.patch(kind, name, namespace, {"metadata": {"annotations": {"patched": "true"}}}, type="merge")
            current = await client.get(kind, name, namespace)
            current.metadata.annotations["updated"] = "true"
            assert (await client.update(current)).metadata.annotations == {"patched": "true", "updated": "true"}
            await client.delete(kind, name, namespace)
            await w.until(lambda: w.is_gone(kind, name, namespace), seconds=60)
            await client.delete_collection(kind, namespace, label_selector="special-label=network")

            async def all_gone() -> bool:
                return await count(w, kind, namespace) == 0

            await w.until(all_gone, seconds=60)
            selector = "special-label=network"
            async for event in client.watch(kind, namespace, label_selector=selector, resource_version=before):
                seen.append(event)
                if [e.type for e in seen if e.object.metadata.name == name][-1:] == ["DELETED"]:
                    break
            types = [event.type for event in seen if event.object.metadata.name == name]
            assert types[0] == "ADDED"
            assert "MODIFIED" in types

    virtual_time.run(scenario())


@pytest.mark.parametrize("kind", [Ingress, Service, ServiceCIDR])
def test_statuses(kind: type[Any]) -> None:
    """[sig-network] Services should complete a service status lifecycle [Conformance]
    [sig-network] Ingress API should support creating Ingress API operations [Conformance]
    [sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]
    """
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    # Another's class: nobody here gives it an address.
    own = {"type": "LoadBalancer", "loadBalancerClass": "example.com/other", "ports": ports}
    made = {
        Ingress: ingress("one"),
        Service: from_dict(Service, {"metadata": meta("one", "x"), "spec": own}),
        ServiceCIDR: service_cidr("one"),
    }[kind]
    namespace = made.metadata.namespace or ""
    condition = {
        "type": "Tested", "status": "True", "reason": "E2E", "message": "Set by a test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    balanced = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
    change = balanced if kind is Ingress else {"conditions": [condition]}

    async def scenario() -> None:
        async with world() as w:
            await w.client.create(made)
            body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": change}
            patched = await w.client.patch(kind, "one", namespace, body, type="merge", subresource="status")
            assert patched.metadata.annotations["patchedstatus"] == "true"
            current = await w.client.get(kind, "one", namespace, subresource="status")
            assert to_dict(current)["status"].items() >= to_dict(patched)["status"].items()
            if kind is Ingress:
                assert current.status.load_balancer.ingress[0].ip == "203.0.113.1"
            else:
                assert "Tested" in {c.type for c in current.status.conditions}
            current.metadata.labels["updated"] = "yes"
            updated = await w.client.update_status(current)
            assert updated.status == current.status
            relabelled = {"metadata": {"labels": {"service": "patched"}}}
            assert (await w.client.patch(kind, "one", namespace, relabelled, type="strategic")).metadata.labels[
                "service"
            ] == "patched"

    virtual_time.run(scenario())


def test_a_collection_of_services() -> None:
    """[sig-network] Services should delete a collection of services [Conformance]"""

    async def scenario() -> None:
        async with world() as w:
            for name, label in (("a", "yes"), ("b", "yes"), ("c", "no")):
                wire = {"metadata": meta(name, "x", labels={"gone": label}), "spec": {"ports": [{"port": 80}]}}
                await w.client.create(from_dict(Service, wire))
            await w.client.delete_collection(Service, "x", label_selector="gone=yes")
            assert [s.metadata.name for s in (await w.client.list(Service, "x")).items] == ["c"]

    virtual_time.run(scenario())


def endpoints(address: str, port: int = 80) -> Endpoints:
    subset = {"addresses": [{"ip": address}], "ports": [{"name": "http", "port": port, "protocol": "TCP"}]}
    return from_dict(Endpoints, {"metadata": meta("custom", "x"), "subsets": [subset]})


def test_endpoints_and_their_mirror() -> None:
    """[sig-network] Services should test the lifecycle of an Endpoint [Conformance]
    [sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete
        [Conformance]
    """

    async def mirrored(w: World) -> list[tuple[str, int | None]]:
        selector = "endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io"
        found = (await w.client.list(EndpointSlice, "x", label_selector=selector)).items
        return [(e.addresses[0], p.port) for s in found for e in s.endpoints for p in s.ports]

    async def scenario() -> None:
        async with world() as w:
            ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
            await w.client.create(from_dict(Service, {"metadata": meta("custom", "x"), "spec": {"ports": ports}}))
            made = await w.client.create(endpoints("10.1.2.3"))
            await w.until(lambda: equals(mirrored(w), [("10.1.2.3", 80)]), seconds=30)
            made.metadata.labels["test-service"] = "updated"
            assert (await w.client.update(made)).metadata.labels["test-service"] == "updated"
            body = to_dict(endpoints("10.2.3.4", 8080))["subsets"]
            await w.client.patch(Endpoints, "custom", "x", {"subsets": body}, type="merge")
            await w.until(lambda: equals(mirrored(w), [("10.2.3.4", 8080)]), seconds=30)
            await w.client.delete_collection(Endpoints, "x", label_selector="test-service=updated")
            await w.until(lambda: w.is_gone(Endpoints, "custom"), seconds=30)
            await w.until(lambda: equals(mirrored(w), []), seconds=60)

    virtual_time.run(scenario())


async def equals(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)
