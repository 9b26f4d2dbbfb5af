"""The pytest plugin's cluster and the official Python client: what an operator's author has."""

from __future__ import annotations

import pytest
from kubernetes import client, config, dynamic, watch

from tiphys.testing.plugin import TiphysCluster


@pytest.fixture
def api(tiphys_cluster: TiphysCluster) -> client.ApiClient:
    return config.new_client_from_config(str(tiphys_cluster.kubeconfig))


def deployment(name: str) -> client.V1Deployment:
    labels = {"app": name}
    container = client.V1Container(name="main", image="app:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def test_a_deployment_becomes_ready_while_it_is_watched(api: client.ApiClient) -> None:
    apps = client.AppsV1Api(api)
    apps.create_namespaced_deployment("default", deployment("watched"))
    events = watch.Watch().stream(
        apps.list_namespaced_deployment, "default", field_selector="metadata.name=watched", timeout_seconds=20
    )
    assert any(event["object"].status.ready_replicas == 2 for event in events)
    pods = client.CoreV1Api(api).list_namespaced_pod("default", label_selector="app=watched").items
    assert {pod.status.phase for pod in pods} == {"Running"}
    assert all(pod.spec.node_name.startswith("hollow-") for pod in pods)


def test_errors_are_statuses(api: client.ApiClient) -> None:
    with pytest.raises(client.ApiException) as caught:
        client.CoreV1Api(api).read_namespaced_config_map("nothing", "default")
    assert caught.value.status == 404
    assert '"reason":"NotFound"' in caught.value.body


def test_the_dynamic_client_finds_kinds_by_discovery(api: client.ApiClient) -> None:
    kinds = dynamic.DynamicClient(api).resources
    config_maps = kinds.get(api_version="v1", kind="ConfigMap")
    made = config_maps.create({"metadata": {"name": "dynamic"}, "data": {"a": "b"}}, namespace="default")
    assert made.data.a == "b"
    patched = config_maps.patch(
        {"data": {"a": "c"}}, name="dynamic", namespace="default", content_type="application/merge-patch+json"
    )
    assert patched.data.a == "c"
    config_maps.delete(name="dynamic", namespace="default")
