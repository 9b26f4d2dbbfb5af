"""Namespaces and ResourceQuotas as objects of the API, through the official client."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiClient, ApiException

from tests.conformance.api.running import RunningServer
from tests.e2e.cluster import eventually

MERGE = {"_content_type": "application/merge-patch+json"}
STRATEGIC = {"_content_type": "application/strategic-merge-patch+json"}
FINALIZER = "e2e.example.com/fakeFinalizer"


def test_a_namespace_is_patched(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Namespaces [Serial] should patch a Namespace [Conformance]"""
    api = client.CoreV1Api(api_client)
    api.patch_namespace(namespace, {"metadata": {"labels": {"testLabel": "testValue"}}}, **STRATEGIC)
    assert api.read_namespace(namespace).metadata.labels["testLabel"] == "testValue"


def test_a_namespace_is_updated(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply an update to a Namespace [Conformance]"""
    api = client.CoreV1Api(api_client)
    found = api.read_namespace(namespace)
    found.metadata.labels = {**found.metadata.labels, namespace: "updated"}
    assert api.replace_namespace(namespace, found).metadata.labels[namespace] == "updated"
    assert api.read_namespace(namespace).metadata.labels[namespace] == "updated"


def test_the_status_of_a_namespace_changes(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply changes to a namespace status [Conformance]"""
    api = client.CoreV1Api(api_client)
    assert api.read_namespace_status(namespace).status.phase == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patched = api.patch_namespace_status(
        namespace,
        {"metadata": {"annotations": {"patched": "true"}}, "status": {"conditions": [condition]}},
        **MERGE,
    )
    (found,) = patched.status.conditions
    assert (found.type, found.reason, found.message) == ("StatusPatch", "E2E", "Patched by an e2e test")
    current = api.read_namespace_status(namespace)
    current.status.conditions.append(
        client.V1NamespaceCondition(type="StatusUpdate", status="True", reason="E2E", message="Updated by an e2e test")
    )
    updated = api.replace_namespace_status(namespace, current)
    assert [c.type for c in updated.status.conditions] == ["StatusPatch", "StatusUpdate"]
    assert api.read_namespace(namespace).status.phase == "Active"


def test_a_namespace_gets_a_finalizer(controlled_client: ApiClient, controlled_namespace: str) -> None:
    """[sig-api-machinery] Namespaces [Serial] should apply a finalizer to a Namespace [Conformance]"""
    api = client.CoreV1Api(controlled_client)
    found = api.read_namespace(controlled_namespace)
    found.spec.finalizers.append(FINALIZER)
    assert FINALIZER in api.replace_namespace_finalize(controlled_namespace, found).spec.finalizers
    api.delete_namespace(controlled_namespace)
    held = api.read_namespace(controlled_namespace)
    assert held.status.phase == "Terminating" and FINALIZER in held.spec.finalizers

    def released() -> bool:
        current = api.read_namespace(controlled_namespace)
        current.spec.finalizers = [name for name in current.spec.finalizers if name != FINALIZER]
        try:
            answer = api.replace_namespace_finalize(controlled_namespace, current)
        except ApiException as error:
            assert error.status == 409  # the controller was faster
            return False
        return FINALIZER not in (answer.spec.finalizers or [])

    eventually(released, "the finalizer is taken away", 10)

    def gone() -> bool:
        try:
            api.read_namespace(controlled_namespace)
        except ApiException as error:
            return bool(error.status == 404)
        return False

    eventually(gone, "the namespace is gone", 20)


def quota(name: str, labels: dict[str, str] | None = None, **hard: str) -> client.V1ResourceQuota:
    return client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name=name, labels=labels), spec=client.V1ResourceQuotaSpec(hard=hard)
    )


def test_a_quota_is_updated_and_deleted(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]"""
    api = client.CoreV1Api(api_client)
    made = api.create_namespaced_resource_quota(namespace, quota("test-quota", cpu="1", memory="500Mi"))
    assert made.spec.hard == {"cpu": "1", "memory": "500Mi"}
    found = api.read_namespaced_resource_quota("test-quota", namespace)
    found.spec.hard = {"cpu": "2", "memory": "1Gi"}
    assert api.replace_namespaced_resource_quota("test-quota", namespace, found).spec.hard == found.spec.hard
    assert api.read_namespaced_resource_quota("test-quota", namespace).spec.hard == {"cpu": "2", "memory": "1Gi"}
    api.delete_namespaced_resource_quota("test-quota", namespace)
    with pytest.raises(ApiException) as missing:
        api.read_namespaced_resource_quota("test-quota", namespace)
    assert missing.value.status == 404


def test_the_life_of_a_quota(api_client: ApiClient, namespace: str) -> None:
    """[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]"""
    api = client.CoreV1Api(api_client)
    labels = {f"e2e-rq-{namespace}": "created"}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    api.create_namespaced_resource_quota(namespace, quota("life", labels, cpu="1", memory="500Mi"))
    listed = api.list_resource_quota_for_all_namespaces(label_selector=selector).items
    assert [item.metadata.name for item in listed] == ["life"]
    changes: dict[str, Any] = {
        "metadata": {"labels": {"life": "patched"}},
        "spec": {"hard": {"memory": "750Mi"}},
    }
    api.patch_namespaced_resource_quota("life", namespace, changes, **STRATEGIC)
    found = api.read_namespaced_resource_quota("life", namespace)
    assert found.metadata.labels["life"] == "patched"
    assert found.spec.hard == {"cpu": "1", "memory": "750Mi"}
    api.delete_collection_namespaced_resource_quota(namespace, label_selector=selector)
    assert api.list_resource_quota_for_all_namespaces(label_selector=selector).items == []


def test_the_status_of_a_quota_changes(
    server: RunningServer, controlled_client: ApiClient, controlled_namespace: str
) -> None:
    """[sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]"""
    api, space = client.CoreV1Api(controlled_client), controlled_namespace
    api.create_namespaced_resource_quota(space, quota("status", cpu="500m", memory="500Mi"))

    def told() -> Any:
        return api.read_namespaced_resource_quota_status("status", space)

    eventually(lambda: told().status.hard == {"cpu": "500m", "memory": "500Mi"}, "hard is told", 10)

    def updated() -> bool:
        current = told()
        current.status.hard = {"cpu": "600m", "memory": "600Mi"}
        try:
            answer = api.replace_namespaced_resource_quota_status("status", space, current)
        except ApiException as error:
            assert error.status == 409
            return False
        return bool(answer.status.hard == {"cpu": "600m", "memory": "600Mi"})

    eventually(updated, "the status is written", 10)
    eventually(lambda: told().status.hard == {"cpu": "500m", "memory": "500Mi"}, "the spec rules", 10)
    hard = {"cpu": "1", "memory": "1Gi"}
    assert api.patch_namespaced_resource_quota("status", space, {"spec": {"hard": hard}}, **MERGE).spec.hard == hard
    eventually(lambda: told().status.hard == hard, "the new spec is told", 10)
    more = {"cpu": "2", "memory": "2Gi"}
    patched = api.patch_namespaced_resource_quota_status("status", space, {"status": {"hard": more}}, **MERGE)
    assert patched.status.hard == more and patched.spec.hard == hard
    eventually(lambda: told().status.hard == hard, "the spec rules again", 10)
