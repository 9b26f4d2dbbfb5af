"""core, apps, batch, autoscaling, policy."""

from __future__ import annotations

from typing import Any, Final

from tests.conformance.kinds.bodies.body import Body

LABELS: Final = {"app": "life"}
POD: Final[dict[str, Any]] = {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10"}]}
TEMPLATE: Final[dict[str, Any]] = {"metadata": {"labels": LABELS}, "spec": POD}
ONCE: Final[dict[str, Any]] = {"spec": {**POD, "restartPolicy": "Never"}}
_SELECTED: Final[dict[str, Any]] = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
_CLAIM: Final[dict[str, Any]] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_TARGET: Final[dict[str, Any]] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
_VOLUME: Final[dict[str, Any]] = {
    "accessModes": ["ReadWriteOnce"],
    "capacity": {"storage": "1Gi"},
    "hostPath": {"path": "/tmp/life"},
}


def _involve(manifest: dict[str, Any], name: str, namespace: str) -> None:
    manifest["involvedObject"] = {"kind": "Pod", "name": name, "namespace": namespace}


def _condition(kind: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


BODIES: Final[dict[str, Body]] = {
    "v1/ConfigMap": Body({"data": {"a": "1"}}, change={"data": {"a": "2"}}),
    "v1/Endpoints": Body(
        {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]},
        change={"subsets": [{"addresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]},
    ),
    "v1/Event": Body({"reason": "Tested", "type": "Normal"}, change={"count": 2}, prepare=_involve),
    "v1/LimitRange": Body(
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}},
        change={"spec": {"limits": [{"type": "Container", "max": {"cpu": "3"}}]}},
    ),
    "v1/Namespace": Body(status=_condition("example.com/Looked")),
    "v1/Node": Body(change={"spec": {"unschedulable": True}}, status=_condition("example.com/Looked")),
    "v1/PersistentVolume": Body(
        {"spec": _VOLUME},
        change={"spec": {"persistentVolumeReclaimPolicy": "Delete"}},
        status={"phase": "Available"},
    ),
    "v1/PersistentVolumeClaim": Body({"spec": _CLAIM}, status={"phase": "Lost"}),
    "v1/Pod": Body(
        {"spec": POD},
        change={"spec": {"activeDeadlineSeconds": 600}},
        counted=True,
        status={"message": "looked at"},
    ),
    "v1/PodTemplate": Body(
        {"template": TEMPLATE},
        change={"template": {"spec": {"restartPolicy": "OnFailure"}}},
        counted=True,
    ),
    "v1/ReplicationController": Body(
        {"spec": {"replicas": 0, "selector": LABELS, "template": TEMPLATE}},
        change={"spec": {"replicas": 1}},
        counted=True,
        status={"replicas": 1, "observedGeneration": 1},
    ),
    "v1/ResourceQuota": Body(
        {"spec": {"hard": {"count/widgets.example.com": "5"}}},
        change={"spec": {"hard": {"count/widgets.example.com": "6"}}},
        status={"used": {"count/widgets.example.com": "1"}},
    ),
    "v1/Secret": Body({"data": {"a": "MQ=="}}, change={"data": {"a": "Mg=="}}),
    "v1/Service": Body(
        {"spec": {"selector": LABELS, "ports": [{"port": 80}]}},
        change={"spec": {"sessionAffinity": "ClientIP"}},
        status=_condition("example.com/Looked"),
    ),
    "v1/ServiceAccount": Body(change={"automountServiceAccountToken": False}),
    "apps/v1/ControllerRevision": Body({"revision": 1, "data": {"a": "b"}}, change={"revision": 2}),
    "apps/v1/DaemonSet": Body(
        {"spec": _SELECTED},
        change={"spec": {"minReadySeconds": 1}},
        counted=True,
        status={"numberReady": 1},
    ),
    "apps/v1/Deployment": Body(
        {"spec": {**_SELECTED, "replicas": 0}},
        change={"spec": {"paused": True}},
        counted=True,
        status={"observedGeneration": 1},
    ),
    "apps/v1/ReplicaSet": Body(
        {"spec": {**_SELECTED, "replicas": 0}},
        change={"spec": {"replicas": 1}},
        counted=True,
        status={"replicas": 1},
    ),
    "apps/v1/StatefulSet": Body(
        {"spec": {**_SELECTED, "replicas": 0, "serviceName": "s"}},
        change={"spec": {"replicas": 1}},
        counted=True,
        status={"replicas": 1},
    ),
    "batch/v1/CronJob": Body(
        {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": ONCE}}}},
        change={"spec": {"suspend": True}},
        counted=True,
        status={"lastScheduleTime": "2026-01-01T00:00:00Z"},
    ),
    "batch/v1/Job": Body(
        {"spec": {"template": ONCE}},
        change={"spec": {"parallelism": 2}},
        counted=True,
        status={"startTime": "2026-01-01T00:00:00Z"},
    ),
    "autoscaling/v1/HorizontalPodAutoscaler": Body(
        {"spec": {"maxReplicas": 3, "scaleTargetRef": _TARGET}},
        change={"spec": {"maxReplicas": 4}},
        status={"currentReplicas": 1, "desiredReplicas": 2},
    ),
    "autoscaling/v2/HorizontalPodAutoscaler": Body(
        {"spec": {"maxReplicas": 3, "scaleTargetRef": _TARGET}},
        change={"spec": {"maxReplicas": 4}},
        status={"currentReplicas": 1, "desiredReplicas": 2},
    ),
    "policy/v1/PodDisruptionBudget": Body(
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}}},
        change={"spec": {"minAvailable": 2}},
        counted=True,
        status={"currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1},
    ),
}
