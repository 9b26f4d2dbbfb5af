"""Defaults no recording shows."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.defaulting import default
from tiphys.api.defaulting.containers import pull_policy
from tiphys.api.types.apps_v1 import StatefulSet
from tiphys.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import LimitRange, Pod, Secret, Service


def filled(kind: type[Any], manifest: dict[str, Any]) -> dict[str, Any]:
    return codec.to_dict(default(codec.from_dict(kind, manifest)))


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry.example.com:5000/a/b", "Always"),
        ("registry.example.com:5000/a/b:v1", "IfNotPresent"),
        ("a/b@sha256:" + "0" * 64, "IfNotPresent"),
        ("a:latest@sha256:" + "0" * 64, "Always"),
        ("Not An Image", "IfNotPresent"),
        ("", "IfNotPresent"),
        (None, "IfNotPresent"),
    ],
)
def test_pull_policy(image: str | None, policy: str) -> None:
    assert pull_policy(image) == policy


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i:1", **(container or {})}]
    found: dict[str, Any] = filled(Pod, {"spec": {"containers": containers, **spec}})
    return found["spec"]


def test_requests_follow_limits_in_pods_only() -> None:
    limits = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}
    assert pod(limits)["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    template = filled(StatefulSet, {"spec": {"template": {"spec": {"containers": [{"name": "c", **limits}]}}}})
    (container,) = template["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "500m"}


def test_resources_are_kept_to_thousandths() -> None:
    assert pod({"resources": {"requests": {"cpu": "100u"}}})["containers"][0]["resources"]["requests"] == {"cpu": "1m"}


def test_pod_level_requests() -> None:
    spec = pod({"resources": {"requests": {"cpu": "1"}}}, resources={"limits": {"cpu": "4", "memory": "1Gi"}})
    assert spec["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_service_account_names_mirror() -> None:
    assert pod(serviceAccount="a")["serviceAccountName"] == "a"
    assert pod(serviceAccountName="b", serviceAccount="a")["serviceAccount"] == "b"


def test_stateful_sets() -> None:
    spec = filled(StatefulSet, {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "d"}}]}})["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["volumeClaimTemplates"][0]["status"] == {"phase": "Pending"}
    assert spec["volumeClaimTemplates"][0]["spec"]["volumeMode"] == "Filesystem"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, (1, 1, 6)),
        ({"parallelism": 3}, (None, 3, 6)),
        ({"completions": 3}, (3, 1, 6)),
        ({"backoffLimitPerIndex": 1, "completionMode": "Indexed", "completions": 2}, (2, 1, 2**31 - 1)),
    ],
)
def test_jobs(spec: dict[str, Any], expected: tuple[Any, ...]) -> None:
    found = filled(Job, {"spec": spec})["spec"]
    assert (found.get("completions"), found["parallelism"], found["backoffLimit"]) == expected


def test_replacement_follows_failure_policy() -> None:
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    found = filled(Job, {"spec": {"podFailurePolicy": {"rules": [rule]}}})["spec"]
    assert found["podReplacementPolicy"] == "Failed"
    assert found["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_autoscaler_behaviour() -> None:
    spec = filled(HorizontalPodAutoscaler, {"spec": {"behavior": {"scaleDown": {"selectPolicy": "Min"}}}})["spec"]
    assert spec["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ],
        },
        "scaleDown": {"selectPolicy": "Min", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
    }
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}


def test_external_traffic_policy_only_where_traffic_comes_from_outside() -> None:
    def policy(spec: dict[str, Any]) -> Any:
        return filled(Service, {"spec": spec})["spec"].get("externalTrafficPolicy")

    assert policy({}) is None
    assert policy({"type": "NodePort"}) == policy({"externalIPs": ["192.0.2.1"]}) == "Cluster"
    assert filled(Service, {"spec": {"type": "ExternalName"}})["spec"].get("internalTrafficPolicy") is None


def test_string_data_wins() -> None:
    found = filled(Secret, {"data": {"a": "eA=="}, "stringData": {"a": "y"}})
    assert (found["data"], "stringData" in found) == ({"a": "eQ=="}, False)


def test_limits_fill_each_other() -> None:
    item = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}
    (found,) = filled(LimitRange, {"spec": {"limits": [item]}})["spec"]["limits"]
    assert found["default"] == {"cpu": "2"}
    assert found["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}
