"""New Pods: what is refused of their containers, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, good
from tests.conformance.kinds.words import CONFIG_KEY, PORT, SUBDOMAIN

C = "spec.containers[0]"
I = "spec.initContainers[0]"  # noqa: E741
INIT = {"name": "i", "image": "x"}


def bad(change: dict[str, Any], *causes: str) -> Row:
    return rows.bad("v1/Pod", change, *causes)


def ok(change: dict[str, Any]) -> Row:
    return good("v1/Pod", change)


CONTAINERS = [
    bad(
        {f"{C}.terminationMessagePolicy": "X"},
        f'{C}.terminationMessagePolicy: Unsupported value: "X": supported values: "File", "FallbackToLogsOnError"',
    ),
    bad(
        {f"{C}.volumeDevices": [{"name": "v", "devicePath": "/dev/../x"}]},
        f'{C}.volumeDevices[0].name: Not found: "v"',
        f"{C}.volumeDevices[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')",
    ),
    bad(
        {f"{C}.volumeDevices": [{"name": "v", "devicePath": "/d"}], "spec.volumes": [{"name": "v", "emptyDir": {}}]},
        f'{C}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or '
        "Ephemeral for block mode",
    ),
    bad({f"{C}.ports": [{"containerPort": 70000}]}, f"{C}.ports[0].containerPort: Invalid value: 70000: {PORT}"),
    bad(
        {f"{C}.ports": [{"containerPort": 1, "hostPort": 70000}]},
        f"{C}.ports[0].hostPort: Invalid value: 70000: {PORT}",
    ),
    bad(
        {f"{C}.ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
        f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"',
    ),
    ok({f"{C}.ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9, "protocol": "UDP"}]}),
    bad(
        {f"{C}.resizePolicy": [{"resourceName": "disk", "restartPolicy": "NotRequired"}]},
        f'{C}.resizePolicy: Unsupported value: "disk": supported values: "cpu", "memory"',
    ),
    bad(
        {f"{C}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "Never"}]},
        f'{C}.resizePolicy: Unsupported value: "Never": supported values: "NotRequired", "RestartContainer"',
    ),
    bad(
        {f"{C}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2},
        f'{C}.resizePolicy[1]: Duplicate value: "cpu"',
    ),
    bad(
        {
            f"{C}.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}],
            "spec.restartPolicy": "Never",
        },
        f"{C}.resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when `restartPolicy` is 'Never'",
    ),
    bad(
        {f"{C}.restartPolicy": "Sometimes"},
        f'{C}.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
    ),
    bad(
        {f"{C}.restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]},
        f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used",
    ),
    bad(
        {f"{C}.restartPolicy": "Never", f"{C}.restartPolicyRules": [{"action": "Restart"}]},
        f"{C}.restartPolicyRules[0].exitCodes: Required value: must be specified",
    ),
    bad(
        {
            f"{C}.restartPolicy": "Never",
            f"{C}.restartPolicyRules": [{"action": "Stop", "exitCodes": {"operator": "Is", "values": [1]}}],
        },
        f'{C}.restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart"',
        f'{C}.restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"',
    ),
    ok(
        {
            f"{C}.restartPolicy": "Never",
            f"{C}.restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1, 42]}}],
        }
    ),
    bad({"spec.initContainers": [{**INIT, "name": "c"}]}, f'{I}.name: Duplicate value: "c"'),
    bad(
        {"spec.initContainers": [{**INIT, "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}]},
        f"{I}.lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    bad(
        {"spec.initContainers": [{**INIT, "startupProbe": {"tcpSocket": {"port": 1}}}]},
        f"{I}.startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
    ),
    ok({"spec.initContainers": [{**INIT, "restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 1}}}]}),
    bad(
        {"spec.initContainers": [{**INIT, "image": ""}]},
        f"{I}.image: Required value",
    ),
    bad({f"{C}.name": "a.b"}, f'{C}.name: Invalid value: "a.b": must not contain dots'),
]
PROBES = [
    bad({f"{C}.livenessProbe": {"exec": {}}}, f"{C}.livenessProbe.exec.command: Required value"),
    bad(
        {f"{C}.livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}},
        f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    bad(
        {f"{C}.readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}},
        f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
    ),
    bad(
        {f"{C}.livenessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 0}},
        f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
    ),
    bad(
        {f"{C}.livenessProbe": {"grpc": {"port": 0}}},
        f"{C}.livenessProbe.grpc.port: Invalid value: 0: {PORT}",
    ),
    bad(
        {f"{C}.livenessProbe": {"httpGet": {"port": 1, "scheme": "FTP"}}},
        f'{C}.livenessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
    ),
    bad(
        {f"{C}.livenessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b", "value": ""}]}}},
        f'{C}.livenessProbe.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of '
        "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
    ),
    bad(
        {f"{C}.lifecycle": {"preStop": {"sleep": {"seconds": 31}}}},
        f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
        "terminationGracePeriodSeconds (30)",
    ),
    ok({f"{C}.lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}),
    bad({f"{C}.lifecycle": {"postStart": {}}}, f"{C}.lifecycle.postStart: Required value: must specify a handler type"),
    bad(
        {f"{C}.startupProbe": {"httpGet": {"port": "a--b"}}},
        f'{C}.startupProbe.httpGet.port: Invalid value: "a--b": must not contain consecutive hyphens',
    ),
]
ENVIRONMENT = [
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {}}]},
        f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
        "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]},
        f'{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label '
        "not supported: spec.nope",
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.schedulerName"}}}]},
        f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.schedulerName": supported values: '
        '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
        '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]},
        f'{C}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: '
        '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
        '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"',
    ),
    ok({f"{C}.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]}),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name['a']"}}}]},
        f"{C}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.name['a']\": error converting fieldPath: "
        "field label does not support subscript: metadata.name['a']",
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.disk"}}}]},
        f'{C}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.disk": supported values: '
        '"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", '
        '"requests.memory"',
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "3"}}}]},
        f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 '
        "are supported with the cpu resource",
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "3"}}}]},
        f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.memory": only divisor\'s values 1, 1k, '
        "1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource",
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]},
        f'{C}.env[0].valueFrom.secretKeyRef.key: Invalid value: "a/b": {CONFIG_KEY}',
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "A_", "key": "k"}}}]},
        f'{C}.env[0].valueFrom.configMapKeyRef.name: Invalid value: "A_": {SUBDOMAIN}',
    ),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": ""}}}]},
        f"{C}.env[0].valueFrom.configMapKeyRef.key: Required value",
    ),
    bad(
        {f"{C}.envFrom": [{}]},
        f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`',
    ),
    bad(
        {f"{C}.envFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}]},
        f'{C}.envFrom: Invalid value: "": may not have more than one field specified at a time',
    ),
    bad({f"{C}.envFrom": [{"secretRef": {}}]}, f"{C}.envFrom[0].secretRef.name: Required value"),
    bad(
        {f"{C}.env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "K", "path": "p", "volumeName": "v"}}}]},
        f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"',
    ),
]
MOUNTS = [
    bad(
        {
            f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Enabled"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        },
        f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
    ),
    bad(
        {
            f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        },
        f"{C}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
        "privileged containers",
    ),
    bad(
        {
            f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Up"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        },
        f'{C}.volumeMounts.mountPropagation: Unsupported value: "Up": supported values: "Bidirectional", '
        '"HostToContainer", "None"',
    ),
    bad(
        {
            f"{C}.volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "a", "subPathExpr": "b"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        },
        f'{C}.volumeMounts[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive',
    ),
    bad(
        {f"{C}.volumeMounts": [{"name": "v", "mountPath": ""}], "spec.volumes": [{"name": "v", "emptyDir": {}}]},
        f"{C}.volumeMounts[0].mountPath: Required value",
    ),
]
ALL = [row for table in (CONTAINERS, PROBES, ENVIRONMENT, MOUNTS) for row in table]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_pods(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
