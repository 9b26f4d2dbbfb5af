"""Devices: what is refused of claims, classes and slices, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.rows import Row, bad, good, update
from tests.conformance.kinds.words import LABEL, QUALIFIED, SUBDOMAIN

CLAIM, TEMPLATE = "resource.k8s.io/v1/ResourceClaim", "resource.k8s.io/v1/ResourceClaimTemplate"
CLASS, SLICE = "resource.k8s.io/v1/DeviceClass", "resource.k8s.io/v1/ResourceSlice"
REQ, DEV = "spec.devices.requests[0]", "spec.devices[0]"
REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
ONE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
ONE_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true "
    "in the ResourceSlice spec"
)
BOTH = "exactly one of `exactly` or `firstAvailable` is required"
ALTERNATIVE: dict[str, Any] = {"name": "s", "deviceClassName": "c"}
RESULT: dict[str, Any] = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "gpu-0"}
ALLOCATION: dict[str, Any] = {"devices": {"results": [RESULT]}}
CONSUMER: dict[str, Any] = {"resource": "pods", "name": "p", "uid": "1"}
STATE: dict[str, Any] = {"driver": "d.example.com", "pool": "p", "device": "gpu-0"}
TAINT: dict[str, Any] = {"key": "a", "effect": "NoSchedule"}


def claim_status(change: dict[str, Any], *causes: str) -> Row:
    return update(CLAIM, {}, change, *causes, part="status")


CLAIMS = [
    bad(CLAIM, {f"{REQ}.name": "A"}, f'{REQ}.name: Invalid value: "A": {LABEL}'),
    bad(CLAIM, {f"{REQ}.exactly": ...}, f"{REQ}: Required value: {BOTH}"),
    bad(
        CLAIM,
        {f"{REQ}.firstAvailable": [ALTERNATIVE]},
        f"{REQ}: Invalid value: null: {BOTH}, but multiple fields are set",
    ),
    bad(CLAIM, {f"{REQ}.exactly.deviceClassName": ""}, f"{REQ}.exactly.deviceClassName: Required value"),
    bad(
        CLAIM,
        {f"{REQ}.exactly.deviceClassName": "A_"},
        f'{REQ}.exactly.deviceClassName: Invalid value: "A_": {SUBDOMAIN}',
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.count": -1},
        f"{REQ}.exactly.count: Invalid value: -1: must be greater than zero",
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.allocationMode": "All", f"{REQ}.exactly.count": 2},
        f"{REQ}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.allocationMode": "Some"},
        f'{REQ}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
    ),
    bad(CLAIM, {f"{REQ}.exactly.selectors": [{}]}, f"{REQ}.exactly.selectors[0].cel: Required value"),
    bad(
        CLAIM,
        {f"{REQ}.exactly.selectors": [{"cel": {"expression": "true"}}] * 33},
        f"{REQ}.exactly.selectors: Too many: 33: must have at most 32 items",
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.selectors": [{"cel": {"expression": "'a'"}}]},
        f"{REQ}.exactly.selectors[0].cel.expression: Invalid value: \"'a'\": must evaluate to bool or the unknown "
        "type, not string",
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.tolerations": [{"key": "a", "operator": "Exists", "value": "v"}]},
        f'{REQ}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.tolerations": [{"key": "a", "operator": "In"}]},
        f'{REQ}.exactly.tolerations[0].operator: Unsupported value: "In": supported values: "Equal", "Exists"',
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.tolerations": [{"key": "a", "effect": "Some"}]},
        f'{REQ}.exactly.tolerations[0].effect: Unsupported value: "Some": supported values: "NoExecute", '
        '"NoSchedule", "None"',
    ),
    bad(
        CLAIM,
        {f"{REQ}.exactly.tolerations": [{"key": "a b"}]},
        f'{REQ}.exactly.tolerations[0].key: Invalid value: "a b": name part {QUALIFIED}',
    ),
    bad(
        CLAIM,
        {"spec.devices.requests[1]": {"name": "r", "exactly": {"deviceClassName": "c"}}},
        'spec.devices.requests[1]: Duplicate value: "r"',
    ),
    bad(
        CLAIM,
        {f"{REQ}": {"name": "r", "firstAvailable": [ALTERNATIVE, ALTERNATIVE]}},
        f'{REQ}.firstAvailable[1]: Duplicate value: "s"',
    ),
    bad(
        CLAIM,
        {f"{REQ}": {"name": "r", "firstAvailable": [{**ALTERNATIVE, "name": f"s{i}"} for i in range(9)]}},
        f"{REQ}.firstAvailable: Too many: 9: must have at most 8 items",
    ),
    bad(
        CLAIM,
        {"spec.devices.requests": [{"name": f"r{i}", "exactly": {"deviceClassName": "c"}} for i in range(33)]},
        "spec.devices.requests: Too many: 33: must have at most 32 items",
    ),
    bad(
        CLAIM,
        {"spec.devices.constraints": [{"requests": ["q"], "matchAttribute": "d.example.com/a"}]},
        f'spec.devices.constraints[0].requests[0]: Invalid value: "q": {REFERENCE}',
    ),
    bad(
        CLAIM,
        {"spec.devices.constraints": [{"requests": ["r/s/t"], "matchAttribute": "d.example.com/a"}]},
        f'spec.devices.constraints[0].requests[0]: Invalid value: "r/s/t": {REFERENCE}',
    ),
    bad(
        CLAIM,
        {"spec.devices.constraints": [{"requests": ["r", "r"], "matchAttribute": "d.example.com/a"}]},
        'spec.devices.constraints[0].requests[1]: Duplicate value: "r"',
    ),
    bad(
        CLAIM,
        {"spec.devices.constraints": [{"matchAttribute": "a"}]},
        'spec.devices.constraints[0].matchAttribute: Invalid value: "a": a fully qualified name must be a domain and a '
        "name separated by a slash",
    ),
    bad(
        CLAIM,
        {"spec.devices.config": [{"requests": ["r"]}]},
        "spec.devices.config[0].opaque: Required value",
    ),
    bad(
        CLAIM,
        {"spec.devices.config": [{"opaque": {"driver": "", "parameters": {"a": 1}}}]},
        "spec.devices.config[0].opaque.driver: Required value",
    ),
    good(CLAIM, {"spec.devices.config": [{"opaque": {"driver": "d.example.com", "parameters": {"a": 1}}}]}),
    good(CLAIM, {f"{REQ}": {"name": "r", "firstAvailable": [ALTERNATIVE]}, "spec.devices.constraints": []}),
    bad(
        TEMPLATE,
        {"spec.spec.devices.requests[0].exactly.deviceClassName": ""},
        "spec.spec.devices.requests[0].exactly.deviceClassName: Required value",
    ),
    bad(
        TEMPLATE,
        {"spec.metadata": {"labels": {"a b": "c"}}},
        f'spec.metadata.labels: Invalid value: "a b": name part {QUALIFIED}',
    ),
    update(CLAIM, {}, {f"{REQ}.name": "q"}, "spec: Invalid value", starts=True),
    update(TEMPLATE, {}, {"spec.spec.devices.requests[0].name": "q"}, "spec: Invalid value", starts=True),
]
STATUSES = [
    claim_status({"status": {"allocation": ALLOCATION, "reservedFor": [CONSUMER], "devices": [STATE]}}),
    claim_status(
        {"status": {"reservedFor": [CONSUMER]}},
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    ),
    claim_status(
        {"status": {"allocation": ALLOCATION, "reservedFor": [{**CONSUMER, "name": ""}]}},
        "status.reservedFor[0].name: Required value",
    ),
    claim_status(
        {"status": {"allocation": ALLOCATION, "reservedFor": [{**CONSUMER, "resource": ""}]}},
        "status.reservedFor[0].resource: Required value",
    ),
    claim_status(
        {"status": {"allocation": ALLOCATION, "devices": [{**STATE, "device": "gpu-1"}]}},
        'status.devices[0]: Invalid value: "d.example.com/p/gpu-1": must be an allocated device in the claim',
    ),
    claim_status(
        {"status": {"allocation": {"devices": {"results": [{**RESULT, "request": "q"}]}}}},
        f'status.allocation.devices.results[0].request: Invalid value: "q": {REFERENCE}',
    ),
    claim_status(
        {"status": {"allocation": {"devices": {"results": [{**RESULT, "pool": ""}]}}}},
        "status.allocation.devices.results[0].pool: Required value",
    ),
    claim_status(
        {"status": {"allocation": {"devices": {"results": [{**RESULT, "device": "A"}]}}}},
        f'status.allocation.devices.results[0].device: Invalid value: "A": {LABEL}',
    ),
    claim_status(
        {"status": {"allocation": {"devices": {"results": [RESULT] * 33}}}},
        "status.allocation.devices.results: Too many: 33: must have at most 32 items",
    ),
    claim_status(
        {"status": {"allocation": ALLOCATION, "devices": [{**STATE, "networkData": {"ips": ["10.1.1.1"]}}]}},
        'status.devices[0].networkData.ips[0]: Invalid value: "10.1.1.1": must be a valid address in CIDR form, '
        "(e.g. 10.9.8.7/24 or 2001:db8::1/64)",
    ),
    claim_status(
        {"status": {"allocation": ALLOCATION, "devices": [{**STATE, "networkData": {"ips": ["10.1.1.1/8"]}}]}}
    ),
]
CLASSES = [
    bad(CLASS, {"spec.selectors": [{}]}, "spec.selectors[0].cel: Required value"),
    bad(CLASS, {"spec.config": [{}]}, "spec.config[0].opaque: Required value"),
    bad(
        CLASS,
        {"spec.extendedResourceName": "cpu"},
        'spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name',
    ),
    good(CLASS, {"spec.extendedResourceName": "example.com/gpu"}),
    bad(
        CLASS,
        {"spec.config": [{"opaque": {"driver": "d.example.com", "parameters": "text"}}]},
        'spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ),
]
SLICES = [
    bad(SLICE, {"spec.driver": ""}, "spec.driver: Required value"),
    bad(SLICE, {"spec.pool.name": ""}, "spec.pool.name: Required value"),
    bad(SLICE, {"spec.pool.name": "a/B"}, f'spec.pool.name: Invalid value: "B": {SUBDOMAIN}'),
    bad(
        SLICE,
        {"spec.pool.resourceSliceCount": 0},
        "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
    ),
    bad(
        SLICE,
        {"spec.pool.generation": -1},
        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
    ),
    bad(SLICE, {"spec.allNodes": ...}, f"spec: Required value: {ONE}"),
    bad(
        SLICE,
        {"spec.nodeName": "n"},
        f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE}, but multiple fields are set',
    ),
    bad(
        SLICE,
        {"spec.allNodes": False, "spec.nodeName": "n"},
        "spec.allNodes: Invalid value: false: must be either unset or set to true",
    ),
    bad(
        SLICE,
        {"spec.nodeName": ""},
        'spec.nodeName: Invalid value: "": must be either unset or set to a non-empty string',
    ),
    bad(SLICE, {f"{DEV}.name": "A"}, f'{DEV}.name: Invalid value: "A": {LABEL}'),
    bad(SLICE, {"spec.devices[1]": {"name": "gpu-0"}}, 'spec.devices[1]: Duplicate value: "gpu-0"'),
    bad(
        SLICE,
        {"spec.devices": [{"name": f"g{i}"} for i in range(129)]},
        "spec.devices: Too many: 129: must have at most 128 items",
    ),
    bad(
        SLICE,
        {"spec.devices": [{"name": f"g{i}", "taints": [TAINT]} for i in range(65)]},
        "spec.devices: Too many: 65: must have at most 64 items",
    ),
    bad(SLICE, {f"{DEV}.taints": [{"key": "a"}]}, f"{DEV}.taints[0].effect: Required value"),
    bad(
        SLICE,
        {f"{DEV}.taints": [{"key": "a", "effect": "PreferNoSchedule"}]},
        f'{DEV}.taints[0].effect: Unsupported value: "PreferNoSchedule": supported values: "NoExecute", '
        '"NoSchedule", "None"',
    ),
    bad(
        SLICE,
        {f"{DEV}.attributes": {"a": {}}},
        f'{DEV}.attributes[a]: Invalid value: "": exactly one value must be specified',
    ),
    bad(
        SLICE,
        {f"{DEV}.attributes": {"a": {"version": "1"}}},
        f'{DEV}.attributes[a].version: Invalid value: "1": must be a string compatible with semver.org spec 2.0.0',
    ),
    bad(
        SLICE,
        {f"{DEV}.attributes": {"a": {"string": "x" * 65}}},
        f"{DEV}.attributes[a].string: Too long: may not be more than 64 bytes",
    ),
    bad(
        SLICE,
        {f"{DEV}.attributes": {"a/b/c": {"int": 1}}},
        f'{DEV}.attributes: Invalid value: "a/b/c": must not contain more than one slash',
    ),
    bad(
        SLICE,
        {f"{DEV}.attributes": {f"a{i}": {"int": 1} for i in range(33)}},
        f"{DEV}: Invalid value: 33: the total number of attributes and capacities must not exceed 32",
    ),
    bad(
        SLICE,
        {f"{DEV}.capacity": {"m": {"value": "1", "requestPolicy": {"default": "1"}}}},
        f"{DEV}.capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true",
    ),
    bad(
        SLICE,
        {
            f"{DEV}.allowMultipleAllocations": True,
            f"{DEV}.capacity": {"m": {"value": "4", "requestPolicy": {"validValues": ["1", "2"]}}},
        },
        f"{DEV}.capacity[m].requestPolicy.default: Required value: required when validValues is defined",
    ),
    bad(
        SLICE,
        {
            f"{DEV}.allowMultipleAllocations": True,
            f"{DEV}.capacity": {"m": {"value": "4", "requestPolicy": {"default": "3", "validValues": ["1", "2"]}}},
        },
        f'{DEV}.capacity[m].requestPolicy.validValues: Invalid value: "3": default value is not valid according to the '
        "requestPolicy",
    ),
    bad(
        SLICE, {f"{DEV}.consumesCounters": [{"counterSet": "c"}]}, f"{DEV}.consumesCounters[0].counters: Required value"
    ),
    bad(
        SLICE,
        {"spec.devices": ..., "spec.sharedCounters": [{"name": "", "counters": {"a": {"value": "1"}}}]},
        "spec.sharedCounters[0].name: Required value",
    ),
    bad(
        SLICE,
        {"spec.sharedCounters": [{"name": "c", "counters": {"a": {"value": "1"}}}]},
        'spec: Invalid value: "": only one of `sharedCounters` or `devices` is allowed',
    ),
    bad(
        SLICE,
        {f"{DEV}.nodeName": "n"},
        f"{DEV}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec",
    ),
    bad(SLICE, {"spec.allNodes": ..., "spec.perDeviceNodeSelection": True}, f"{DEV}: Required value: {ONE_DEVICE}"),
    bad(
        SLICE,
        {f"{DEV}.bindingConditions": ["a"]},
        f"{DEV}.bindingFailureConditions: Invalid value: []: bindingFailureConditions are required to use "
        "bindingConditions",
    ),
    bad(
        SLICE,
        {f"{DEV}.bindingConditions": ["a"], f"{DEV}.bindingFailureConditions": ["a"]},
        f'{DEV}.bindingFailureConditions[0]: Invalid value: "a": bindingFailureConditions must not overlap with '
        "bindingConditions",
    ),
    update(
        SLICE, {}, {"spec.driver": "e.example.com"}, 'spec.driver: Invalid value: "e.example.com": field is immutable'
    ),
    update(SLICE, {}, {"spec.pool.name": "q"}, 'spec.pool.name: Invalid value: "q": field is immutable'),
    update(SLICE, {}, {"spec.pool.generation": 2}),
    good(SLICE, {f"{DEV}.attributes": {"a": {"version": "1.2.3-rc.1+b"}, "d.example.com/b": {"bool": True}}}),
]
ALL = [*CLAIMS, *STATUSES, *CLASSES, *SLICES]


@pytest.mark.parametrize("row", rows.params(ALL))
def test_devices(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)


def test_admin_access_needs_a_labelled_namespace(server: RunningServer, namespace: str) -> None:
    request = {"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": True}}
    spec = {"devices": {"requests": [request]}}
    claim = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "a"}, "spec": spec}
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    refused = server.raw("POST", path, claim)
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert refused.message == (
        'ResourceClaim.resource.k8s.io "a" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access '
        "to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
    )
    labels = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert server.raw("PATCH", f"/api/v1/namespaces/{namespace}", labels, merge).status == 200
    assert server.raw("POST", path, claim).status == 201
