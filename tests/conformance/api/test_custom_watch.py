"""Watching custom resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client import ApiClient

from tests.conformance.api.running import RunningServer
from tests.e2e.cluster import eventually

GROUP, PLURAL = "mygroup.example.com", "noxus"


@pytest.fixture
def noxus(server: RunningServer, api_client: ApiClient) -> Iterator[client.CustomObjectsApi]:
    """A cluster-scoped kind that keeps whatever it is given."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": PLURAL, "singular": "nonu", "kind": "WishIHadChosenNoxu", "listKind": "NoxuItemList"}
    body = {
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Cluster", "names": names, "versions": [served]},
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert server.raw("POST", definitions, body).status == 201
    eventually(lambda: server.raw("GET", f"/apis/{GROUP}/v1beta1/{PLURAL}").status == 200, "noxus are served", 10)
    yield client.CustomObjectsApi(api_client)
    server.raw("DELETE", f"{definitions}/{PLURAL}.{GROUP}")


def test_custom_resources_are_watched(noxus: client.CustomObjectsApi) -> None:
    """[sig-api-machinery] CustomResourceDefinition Watch [Privileged:ClusterAdmin] CustomResourceDefinition Watch watch
    on custom resource definition objects [Conformance]"""

    def events(name: str) -> Any:
        return watch.Watch().stream(
            noxus.list_cluster_custom_object,
            *(GROUP, "v1beta1", PLURAL),
            field_selector=f"metadata.name={name}",
            resource_version=since,
            timeout_seconds=10,
        )

    since = noxus.list_cluster_custom_object(GROUP, "v1beta1", PLURAL)["metadata"]["resourceVersion"]
    watches = {name: events(name) for name in ("name1", "name2")}
    for name in watches:
        body = {"apiVersion": f"{GROUP}/v1beta1", "kind": "WishIHadChosenNoxu", "metadata": {"name": name}, "num": 1}
        noxus.create_cluster_custom_object(GROUP, "v1beta1", PLURAL, body)
    for name in watches:
        noxus.patch_cluster_custom_object(GROUP, "v1beta1", PLURAL, name, {"num": 2})
    for name in watches:
        noxus.delete_cluster_custom_object(GROUP, "v1beta1", PLURAL, name)
    for name, stream in watches.items():
        told = [next(stream) for _ in range(3)]
        stream.close()
        assert [event["type"] for event in told] == ["ADDED", "MODIFIED", "DELETED"]
        assert {event["object"]["metadata"]["name"] for event in told} == {name}
        assert [event["object"]["num"] for event in told] == [1, 2, 2]
