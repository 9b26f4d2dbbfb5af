"""Workloads: what is refused of new ones, in upstream's words."""

from __future__ import annotations

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, bad, good

D, DS, S, RS, RC = (
    "apps/v1/Deployment",
    "apps/v1/DaemonSet",
    "apps/v1/StatefulSet",
    "apps/v1/ReplicaSet",
    "v1/ReplicationController",
)
MISMATCH = "`selector` does not match template `labels`"
NEGATIVE = "must be greater than or equal to 0"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
UPDATE = "spec.updateStrategy.rollingUpdate"
DEPLOYMENTS = [
    bad(D, {"spec.minReadySeconds": -1}, f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}"),
    bad(D, {"spec.revisionHistoryLimit": -1}, f"spec.revisionHistoryLimit: Invalid value: -1: {NEGATIVE}"),
    bad(
        D,
        {"spec.progressDeadlineSeconds": 10, "spec.minReadySeconds": 10},
        "spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds",
    ),
    bad(
        D,
        {"spec.strategy": {"type": "Sudden"}},
        'spec.strategy: Unsupported value: {"Type":"Sudden","RollingUpdate":null}: supported values: "Recreate", '
        '"RollingUpdate"',
    ),
    bad(
        D,
        {"spec.strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
    ),
    bad(
        D,
        {"spec.strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ),
    bad(
        D,
        {"spec.strategy": {"rollingUpdate": {"maxSurge": -1}}},
        f"spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: {NEGATIVE}",
    ),
    bad(
        D,
        {"spec.strategy": {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "0%"}}},
        'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
    ),
    good(D, {"spec.strategy": {"rollingUpdate": {"maxSurge": "200%", "maxUnavailable": 0}}}),
    bad(
        D,
        {"spec.selector": {"matchLabels": {"a": "b"}}},
        f'spec.template.metadata.labels: Invalid value: {{"app":"life"}}: {MISMATCH}',
    ),
    bad(
        D,
        {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "Near"}]}},
        'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"Near"}]}: invalid label selector',
    ),
    bad(
        D,
        {"spec.selector.matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]},
        "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or "
        "'DoesNotExist'",
        'spec.selector: Invalid value: {"matchLabels":{"app":"life"},"matchExpressions":[{"key":"app","operator":'
        '"Exists","values":["a"]}]}: invalid label selector',
    ),
    bad(
        D,
        {"spec.template.spec.activeDeadlineSeconds": 5},
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
    ),
    bad(
        D,
        {"spec.template.spec.ephemeralContainers": [{"name": "e", "image": "i"}]},
        "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
    ),
    bad(D, {"spec.template.spec.containers": []}, "spec.template.spec.containers: Required value"),
    # Templates say less than Pods must: it is completed when they are made.
    good(
        D, {"spec.template.spec.hostNetwork": True, "spec.template.spec.containers[0].ports": [{"containerPort": 80}]}
    ),
    good(D, {"spec.template.spec.containers[0].image": " i "}),
]
OTHERS = [
    bad(
        DS,
        {"spec.updateStrategy": {"type": "Now"}},
        'spec.updateStrategy: Unsupported value: {"Type":"Now","RollingUpdate":null}: supported values: '
        '"RollingUpdate", "OnDelete"',
    ),
    bad(
        DS,
        {UPDATE: {"maxSurge": 1, "maxUnavailable": 1}},
        f"{UPDATE}.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
    ),
    bad(
        DS,
        {UPDATE: {"maxSurge": 0, "maxUnavailable": 0}},
        f"{UPDATE}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
    ),
    bad(
        DS,
        {UPDATE: {"maxSurge": "a", "maxUnavailable": 1}},
        f'{UPDATE}.maxSurge: Invalid value: "a": {PERCENT}',
    ),
    good(DS, {UPDATE: {"maxSurge": "10%", "maxUnavailable": 0}}),
    bad(
        DS,
        {"spec.template.spec.restartPolicy": "OnFailure"},
        'spec.template.spec.restartPolicy: Unsupported value: "OnFailure": supported values: "Always"',
    ),
    bad(
        S,
        {"spec.podManagementPolicy": "Any"},
        "spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'",
    ),
    bad(
        S,
        {"spec.updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
        "spec.updateStrategy.rollingUpdate: Invalid value: ",
        starts=True,
    ),
    bad(
        S,
        {UPDATE: {"partition": -1}},
        f"{UPDATE}.partition: Invalid value: -1: {NEGATIVE}",
    ),
    bad(S, {UPDATE: {"maxUnavailable": 0}}, f"{UPDATE}.maxUnavailable: Invalid value: 0: cannot be 0"),
    bad(S, {"spec.ordinals": {"start": -1}}, f"spec.ordinals.start: Invalid value: -1: {NEGATIVE}"),
    bad(
        S,
        {"spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Keep"}},
        'spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: "Retain", '
        '"Delete"',
    ),
    bad(S, {"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    bad(S, {"metadata.name": "a.b"}, 'metadata.name: Invalid value: "a.b": must not contain dots'),
    bad(
        S,
        {"spec.template.spec.restartPolicy": "Never"},
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    bad(RS, {"spec.replicas": -1}, f"spec.replicas: Invalid value: -1: {NEGATIVE}"),
    bad(
        RS,
        {"spec.template.metadata.labels": {"a": "b"}},
        f'spec.template.metadata.labels: Invalid value: {{"a":"b"}}: {MISMATCH}',
    ),
    bad(
        RC, {"spec.selector": {"a": "b"}}, f'spec.template.metadata.labels: Invalid value: {{"app":"life"}}: {MISMATCH}'
    ),
    bad(RC, {"spec.template": ...}, "spec.template: Required value"),
    bad(RC, {"spec.minReadySeconds": -1}, f"spec.minReadySeconds: Invalid value: -1: {NEGATIVE}"),
    bad(
        RC,
        {"spec.template.spec.activeDeadlineSeconds": 5},
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not "
        "Supported",
    ),
    bad("v1/PodTemplate", {"template.spec.containers": []}, "template.spec.containers: Required value"),
    bad("apps/v1/ControllerRevision", {"data": ...}, "data: Required value: data is mandatory"),
    bad("apps/v1/ControllerRevision", {"data": [1]}, "data: Required value: data must be a valid JSON object"),
    bad("apps/v1/ControllerRevision", {"revision": -1}, f"revision: Invalid value: -1: {NEGATIVE}"),
]
ALL = [*DEPLOYMENTS, *OTHERS]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_objects(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
