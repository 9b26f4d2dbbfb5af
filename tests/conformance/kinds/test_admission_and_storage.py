"""Storage, certificates and admission: what is refused, in upstream's words; and what is asked of access reviews."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.api.running import RunningServer
from tests.conformance.kinds import rows
from tests.conformance.kinds.bodies.platform import HOOK, RULE
from tests.conformance.kinds.rows import Row, bad, good, update
from tests.conformance.kinds.words import QUALIFIED, SUBDOMAIN

ST, AD = "storage.k8s.io/v1/", "admissionregistration.k8s.io/v1/"
SC, DRIVER, NODE, CAP = f"{ST}StorageClass", f"{ST}CSIDriver", f"{ST}CSINode", f"{ST}CSIStorageCapacity"
VA, VAC = f"{ST}VolumeAttachment", f"{ST}VolumeAttributesClass"
HOOKS, MUTATING = f"{AD}ValidatingWebhookConfiguration", f"{AD}MutatingWebhookConfiguration"
VAP, VAPB = f"{AD}ValidatingAdmissionPolicy", f"{AD}ValidatingAdmissionPolicyBinding"
CSR = "certificates.k8s.io/v1/CertificateSigningRequest"
BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
URL = "desired format: https://host[/path]"
STORAGE = [
    bad(SC, {"provisioner": ""}, "provisioner: Required value"),
    bad(SC, {"provisioner": "a b"}, f'provisioner: Invalid value: "a b": name part {QUALIFIED}'),
    bad(
        SC, {"reclaimPolicy": "Burn"}, 'reclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Retain"'
    ),
    bad(
        SC,
        {"volumeBindingMode": "Later"},
        'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"',
    ),
    bad(SC, {"parameters": {"": "a"}}, 'parameters: Invalid value: "": field can not be empty.'),
    update(SC, {}, {"provisioner": "b.example.com/p"}, "provisioner: Forbidden: updates to provisioner are forbidden."),
    update(SC, {}, {"parameters": {"a": "b"}}, "parameters: Forbidden: updates to parameters are forbidden."),
    update(SC, {}, {"reclaimPolicy": "Retain"}, "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."),
    update(
        SC,
        {},
        {"volumeBindingMode": "WaitForFirstConsumer"},
        'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
    ),
    bad(
        DRIVER,
        {"spec.fsGroupPolicy": "All"},
        'spec.fsGroupPolicy: Unsupported value: "All": supported values: "File", "None", "ReadWriteOnceWithFSType"',
    ),
    bad(
        DRIVER,
        {"spec.volumeLifecycleModes": ["Forever"]},
        'spec.volumeLifecycleModes: Unsupported value: "Forever": supported values: "Ephemeral", "Persistent"',
    ),
    bad(
        DRIVER,
        {"spec.tokenRequests": [{"audience": "a"}, {"audience": "a"}]},
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
    ),
    bad(
        DRIVER,
        {"spec.tokenRequests": [{"audience": "a", "expirationSeconds": 5}]},
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
    ),
    update(
        DRIVER, {}, {"spec.attachRequired": False}, "spec.attachedRequired: Invalid value: false: field is immutable"
    ),
    bad(NODE, {"spec.drivers": [{"name": "d.example.com"}]}, "spec.drivers[0].nodeID: Required value"),
    bad(
        NODE,
        {"spec.drivers": [{"name": "d.example.com", "nodeID": "n"}] * 2},
        'spec.drivers[1].name: Duplicate value: "d.example.com"',
    ),
    bad(CAP, {"capacity": "-1"}, 'capacity: Invalid value: "-1": must be greater than or equal to 0'),
    update(CAP, {}, {"storageClassName": "t"}, 'storageClassName: Invalid value: "t": field is immutable'),
    bad(VA, {"spec.attacher": ""}, "spec.attacher: Required value"),
    bad(
        VA,
        {"spec.source": {}},
        "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
    ),
    update(VA, {}, {"spec.nodeName": "m"}, "spec: Invalid value", starts=True),
    bad(VAC, {"driverName": ""}, "driverName: Required value"),
    bad(VAC, {"parameters": {}}, "parameters: Required value: must contain at least one key/value pair"),
    update(VAC, {}, {"driverName": "e.example.com"}, "driverName: Forbidden: updates to driverName are forbidden."),
    update(VAC, {}, {"parameters": {"a": "2"}}, "parameters: Forbidden: updates to parameters are forbidden."),
]
ADMISSION = [
    bad(
        HOOKS,
        {"webhooks[0].name": "a"},
        'webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots',
    ),
    bad(HOOKS, {"webhooks[1]": HOOK}, 'webhooks[1].name: Duplicate value: "a.life.example.com"'),
    bad(
        HOOKS,
        {"webhooks[0].clientConfig": {}},
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
    ),
    bad(
        HOOKS,
        {"webhooks[0].clientConfig.url": "http://a/"},
        "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; " + URL,
    ),
    bad(
        HOOKS,
        {"webhooks[0].clientConfig.url": "https://a/?b=c"},
        'webhooks[0].clientConfig.url: Invalid value: "b=c": query parameters are not permitted in the URL',
    ),
    bad(
        MUTATING,
        {"webhooks[0].failurePolicy": "Maybe"},
        'webhooks[0].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
    ),
    bad(
        MUTATING,
        {"webhooks[0].timeoutSeconds": 31},
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    bad(
        MUTATING,
        {"webhooks[0].reinvocationPolicy": "Twice"},
        'webhooks[0].reinvocationPolicy: Unsupported value: "Twice": supported values: "IfNeeded", "Never"',
    ),
    bad(HOOKS, {"webhooks[0].rules[0].operations": []}, "webhooks[0].rules[0].operations: Required value"),
    bad(
        HOOKS,
        {"webhooks[0].rules[0].operations": ["*", "CREATE"]},
        'webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify other '
        "operations",
    ),
    bad(
        HOOKS,
        {"webhooks[0].rules[0].scope": "Here"},
        'webhooks[0].rules[0].scope: Unsupported value: "Here": supported values: "*", "Cluster", "Namespaced"',
    ),
    bad(VAP, {"spec.matchConstraints": ...}, "spec.matchConstraints: Required value"),
    bad(
        VAP,
        {"spec.validations": []},
        "spec.validations: Required value: validations or auditAnnotations must be non-empty; neither has been "
        "specified",
    ),
    bad(
        VAP,
        {"spec.validations[0].expression": " "},
        "spec.validations[0].expression: Required value: expression is not specified",
    ),
    bad(
        VAP,
        {"spec.variables": [{"name": "a-b", "expression": "1"}]},
        'spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier',
    ),
    bad(
        VAP,
        {"spec.matchConditions": [{"name": "a", "expression": ""}]},
        "spec.matchConditions[0].expression: Required value",
    ),
    bad(
        VAP,
        {"spec.matchConstraints.resourceRules": [{**RULE, "apiGroups": []}]},
        "spec.matchConstraints.resourceRules[0].apiGroups: Required value",
    ),
    good(VAP, {"spec.variables": [{"name": "a", "expression": "1"}]}),
    bad(VAPB, {"spec.policyName": ""}, "spec.policyName: Required value"),
    bad(VAPB, {"spec.policyName": "A_"}, f'spec.policyName: Invalid value: "A_": {SUBDOMAIN}'),
    bad(
        VAPB,
        {"spec.validationActions": []},
        "spec.validationActions: Required value: at least one validation action is required",
    ),
    bad(
        VAPB,
        {"spec.validationActions": ["Deny", "Warn"]},
        f'spec.validationActions: Invalid value: ["Deny","Warn"]: {BOTH}',
    ),
    bad(
        VAPB,
        {"spec.validationActions": ["Audit", "Audit"]},
        'spec.validationActions[1]: Duplicate value: "Audit"',
    ),
    bad(CSR, {"spec.signerName": ""}, "spec.signerName: Required value"),
    bad(CSR, {"spec.usages": []}, "spec.usages: Required value"),
    bad(
        CSR,
        {"spec.expirationSeconds": 60},
        "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
    ),
]


@pytest.mark.parametrize("row", rows.params([*STORAGE, *ADMISSION]))
def test_objects(server: RunningServer, namespace: str, row: Row) -> None:
    rows.run(server, namespace, row)


RA = "spec.resourceAttributes"
PODS: dict[str, Any] = {"verb": "list", "resource": "pods"}
REVIEWS: list[tuple[dict[str, Any], str]] = [
    (
        {"user": "u"},
        f"{RA}: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    ),
    (
        {"resourceAttributes": PODS},
        'spec.user: Invalid value: "": at least one of user or group must be specified',
    ),
    (
        {"user": "u", "resourceAttributes": {**PODS, "fieldSelector": {}}},
        f"{RA}.fieldSelector.requirements: Required value: when {RA}.fieldSelector is specified, requirements or "
        "rawSelector is required",
    ),
    (
        {
            "user": "u",
            "resourceAttributes": {**PODS, "labelSelector": {"requirements": [{"key": "a", "operator": "In"}]}},
        },
        f"{RA}.labelSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or "
        "'NotIn'",
    ),
    (
        {
            "user": "u",
            "resourceAttributes": {
                **PODS,
                "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]},
            },
        },
        f'{RA}.fieldSelector.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
    ),
]


@pytest.mark.parametrize(("spec", "cause"), REVIEWS)
def test_access_reviews(server: RunningServer, spec: dict[str, Any], cause: str) -> None:
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = server.raw("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message == f'SubjectAccessReview.authorization.k8s.io "" is invalid: {cause}'


def test_local_access_review_elsewhere(server: RunningServer, namespace: str) -> None:
    spec = {"user": "u", "resourceAttributes": {**PODS, "namespace": "elsewhere"}}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview", "spec": spec}
    path = f"/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews"
    answer = server.raw("POST", path, body)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.message.endswith(f'{RA}.namespace: Invalid value: "elsewhere": must match metadata.namespace')
