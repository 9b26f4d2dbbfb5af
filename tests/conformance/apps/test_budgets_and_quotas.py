"""PodDisruptionBudgets, ResourceQuotas and LimitRanges: what may go, and how much may be there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.apps.workloads import Apps, Object, template, workload
from tests.e2e.cluster import eventually


def budget(name: str, minimum: int | str, app: str = "web") -> Object:
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": app}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}


def quota(name: str, hard: dict[str, str], **spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard} | spec}


def used(apps: Apps, name: str, expected: dict[str, str], seconds: float = 10) -> None:
    """Wait until the quota says that so much is used."""

    def told() -> bool:
        status = apps.get("resourcequota", name)["status"].get("used", {})
        return {key: status.get(key) for key in expected} == expected

    eventually(told, f"{name} has {expected} in use", seconds)


def refused(apps: Apps, manifest: Object) -> str:
    done = apps.cluster.kubectl("create", "-n", apps.namespace, "-f", "-", stdin=json.dumps(manifest), check=False)
    assert done.returncode != 0, "it was not refused"
    return done.stderr


def pod(name: str, resources: Object | None = None, **spec: Any) -> Object:
    inner = template(name, main={"resources": resources or {}}, **spec)["spec"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": inner}


def test_the_life_of_a_budget(apps: Apps) -> None:
    """[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]
    [sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]
    [sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]
    [sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection
        of PodDisruptionBudgets [Conformance]
    """
    apps.make(budget("pdb", 1), workload("Deployment", "web", replicas=3))
    apps.until("pdb", "pdb", lambda one: one["status"].get("disruptionsAllowed") == 2, "two may go")
    read = apps.get("pdb", "pdb")
    read["spec"]["minAvailable"] = 2
    apps.replace("poddisruptionbudgets/pdb", read)
    apps.until("pdb", "pdb", lambda one: one["status"].get("disruptionsAllowed") == 1, "one may go")
    assert apps.patch("pdb", "pdb", {"spec": {"minAvailable": "67%"}})["spec"]["minAvailable"] == "67%"
    apps.until("pdb", "pdb", lambda one: one["status"].get("desiredHealthy") == 3, "none may go")
    gone = {"status": {"disruptedPods": {"some-pod": "2030-01-01T00:00:00Z"}}}
    assert apps.patch("pdb", "pdb", gone, "--subresource=status")["status"]["disruptedPods"]
    assert any(one["metadata"]["namespace"] == apps.namespace for one in apps.cluster.get("pdb", "-A")["items"])
    apps.delete("pdb", "--all")
    eventually(lambda: not apps.list("pdb"), "they are gone", 20)


def test_a_budget_blocks_evictions(apps: Apps) -> None:
    """[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]"""
    apps.make(workload("ReplicaSet", "web", replicas=2), budget("pdb", 2))
    name = apps.ready_count("web", 2)[0]["metadata"]["name"]
    apps.until("pdb", "pdb", lambda one: one["status"].get("currentHealthy") == 2, "it sees both")
    path = f"/api/v1/namespaces/{apps.namespace}/pods/{name}/eviction"
    body = json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}})
    stopped = apps.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body, check=False)
    assert stopped.returncode != 0 and "violate the pod's disruption budget" in stopped.stderr
    apps.patch("pdb", "pdb", {"spec": {"minAvailable": 1}})
    apps.until("pdb", "pdb", lambda one: one["status"].get("disruptionsAllowed") == 1, "one may go")
    apps.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body)


@pytest.mark.parametrize(
    ("resource", "manifest"),
    [
        ("configmaps", {"apiVersion": "v1", "kind": "ConfigMap"}),
        ("secrets", {"apiVersion": "v1", "kind": "Secret"}),
        ("services", {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}),
        ("replicationcontrollers", workload("ReplicationController", "counted", replicas=0)),
        ("count/replicasets.apps", workload("ReplicaSet", "counted", replicas=0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_objects_are_counted(apps: Apps, resource: str, manifest: Object) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a configMap.
        [Conformance]
    [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a secret. [Conformance]
    [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a service. [Conformance]
    [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replication controller.
        [Conformance]
    [sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a replica set. [Conformance]
    """
    kind = resource.removeprefix("count/")
    eventually(lambda: kind != "configmaps" or apps.list(kind), "what every namespace has", 10)
    before = len(apps.list(kind))
    apps.make(quota("q", {resource: str(before + 1)}))
    used(apps, "q", {resource: str(before)})
    apps.make(manifest | {"metadata": {"name": "counted"}})
    used(apps, "q", {resource: str(before + 1)})
    assert "exceeded quota: q" in refused(apps, manifest | {"metadata": {"name": "more"}})
    apps.delete(kind, "counted")
    used(apps, "q", {resource: str(before)})


def test_pods_are_counted_and_measured(apps: Apps) -> None:
    """[sig-api-machinery] ResourceQuota should create a ResourceQuota and capture the life of a pod. [Conformance]
    [sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated.
        [Conformance]
    """
    apps.make(quota("q", {"pods": "2", "requests.cpu": "100m", "limits.memory": "64Mi"}))
    used(apps, "q", {"pods": "0", "requests.cpu": "0", "limits.memory": "0"}, 2)
    some = {"requests": {"cpu": "60m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}}
    apps.make(pod("one", some))
    used(apps, "q", {"pods": "1", "requests.cpu": "60m", "limits.memory": "32Mi"}, 2)
    assert "exceeded quota: q, requested: requests.cpu=60m" in refused(apps, pod("two", some))
    assert "must specify" in refused(apps, pod("careless"))
    apps.cluster.kubectl("delete", "pod", "one", "-n", apps.namespace)
    used(apps, "q", {"pods": "0", "requests.cpu": "0", "limits.memory": "0"})


def test_scopes(apps: Apps) -> None:
    """[sig-api-machinery] ResourceQuota should verify ResourceQuota with best effort scope. [Conformance]
    [sig-api-machinery] ResourceQuota should verify ResourceQuota with terminating scopes. [Conformance]
    """
    scopes = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating")
    apps.make(*(quota(scope.lower(), {"pods": "5"}, scopes=[scope]) for scope in scopes))
    for scope in scopes:
        used(apps, scope.lower(), {"pods": "0"})
    apps.make(pod("free"), pod("sized", {"requests": {"cpu": "1m"}}, activeDeadlineSeconds=600))
    for scope in scopes:
        used(apps, scope.lower(), {"pods": "1"})


def test_the_life_of_a_quota(apps: Apps) -> None:
    """[sig-api-machinery] ResourceQuota should manage the lifecycle of a ResourceQuota [Conformance]
    [sig-api-machinery] ResourceQuota should be able to update and delete ResourceQuota. [Conformance]
    [sig-api-machinery] ResourceQuota should apply changes to a resourcequota status [Conformance]
    """
    apps.make(quota("q", {"pods": "1"}))
    used(apps, "q", {"pods": "0"})
    apps.patch("resourcequota", "q", {"metadata": {"labels": {"q": "patched"}}, "spec": {"hard": {"pods": "3"}}})
    apps.until("resourcequota", "q", lambda one: one["status"]["hard"] == {"pods": "3"}, "its status follows")
    told = apps.patch("resourcequota", "q", {"status": {"hard": {"pods": "9"}}}, "--subresource=status")
    assert told["status"]["hard"] == {"pods": "9"} and told["spec"]["hard"] == {"pods": "3"}
    apps.until("resourcequota", "q", lambda one: one["status"]["hard"] == {"pods": "3"}, "what is true returns")
    apps.delete("resourcequota", "-l", "q=patched")
    eventually(lambda: not apps.list("resourcequota"), "it is gone", 20)


def test_limit_ranges(apps: Apps) -> None:
    """[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied.
    [Conformance]
    [sig-scheduling] LimitRange should list, patch and delete a LimitRange by collection [Conformance]
    """
    limit = {
        "type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m"},
        "default": {"cpu": "400m"}, "defaultRequest": {"cpu": "100m"},
    }  # fmt: skip
    made = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "lr"}, "spec": {"limits": [limit]}}
    apps.make(made)
    eventually(
        lambda: _container_resources(apps) == {"limits": {"cpu": "400m"}, "requests": {"cpu": "100m"}}, "set", 10
    )
    assert "minimum cpu usage per Container is 50m" in refused(apps, pod("tiny", {"requests": {"cpu": "10m"}}))
    assert "maximum cpu usage per Container is 500m" in refused(apps, pod("huge", {"limits": {"cpu": "600m"}}))
    apps.patch("limitrange", "lr", {"metadata": {"labels": {"lr": "patched"}}})
    assert any(
        one["metadata"]["name"] == "lr" for one in apps.cluster.get("limitrange", "-A", "-l", "lr=patched")["items"]
    )
    apps.delete("limitrange", "-l", "lr=patched")
    eventually(lambda: not apps.list("limitrange"), "gone", 20)


def _container_resources(apps: Apps) -> Object:
    """What a pod gets that says nothing; it is made anew each time, as limits are heard of by a watch."""
    apps.cluster.kubectl("delete", "pod", "plain", "-n", apps.namespace, "--ignore-not-found", "--now")
    apps.make(pod("plain"))
    resources: Object = apps.get("pod", "plain")["spec"]["containers"][0]["resources"]
    return resources
