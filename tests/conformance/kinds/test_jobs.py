"""Jobs, CronJobs, autoscalers and disruption budgets: what is refused of new ones, in upstream's words."""

from __future__ import annotations

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, bad, good

J, CJ, HPA, HPA1 = (
    "batch/v1/Job",
    "batch/v1/CronJob",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "autoscaling/v1/HorizontalPodAutoscaler",
)
PDB = "policy/v1/PodDisruptionBudget"
NEGATIVE = "must be greater than or equal to 0"
INDEXED = {"spec.completionMode": "Indexed", "spec.completions": 5}
RULE = "spec.podFailurePolicy.rules[0]"
JOBS = [
    bad(J, {"spec.activeDeadlineSeconds": -1}, f"spec.activeDeadlineSeconds: Invalid value: -1: {NEGATIVE}"),
    bad(
        J,
        {"spec.completionMode": "Some"},
        'spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed"',
    ),
    bad(
        J,
        {"spec.completionMode": "Indexed", "spec.parallelism": 2},
        "spec.completions: Required value: when completion mode is Indexed",
    ),
    bad(
        J,
        {**INDEXED, "spec.maxFailedIndexes": 1},
        "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
    ),
    bad(
        J,
        {**INDEXED, "spec.maxFailedIndexes": 6, "spec.backoffLimitPerIndex": 1},
        "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
    ),
    bad(
        J,
        {**INDEXED, "spec.parallelism": 100001},
        "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
    ),
    bad(
        J,
        {"spec.completionMode": "Indexed", "spec.completions": 100001, "spec.backoffLimitPerIndex": 1},
        "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
    ),
    bad(
        J,
        {"spec.successPolicy": {"rules": [{"succeededCount": 1}]}},
        "spec.successPolicy: Invalid value: ",
        starts=True,
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": []}},
        "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is "
        "specified",
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{}]}},
        "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be "
        "specified",
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededCount": 6}]}},
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of "
        "specified completions)",
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "0-2", "succeededCount": 4}]}},
        "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of "
        "indexes in the specified succeededIndexes field)",
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "a-2"}]}},
        'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "a-2": error parsing succeededIndexes: cannot '
        'convert string to integer for index: "a"',
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "3,1"}]}},
        'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "3,1": error parsing succeededIndexes: '
        "non-increasing order, previous: 3, current: 1",
    ),
    bad(
        J,
        {**INDEXED, "spec.successPolicy": {"rules": [{"succeededIndexes": "1-9"}]}},
        'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-9": error parsing succeededIndexes: too large '
        'index: "9"',
    ),
    bad(
        J,
        {"spec.managedBy": "me"},
        'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    bad(
        J,
        {"spec.podReplacementPolicy": "Later"},
        'spec.podReplacementPolicy: Unsupported value: "Later": supported values: "Failed", "TerminatingOrFailed"',
    ),
    bad(
        J,
        {"spec.podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
        f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ),
    bad(
        J,
        {
            "spec.podFailurePolicy": {
                "rules": [{"action": "Retry", "onPodConditions": [{"type": "A", "status": "True"}]}]
            }
        },
        f'{RULE}.action: Unsupported value: "Retry": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
    ),
    bad(
        J,
        {"spec.podFailurePolicy": {"rules": [{"action": "FailIndex", "onPodConditions": [{"type": "A"}]}]}},
        f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
    ),
    bad(
        J,
        {
            "spec.podFailurePolicy": {
                "rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [0, 0]}}]
            }
        },
        f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
        f"{RULE}.onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
        f"{RULE}.onExitCodes.values[1]: Duplicate value: 0",
    ),
    bad(
        J,
        {
            "spec.podFailurePolicy": {
                "rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [2, 1]}}]
            }
        },
        f"{RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered",
    ),
    bad(
        J,
        {
            "spec.podFailurePolicy": {
                "rules": [{"action": "Count", "onExitCodes": {"operator": "In", "values": [1], "containerName": "z"}}]
            }
        },
        f'{RULE}.onExitCodes.containerName: Invalid value: "z": must be one of the container or initContainer names in '
        "the pod template",
    ),
    bad(
        J,
        {"spec.podFailurePolicy": {"rules": []}, "spec.template.spec.restartPolicy": "OnFailure"},
        'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy '
        "is specified",
    ),
    bad(
        J,
        {"metadata.name": "a" * 62, "spec.completionMode": "Indexed", "spec.completions": 2},
        f'metadata.name: Invalid value: "{"a" * 62}": will not able to create pod with invalid DNS label: {"a" * 62}-1',
    ),
    bad(CJ, {"spec.schedule": ""}, "spec.schedule: Required value"),
    bad(CJ, {"spec.startingDeadlineSeconds": -1}, f"spec.startingDeadlineSeconds: Invalid value: -1: {NEGATIVE}"),
    bad(CJ, {"spec.timeZone": ""}, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
    bad(
        CJ,
        {"spec.successfulJobsHistoryLimit": -1},
        f"spec.successfulJobsHistoryLimit: Invalid value: -1: {NEGATIVE}",
    ),
    bad(
        CJ,
        {"metadata.name": "a" * 53},
        f'metadata.name: Invalid value: "{"a" * 53}": must be no more than 52 characters',
    ),
    bad(
        CJ,
        {"spec.jobTemplate.spec.selector": {"matchLabels": {"a": "b"}}},
        'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
    ),
    bad(
        CJ,
        {"spec.jobTemplate.spec.manualSelector": True},
        'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
    ),
    bad(
        CJ,
        {"spec.jobTemplate.spec.template.spec.restartPolicy": "Always"},
        'spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
]
M = "spec.metrics[0]"
RESOURCE = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
SERVICE = {"apiVersion": "v1", "kind": "Service", "name": "s"}
SCALING = [
    bad(
        HPA,
        {"spec.minReplicas": 0},
        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        "spec.metrics: Forbidden: must specify at least one Object or External metric to "
        "support scaling to zero replicas",
    ),
    bad(HPA, {"spec.scaleTargetRef.name": ""}, "spec.scaleTargetRef.name: Required value"),
    bad(
        HPA,
        {"spec.scaleTargetRef.kind": "a/b"},
        "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
    ),
    bad(
        HPA,
        {"spec.metrics": [{"type": "Pods"}]},
        f"{M}.pods: Required value: must populate information for the given metric source",
    ),
    bad(
        HPA,
        {"spec.metrics": [{**RESOURCE, "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]},
        f"{M}.resource.target.averageUtilization: Required value: must set either a target raw value or a target "
        "utilization",
    ),
    bad(
        HPA,
        {
            "spec.metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 5, "averageValue": "5"},
                    },
                }
            ]
        },
        f"{M}.resource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
    ),
    bad(
        HPA,
        {
            "spec.metrics": [
                {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "0"}}}
            ]
        },
        f'{M}.external.target.value: Invalid value: "0": must be positive',
    ),
    bad(
        HPA,
        {
            "spec.metrics": [
                {
                    "type": "Object",
                    "object": {
                        "metric": {"name": ""},
                        "describedObject": SERVICE,
                        "target": {"type": "Value", "value": "1"},
                    },
                }
            ]
        },
        f"{M}.object.metric.name: Required value: must specify a metric name",
    ),
    good(
        HPA,
        {
            "spec.metrics": [
                {
                    "type": "Object",
                    "object": {
                        "metric": {"name": "q"},
                        "describedObject": SERVICE,
                        "target": {"type": "Value", "value": "1"},
                    },
                }
            ]
        },
    ),
    bad(
        HPA,
        {
            "spec.metrics": [
                {
                    "type": "ContainerResource",
                    "containerResource": {
                        "name": "cpu",
                        "container": "",
                        "target": {"type": "Utilization", "averageUtilization": 5},
                    },
                }
            ]
        },
        f"{M}.containerResource.container: Required value: must specify a container",
    ),
    bad(
        HPA,
        {
            "spec.metrics": [
                {**RESOURCE, "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
            ]
        },
        f"{M}.pods: Forbidden: must populate the given metric source only",
    ),
    bad(
        HPA,
        {"spec.behavior": {"scaleUp": {"selectPolicy": "Some"}}},
        'spec.behavior.scaleUp.selectPolicy: Unsupported value: "Some": supported values: "Disabled", "Max", "Min"',
    ),
    bad(
        HPA,
        {"spec.behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}},
        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
    ),
    bad(
        HPA,
        {"spec.behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 0, "periodSeconds": 1801}]}}},
        "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
        "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
    ),
    bad(HPA1, {"spec.scaleTargetRef.kind": ""}, "spec.scaleTargetRef.kind: Required value"),
    bad(PDB, {"spec.minAvailable": "101%"}, 'spec.minAvailable: Invalid value: "101%": must not be greater than 100%'),
    bad(PDB, {"spec.minAvailable": -1}, f"spec.minAvailable: Invalid value: -1: {NEGATIVE}"),
    bad(
        PDB,
        {"spec.unhealthyPodEvictionPolicy": "Never"},
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
        '"IfHealthyBudget"',
    ),
]
ALL = [*JOBS, *SCALING]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_objects(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
