"""What clients find out about a server: groups, versions, resources; in one document, or one for each version."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient, EagerDiscoverer

from tests.conformance.api.running import Answer, RunningServer
from tiphys.api.scheme import RESOURCES

Raw = Callable[..., Answer]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_numbers = itertools.count(1)
BUILT_IN = {(resource.group, resource.version, resource.plural) for resource in RESOURCES}


def accept(version: str = "v2", media_type: str = "application/json") -> str:
    return f"{media_type};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def aggregated(raw: Raw, path: str = "/apis", header: str | None = None) -> Answer:
    return raw("GET", path, None, {"Accept": header or accept()})


def listed(document: Any) -> set[tuple[str, str, str]]:
    """(group, version, plural) of every resource in an aggregated document."""
    return {
        (item["metadata"].get("name", ""), version["version"], resource["resource"])
        for item in document["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }


def established(definition: Any) -> bool:
    conditions = definition.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Established", "True") for one in conditions)


@pytest.fixture
def group(server: RunningServer, raw: Raw) -> Iterator[str]:
    """The group of an established definition of things, gone after the test."""
    group = f"found-{next(_numbers)}.example.com"
    name = f"things.{group}"
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": group,
        "names": {"plural": "things", "kind": "Thing", "shortNames": ["tg"], "categories": ["all"]},
        "scope": "Namespaced",
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}],
    }
    assert raw("POST", DEFINITIONS, {"metadata": {"name": name}, "spec": spec}).status == 201
    with server.watch(f"{DEFINITIONS}?watch=1&fieldSelector=metadata.name%3D{name}") as events:
        while not established(events.next()["object"]):
            pass
    yield group
    raw("DELETE", f"{DEFINITIONS}/{name}")


def test_built_in_resources_are_all_present(raw: Raw) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]"""
    found = listed(aggregated(raw, "/api").json) | listed(aggregated(raw).json)
    assert found >= BUILT_IN


