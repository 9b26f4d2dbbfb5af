"""What may not change once an object is there."""

from __future__ import annotations

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, update

POD = "v1/Pod"
SVC = "v1/Service"
SECRET = "v1/Secret"
CONFIG = "v1/ConfigMap"
JOB = "batch/v1/Job"
STATEFUL = "apps/v1/StatefulSet"
DEPLOYMENT = "apps/v1/Deployment"
IMMUTABLE = "field is immutable"
SET_IMMUTABLE = "field is immutable when `immutable` is set"
POD_UPDATE = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute"}
PODS = [
    update(POD, {}, {"spec.containers[0].image": "example.com/other:2"}),
    update(POD, {}, {"spec.containers[0].image": ""}, *["spec.containers[0].image: Required value"] * 2),
    update(POD, {}, {"spec.hostname": "other"}, POD_UPDATE, starts=True),
    update(POD, {}, {"spec.containers[0].command": ["true"]}, POD_UPDATE, starts=True),
    update(POD, {}, {"spec.terminationGracePeriodSeconds": 1}, POD_UPDATE, starts=True),
    update(POD, {}, {"spec.activeDeadlineSeconds": 10}),
    update(POD, {"spec.activeDeadlineSeconds": 10}, {"spec.activeDeadlineSeconds": 5}),
    update(
        POD,
        {"spec.activeDeadlineSeconds": 10},
        {"spec.activeDeadlineSeconds": 11},
        "spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value",
    ),
    update(
        POD,
        {"spec.activeDeadlineSeconds": 10},
        {"spec.activeDeadlineSeconds": ...},
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
    ),
    update(POD, {"spec.schedulingGates": [{"name": "a"}, {"name": "b"}]}, {"spec.schedulingGates": [{"name": "b"}]}),
    update(POD, {"spec.schedulingGates": [{"name": "a"}]}, {"spec.nodeSelector": {"disk": "ssd"}}),
    update(POD, {"spec.tolerations": [TOLERATION]}, {"spec.tolerations[0].tolerationSeconds": 5}),
]
DATA = [
    update(CONFIG, {"data": {"a": "b"}}, {"data.a": "c"}),
    update(CONFIG, {"immutable": True, "data": {"a": "b"}}, {"metadata.labels": {"a": "b"}}),
    update(CONFIG, {"immutable": True, "data": {"a": "b"}}, {"data.a": "c"}, f"data: Forbidden: {SET_IMMUTABLE}"),
    update(CONFIG, {"immutable": True}, {"immutable": False}, f"immutable: Forbidden: {SET_IMMUTABLE}"),
    update(CONFIG, {"immutable": True}, {"binaryData": {"b": "YQ=="}}, f"binaryData: Forbidden: {SET_IMMUTABLE}"),
    update(SECRET, {"immutable": True, "data": {"a": "YQ=="}}, {"data.a": "Yg=="}, f"data: Forbidden: {SET_IMMUTABLE}"),
    update(SECRET, {"immutable": True}, {"immutable": ...}, f"immutable: Forbidden: {SET_IMMUTABLE}"),
    update(SECRET, {"type": "Opaque"}, {"type": "example.com/x"}, f'type: Invalid value: "example.com/x": {IMMUTABLE}'),
]
SERVICES = [
    update(SVC, {}, {"spec.sessionAffinity": "ClientIP"}),
    update(SVC, {}, {"spec.type": "NodePort"}),
    update(
        SVC,
        {"spec.type": "LoadBalancer", "spec.loadBalancerClass": "a/b"},
        {"spec.loadBalancerClass": "a/c"},
        'spec.loadBalancerClass: Invalid value: "a/c": may not change once set',
    ),
]
WORKLOADS = [
    update(DEPLOYMENT, {}, {"spec.replicas": 3}),
    update(
        "batch/v1/CronJob",
        {},
        {"spec.timeZone": "Nowhere/Else"},
        'spec.timeZone: Invalid value: "Nowhere/Else": unknown time zone Nowhere/Else',
    ),
    update("batch/v1/CronJob", {}, {"spec.suspend": True, "spec.schedule": "@daily"}),
    update(
        "v1/ResourceQuota",
        {"spec.scopes": ["BestEffort"], "spec.hard": {"pods": "1"}},
        {"spec.scopes": ["NotBestEffort"]},
        f'spec.scopes: Invalid value: ["NotBestEffort"]: {IMMUTABLE}',
    ),
    update("apps/v1/ControllerRevision", {"data": {"a": 1}}, {"data.a": 2}, "data: Invalid value", starts=True),
    update("policy/v1/PodDisruptionBudget", {"spec.minAvailable": 1}, {"spec.minAvailable": "50%"}),
    update(
        "v1/PersistentVolumeClaim",
        {},
        {"spec.accessModes": ["ReadOnlyMany"]},
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName "
        "for bound claims\n",
        starts=True,
    ),
    update(
        "v1/Node",
        {"spec.providerID": "a"},
        {"spec.providerID": "b"},
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
    ),
    update(STATEFUL, {}, {"spec.replicas": 3, "spec.minReadySeconds": 1, "spec.ordinals": {"start": 2}}),
    update(
        STATEFUL,
        {},
        {"spec.serviceName": "other"},
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden",
    ),
    update(JOB, {}, {"spec.parallelism": 2, "spec.suspend": True, "spec.ttlSecondsAfterFinished": 4}),
    update(JOB, {"spec.completions": 2}, {"spec.completions": 3}, f"spec.completions: Invalid value: 3: {IMMUTABLE}"),
    update(
        JOB,
        {"spec.completions": 2, "spec.completionMode": "Indexed", "spec.parallelism": 2},
        {"spec.completions": 3, "spec.parallelism": 3},
    ),
    update(
        JOB,
        {"spec.completions": 2, "spec.completionMode": "Indexed", "spec.parallelism": 2},
        {"spec.completions": 3},
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
    ),
    update(
        JOB,
        {"spec.completions": 2},
        {"spec.completionMode": "Indexed"},
        f'spec.completionMode: Invalid value: "Indexed": {IMMUTABLE}',
    ),
    update(
        JOB,
        {"spec.managedBy": "example.com/a"},
        {"spec.managedBy": "example.com/b"},
        f'spec.managedBy: Invalid value: "example.com/b": {IMMUTABLE}',
    ),
]
PARTS = [
    update(
        POD,
        {"spec.containers[0].resources": {"requests": {"cpu": "1"}}},
        {"spec.containers[0].resources.requests.cpu": "2"},
        part="resize",
    ),
    update(
        POD,
        {"spec.containers[0].resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
        {"spec.containers[0].resources.requests.cpu": ...},
        "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        part="resize",
    ),
    update(
        POD,
        {"spec.initContainers": [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
        {"spec.initContainers[0].resources.requests.cpu": "2"},
        "spec: Forbidden: resources for non-sidecar init containers are immutable",
        part="resize",
    ),
    update(POD, {}, {"status.qosClass": "Guaranteed"}, "status.qosClass: Invalid value", starts=True, part="status"),
    update(
        POD,
        {},
        {"spec.ephemeralContainers": [{"name": "d", "image": "d", "terminationMessagePolicy": "File"}]},
        part="ephemeralcontainers",
    ),
    update(
        POD,
        {},
        {
            "spec.ephemeralContainers": [
                {"name": "d", "image": "d", "terminationMessagePolicy": "File", "ports": [{"containerPort": 1}]}
            ]
        },
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        part="ephemeralcontainers",
    ),
]


@pytest.mark.parametrize("row", rows.params([*PODS, *DATA, *SERVICES, *WORKLOADS, *PARTS]))
def test_updates(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
