"""New Pods: what is refused of their volumes and resources, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, good
from tests.conformance.kinds.words import LABEL

C = "spec.containers[0]"
I = "spec.initContainers[0]"  # noqa: E741
INIT = {"name": "i", "image": "x"}


def bad(change: dict[str, Any], *causes: str) -> Row:
    return rows.bad("v1/Pod", change, *causes)


def ok(change: dict[str, Any]) -> Row:
    return good("v1/Pod", change)


VOLUMES = [
    bad({"spec.volumes": [{"name": "", "emptyDir": {}}]}, "spec.volumes[0].name: Required value"),
    bad(
        {"spec.volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]},
        'spec.volumes[1].name: Duplicate value: "v"',
    ),
    bad(
        {"spec.volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]},
        "spec.volumes[0].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "nfs": {"server": "s", "path": "rel"}}]},
        'spec.volumes[0].nfs.path: Invalid value: "rel": must be an absolute path',
    ),
    bad(
        {"spec.volumes": [{"name": "v", "nfs": {"server": "", "path": ""}}]},
        "spec.volumes[0].nfs.server: Required value",
        "spec.volumes[0].nfs.path: Required value",
        'spec.volumes[0].nfs.path: Invalid value: "": must be an absolute path',
    ),
    bad(
        {"spec.volumes": [{"name": "v", "secret": {}}]},
        "spec.volumes[0].secret.secretName: Required value",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "..x"}]}}]},
        "spec.volumes[0].secret.items[0].path: Invalid value: \"..x\": must not start with '..'",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "secret": {"secretName": "s", "items": [{"key": "", "path": ""}]}}]},
        "spec.volumes[0].secret.items[0].key: Required value",
        "spec.volumes[0].secret.items[0].path: Required value",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": ""}}]},
        "spec.volumes[0].persistentVolumeClaim.claimName: Required value",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]},
        "spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required",
    ),
    bad(
        {
            "spec.volumes": [
                {"name": "v", "downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}}
            ]
        },
        "spec.volumes[0].downwardAPI.resourceFieldRef.containerName: Required value",
    ),
    bad(
        {
            "spec.volumes": [
                {
                    "name": "v",
                    "projected": {
                        "sources": [
                            {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                            {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}},
                        ]
                    },
                }
            ]
        },
        'spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths',
    ),
    bad(
        {
            "spec.volumes": [
                {"name": "v", "projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "b"}}]}}
            ]
        },
        "spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source",
    ),
    bad(
        {
            "spec.volumes": [
                {
                    "name": "v",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]},
                }
            ]
        },
        "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify "
        "a duration less than 10 minutes",
    ),
    bad({"spec.volumes": [{"name": "v", "csi": {"driver": ""}}]}, "spec.volumes[0].csi.driver: Required value"),
    bad(
        {"spec.volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {}}}]},
        "spec.volumes[0].csi.nodePublishSecretRef.name: Required value",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "ephemeral": {}}]},
        "spec.volumes[0].ephemeral.volumeClaimTemplate: Required value",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]},
        "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is "
        "required",
        "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
    ),
    bad({"spec.volumes": [{"name": "v", "image": {}}]}, "spec.volumes[0].image.reference: Required value"),
    bad(
        {"spec.volumes": [{"name": "v", "image": {"reference": "a", "pullPolicy": "Later"}}]},
        'spec.volumes[0].image.pullPolicy: Unsupported value: "Later": supported values: "Always", "IfNotPresent", '
        '"Never"',
    ),
    bad(
        {"spec.volumes": [{"name": "v", "gitRepo": {"repository": "", "directory": "/a"}}]},
        "spec.volumes[0].gitRepo.repository: Required value",
        'spec.volumes[0].gitRepo.directory: Invalid value: "/a": must be a relative path',
    ),
    bad(
        {"spec.volumes": [{"name": "v", "iscsi": {"targetPortal": "p", "iqn": "abc", "lun": 300}}]},
        'spec.volumes[0].iscsi.iqn: Invalid value: "abc": must be valid format starting with iqn, eui, or naa',
        "spec.volumes[0].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive",
    ),
    bad(
        {"spec.volumes": [{"name": "v", "hostPath": {"path": "/a"}, "nfs": {"server": "s", "path": "/p"}}]},
        "spec.volumes[0].nfs: Forbidden: may not specify more than 1 volume type",
    ),
]
RESOURCES = [
    bad(
        {f"{C}.resources": {"requests": {"cpu": "-1"}}},
        f'{C}.resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    bad(
        {f"{C}.resources": {"limits": {"hugepages-2Mi": "2Mi"}}},
        f"{C}.resources: Forbidden: HugePages require cpu or memory",
    ),
    bad(
        {f"{C}.resources": {"limits": {"cpu": "1", "hugepages-2Mi": "3Mi"}}},
        f'{C}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
        "hugepages-2Mi",
        f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
        "hugepages-2Mi",
    ),
    bad(
        {f"{C}.resources": {"limits": {"example.com/x": "2"}, "requests": {"example.com/x": "1"}}},
        f'{C}.resources.requests: Invalid value: "1": must be equal to example.com/x limit of 2',
    ),
    bad(
        {f"{C}.resources": {"claims": [{"name": "gpu"}]}},
        f'{C}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is '
        "empty",
    ),
    bad(
        {
            "spec.resourceClaims": [{"name": "g", "resourceClaimName": "a"}],
            f"{C}.resources": {"claims": [{"name": "h"}]},
        },
        f'{C}.resources.claims[0]: Not found: "h": must be one of the names in pod.spec.resourceClaims: g',
    ),
    bad(
        {"spec.resourceClaims": [{"name": "A", "resourceClaimName": "a"}]},
        f'spec.resourceClaims[0].name: Invalid value: "A": {LABEL}',
    ),
    bad(
        {"spec.resources": {"limits": {"ephemeral-storage": "1Gi"}}},
        'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", '
        '"hugepages-", "memory"',
    ),
    bad(
        {"spec.resources": {"requests": {"cpu": "1"}}, f"{C}.resources": {"requests": {"cpu": "2"}}},
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
        "requests of 2",
    ),
    bad(
        {"spec.resources": {"limits": {"memory": "1Gi"}}, f"{C}.resources": {"limits": {"memory": "2Gi"}}},
        'spec.resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi',
        'spec.resources.containers[0][memory].limits: Invalid value: "2Gi": must be less than or equal to pod limits '
        "of 1Gi",
    ),
    ok({"spec.resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}),
]
ALL = [row for table in (VOLUMES, RESOURCES) for row in table]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_new_pods(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)