def test_a_definition_is_present_at_once(raw: Raw, group: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]"""
    assert (group, "v1", "things") in listed(aggregated(raw).json)


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_accept_headers(raw: Raw, path: str, version: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers
    [Conformance]"""
    answer = aggregated(raw, path, f"{accept(version)},application/json")
    kind = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert answer.json["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert listed(answer.json)
    assert {"configmaps", "deployments"} & {plural for _, _, plural in listed(answer.json)}


def test_a_definition_in_the_raw_document(raw: Raw, group: str) -> None:
    """[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]"""
    item = next(item for item in aggregated(raw).json["items"] if item["metadata"]["name"] == group)
    (version,) = item["versions"]
    assert (version["version"], version["freshness"]) == ("v1", "Current")
    (thing,) = version["resources"]
    assert thing["responseKind"] == {"group": group, "version": "v1", "kind": "Thing"}
    assert (thing["scope"], thing["shortNames"], thing["categories"]) == ("Namespaced", ["tg"], ["all"])
    assert [sub["subresource"] for sub in thing["subresources"]] == ["status"]


def test_every_group_has_its_version_and_resources(api_client: ApiClient) -> None:
    """[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]"""
    custom, apis = client.CustomObjectsApi(api_client), client.ApisApi(api_client)
    for found in apis.get_api_versions().groups:
        for version in found.versions:
            try:
                resources = custom.get_api_resources(found.name, version.version)
            except ApiException:
                # Custom resources of a test before may be just going away; what is listed is there.
                assert found.name not in {group.name for group in apis.get_api_versions().groups}
                break
            assert resources.group_version == version.group_version
            assert resources.resources


def test_every_group_prefers_one_of_its_versions(api_client: ApiClient) -> None:
    """[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]"""
    groups = client.ApisApi(api_client).get_api_versions().groups
    assert groups
    for found in groups:
        assert found.preferred_version.group_version in [version.group_version for version in found.versions]


def test_webhooks_are_in_the_documents(raw: Raw) -> None:
    """[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should include webhook resources in discovery
    documents [Conformance]"""
    name = "admissionregistration.k8s.io"
    groups = {group["name"]: group for group in raw("GET", "/apis").json["groups"]}
    assert {"groupVersion": f"{name}/v1", "version": "v1"} in groups[name]["versions"]
    assert {"groupVersion": f"{name}/v1", "version": "v1"} in raw("GET", f"/apis/{name}").json["versions"]
    plurals = {resource["name"] for resource in raw("GET", f"/apis/{name}/v1").json["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= plurals


def test_documents_are_revalidated(raw: Raw, request: pytest.FixtureRequest) -> None:
    first = aggregated(raw)
    tag = first.headers["etag"]
    unchanged = raw("GET", "/apis", None, {"Accept": accept(), "If-None-Match": tag})
    assert (unchanged.status, unchanged.body, unchanged.headers["etag"]) == (304, b"", tag)
    assert "Accept" in first.headers["vary"]
    request.getfixturevalue("group")
    changed = raw("GET", "/apis", None, {"Accept": accept(), "If-None-Match": tag})
    assert changed.status == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    "header",
    [accept("v3"), "application/json", "*/*", "", "application/json;g=other;v=v2;as=APIGroupDiscoveryList,*/*"],
)
def test_others_get_the_old_documents(raw: Raw, header: str) -> None:
    answer = raw("GET", "/apis", None, {"Accept": header})
    assert (answer.status, answer.json["kind"]) == (200, "APIGroupList")


def test_the_old_documents_tell_what_clients_keep(raw: Raw) -> None:
    versions = raw("GET", "/api").json
    assert (versions["kind"], versions["versions"]) == ("APIVersions", ["v1"])
    assert versions["serverAddressByClientCIDRs"][0]["clientCIDR"] == "0.0.0.0/0"
    resources = raw("GET", "/api/v1").json["resources"]
    pods = next(resource for resource in resources if resource["name"] == "pods")
    assert pods["storageVersionHash"]
    assert {"name": "pods/eviction", "group": "policy", "version": "v1", "kind": "Eviction"}.items() <= next(
        resource for resource in resources if resource["name"] == "pods/eviction"
    ).items()


def test_a_group_that_nobody_answers_for_breaks_nothing(raw: Raw, kubectl: Callable[..., Any]) -> None:
    """An aggregated server that is away: its group is told of as stale, and kubectl goes on."""
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {
        "group": "away.example.com",
        "version": "v1",
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "insecureSkipTLSVerify": True,
        "service": {"name": "away", "namespace": "default"},
    }
    assert raw("POST", path, {"metadata": {"name": "v1.away.example.com"}, "spec": spec}).status == 201
    try:
        assert ("away.example.com", "v1", "") not in listed(aggregated(raw).json)
        assert listed(aggregated(raw).json) >= {found for found in BUILT_IN if found[0]}
        assert "deployments" in kubectl("api-resources", check=False).stdout
        assert "kube-system" in kubectl("get", "namespaces").stdout
        assert raw("GET", "/apis/away.example.com/v1").status == 503
    finally:
        raw("DELETE", f"{path}/v1.away.example.com")


@pytest.mark.parametrize("discoverer", [None, EagerDiscoverer])
def test_the_dynamic_client_finds_what_is_new(
    api_client: ApiClient, group: str, discoverer: Any, tmp_path: Path
) -> None:
    """Whether it asks for all at first or when it needs to, and keeps what it found in a file."""
    more = {"discoverer": discoverer} if discoverer else {}
    dynamic = DynamicClient(api_client, cache_file=str(tmp_path / "discovery"), **more)
    things = dynamic.resources.get(api_version=f"{group}/v1", kind="Thing")
    assert (things.name, things.namespaced) == ("things", True)
    body = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "one"}, "size": 3}
    assert things.create(body=body, namespace="default").metadata.name == "one"
    assert [item.metadata.name for item in things.get(namespace="default").items] == ["one"]
    events = things.watch(namespace="default", timeout=1)
    assert next(iter(events))["object"].metadata.name == "one"
    things.delete(name="one", namespace="default")
