"""Custom resources in two versions that a webhook converts between, each selected by fields of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client import ApiClient

from tests.conformance.api.running import RunningServer
from tests.conformance.api.webhooks import conversion, webhook
from tests.e2e.cluster import eventually

GROUP = "hosts.example.com"
NAMESPACE = "default"


def convert(obj: dict[str, Any], wanted: str) -> dict[str, Any]:
    """v1 has ``hostPort: host:port``, v2 ``host`` and ``port``."""
    made = dict(obj)
    if wanted.endswith("/v2") and "hostPort" in made:
        host, _, port = made.pop("hostPort").partition(":")
        made |= {"host": host, "port": port}
    elif wanted.endswith("/v1") and "host" in made:
        made["hostPort"] = f"{made.pop('host')}:{made.pop('port', '')}"
    return made


def version(name: str, *fields: str, storage: bool = False) -> dict[str, Any]:
    properties = {field: {"type": "string"} for field in fields}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
    }


@pytest.fixture
def custom(server: RunningServer, api_client: ApiClient) -> Iterator[client.CustomObjectsApi]:
    with webhook(server, conversion(convert)) as running:
        hook = {"clientConfig": running.client_config, "conversionReviewVersions": ["v1"]}
        body = {
            "metadata": {"name": f"endpoints.{GROUP}"},
            "spec": {
                "group": GROUP,
                "scope": "Namespaced",
                "names": {"plural": "endpoints", "singular": "endpoint", "kind": "HostEndpoint"},
                "versions": [version("v1", "hostPort", storage=True), version("v2", "host", "port")],
                "conversion": {"strategy": "Webhook", "webhook": hook},
            },
        }
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        answer = server.raw("POST", definitions, body)
        assert answer.status == 201, answer.body
        eventually(lambda: server.raw("GET", f"/apis/{GROUP}/v2/endpoints").status == 200, "it is served", 10)
        yield client.CustomObjectsApi(api_client)
        server.raw("DELETE", f"{definitions}/endpoints.{GROUP}")
        eventually(
            lambda: server.raw("GET", f"{definitions}/endpoints.{GROUP}").status == 404, "the definition is gone", 10
        )


def endpoint(name: str, host_port: str) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "HostEndpoint", "metadata": {"name": name}, "hostPort": host_port}


def test_each_version_is_selected_by_its_own_fields(server: RunningServer, custom: client.CustomObjectsApi) -> None:
    """[sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list
    and watch custom resources matching the field selector [Conformance]"""

    def listed(served: str, selector: str) -> list[str]:
        found = custom.list_namespaced_custom_object(GROUP, served, NAMESPACE, "endpoints", field_selector=selector)
        return [item["metadata"]["name"] for item in found["items"]]

    for number, host_port in enumerate(("a:80", "b:80", "a:443")):
        body = endpoint(f"e{number}", host_port)
        custom.create_namespaced_custom_object(GROUP, "v1", NAMESPACE, "endpoints", body)
    assert listed("v1", "hostPort=a:80") == ["e0"]
    assert listed("v1", "hostPort!=a:80") == ["e1", "e2"]
    assert listed("v2", "host=a") == ["e0", "e2"]
    assert listed("v2", "host=a,port=443") == ["e2"]
    refused = server.raw("GET", f"/apis/{GROUP}/v2/endpoints?fieldSelector=hostPort%3Da:80")
    assert (refused.status, refused.message) == (400, "field label not supported: hostPort")

    since = custom.list_namespaced_custom_object(GROUP, "v2", NAMESPACE, "endpoints")["metadata"]["resourceVersion"]
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object,
        *(GROUP, "v2", NAMESPACE, "endpoints"),
        field_selector="host=a",
        resource_version=since,
        timeout_seconds=10,
    )
    path = f"/apis/{GROUP}/v1/namespaces/{NAMESPACE}/endpoints"
    merge = {"Content-Type": "application/merge-patch+json"}
    for name, host_port in (("e0", "b:80"), ("e1", "a:81"), ("e2", "a:444")):
        assert server.raw("PATCH", f"{path}/{name}", {"hostPort": host_port}, merge).status == 200
    server.raw("DELETE", f"{path}/e2")
    told = []
    for event in stream:
        obj = event["object"]
        assert obj["apiVersion"] == f"{GROUP}/v2"
        told.append((event["type"], obj["metadata"]["name"], obj["host"], obj["port"]))
        if len(told) == 4:
            break
    stream.close()
    assert told == [
        ("DELETED", "e0", "a", "80"),
        ("ADDED", "e1", "a", "81"),
        ("MODIFIED", "e2", "a", "444"),
        ("DELETED", "e2", "a", "444"),
    ]
    selector = "?fieldSelector=host%3Da"
    answer = server.raw("DELETE", f"/apis/{GROUP}/v2/namespaces/{NAMESPACE}/endpoints{selector}")
    assert answer.status == 200, answer.body
    assert listed("v1", "") == ["e0"]
