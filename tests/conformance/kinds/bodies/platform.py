"""networking, discovery, RBAC, storage, scheduling, nodes, certificates, admission, flow control, devices."""

from __future__ import annotations

import base64
import zlib
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conformance.kinds.bodies.body import Body

RBAC: Final = "rbac.authorization.k8s.io"
BACKEND: Final[dict[str, Any]] = {"service": {"name": "s", "port": {"number": 80}}}
RULE: Final[dict[str, Any]] = {
    "apiGroups": ["life.example.com"],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["lives"],
}
HOOK: Final[dict[str, Any]] = {
    "name": "a.life.example.com",
    "clientConfig": {"url": "https://127.0.0.1:9/"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [RULE],
}
PATCH: Final = "[JSONPatch{op: 'add', path: '/metadata/labels/x', value: 'y'}]"
CONSTRAINTS: Final[dict[str, Any]] = {"resourceRules": [RULE]}
REQUEST: Final[dict[str, Any]] = {"name": "r", "exactly": {"deviceClassName": "gpu.example.com"}}
LIMITED: Final[dict[str, Any]] = {
    "nominalConcurrencyShares": 1,
    "limitResponse": {"type": "Reject"},
}
SUBJECTS: Final[list[dict[str, Any]]] = [{"kind": "User", "apiGroup": RBAC, "name": "u"}]
FLOW: Final[dict[str, Any]] = {
    "subjects": [{"kind": "User", "user": {"name": "nobody-at-all"}}],
    "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["none"]}],
}


def _signing_request() -> str:
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "life")])
    asked = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()


def _address(word: str) -> str:
    """An address of no Service range, made from a word."""
    number = zlib.crc32(word.encode())
    return f"192.168.{number >> 8 & 255}.{number & 255}"


def _network(manifest: dict[str, Any], name: str, namespace: str) -> None:
    number = zlib.crc32(name.encode())
    manifest["spec"] = {"cidrs": [f"172.{16 + (number >> 8) % 16}.{number & 255}.0/24"]}


def _service(manifest: dict[str, Any], name: str, namespace: str) -> None:
    version, _, group = name.partition(".")
    manifest["spec"]["version"], manifest["spec"]["group"] = version, group or "life.example.com"


def _condition(kind: str) -> dict[str, Any]:
    entry = {"type": kind, "status": "True", "reason": "R", "message": "m"}
    return {"conditions": [{**entry, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


_ROLE: Final[dict[str, Any]] = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
_BINDING: Final[dict[str, Any]] = {
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
    "subjects": SUBJECTS,
}
_LEVEL: Final[dict[str, Any]] = {"spec": {"type": "Limited", "limited": LIMITED}}

BODIES: Final[dict[str, Body]] = {
    "networking.k8s.io/v1/Ingress": Body(
        {"spec": {"defaultBackend": BACKEND}},
        change={"spec": {"ingressClassName": "other"}},
        counted=True,
        status={"loadBalancer": {"ingress": [{"ip": "10.1.1.1"}]}},
    ),
    "networking.k8s.io/v1/IngressClass": Body({"spec": {"controller": "example.com/c"}}, counted=True),
    "networking.k8s.io/v1/NetworkPolicy": Body(
        {"spec": {"podSelector": {}}}, change={"spec": {"ingress": [{}]}}, counted=True
    ),
    "networking.k8s.io/v1/IPAddress": Body(
        {"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "none"}}}, name=_address
    ),
    "networking.k8s.io/v1/ServiceCIDR": Body(prepare=_network, status=_condition("example.com/Looked")),
    "discovery.k8s.io/v1/EndpointSlice": Body(
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"port": 80}]},
        change={"ports": [{"port": 81}]},
        counted=True,
    ),
    "coordination.k8s.io/v1/Lease": Body(
        {"spec": {"holderIdentity": "a"}}, change={"spec": {"holderIdentity": "b", "leaseDurationSeconds": 5}}
    ),
    f"{RBAC}/v1/Role": Body(_ROLE, change={"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}),
    f"{RBAC}/v1/ClusterRole": Body(
        _ROLE, change={"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}
    ),
    f"{RBAC}/v1/RoleBinding": Body(_BINDING, change={"subjects": [{"kind": "User", "apiGroup": RBAC, "name": "v"}]}),
    f"{RBAC}/v1/ClusterRoleBinding": Body(
        _BINDING, change={"subjects": [{"kind": "User", "apiGroup": RBAC, "name": "v"}]}
    ),
    "storage.k8s.io/v1/StorageClass": Body({"provisioner": "example.com/p"}, change={"allowVolumeExpansion": True}),
    "storage.k8s.io/v1/CSIDriver": Body({"spec": {}}, change={"spec": {"requiresRepublish": True}}),
    "storage.k8s.io/v1/CSINode": Body(
        {"spec": {"drivers": []}}, change={"spec": {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}}
    ),
    "storage.k8s.io/v1/CSIStorageCapacity": Body({"storageClassName": "s"}, change={"capacity": "1Gi"}),
    "storage.k8s.io/v1/VolumeAttachment": Body(
        {"spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
        status={"attached": True},
    ),
    "storage.k8s.io/v1/VolumeAttributesClass": Body({"driverName": "d.example.com", "parameters": {"a": "1"}}),
    "scheduling.k8s.io/v1/PriorityClass": Body({"value": 5}, change={"description": "d"}),
    "node.k8s.io/v1/RuntimeClass": Body({"handler": "h"}, change={"scheduling": {"nodeSelector": {"a": "b"}}}),
    "certificates.k8s.io/v1/CertificateSigningRequest": Body(
        {"spec": {"request": _signing_request(), "signerName": "example.com/s", "usages": ["client auth"]}},
    ),
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration": Body(
        {"webhooks": [HOOK]}, change={"webhooks": [{**HOOK, "timeoutSeconds": 3}]}, counted=True
    ),
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration": Body(
        {"webhooks": [HOOK]}, change={"webhooks": [{**HOOK, "timeoutSeconds": 3}]}, counted=True
    ),
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": Body(
        {"spec": {"matchConstraints": CONSTRAINTS, "validations": [{"expression": "true"}]}},
        change={"spec": {"failurePolicy": "Ignore"}},
        counted=True,
        status=_condition("example.com/Looked"),
    ),
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding": Body(
        {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
        change={"spec": {"validationActions": ["Warn"]}},
        counted=True,
    ),
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy": Body(
        {
            "spec": {
                "matchConstraints": CONSTRAINTS,
                "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": PATCH}}],
            }
        },
        change={"spec": {"failurePolicy": "Ignore"}},
        counted=True,
    ),
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding": Body(
        {"spec": {"policyName": "p"}}, change={"spec": {"policyName": "q"}}, counted=True
    ),
    "flowcontrol.apiserver.k8s.io/v1/FlowSchema": Body(
        {
            "spec": {
                "matchingPrecedence": 9000,
                "priorityLevelConfiguration": {"name": "global-default"},
                "rules": [FLOW],
            }
        },
        change={"spec": {"matchingPrecedence": 9001}},
        counted=True,
        status=_condition("example.com/Looked"),
    ),
    "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration": Body(
        _LEVEL,
        change={"spec": {"limited": {"nominalConcurrencyShares": 2}}},
        counted=True,
        status=_condition("example.com/Looked"),
    ),
    "apiregistration.k8s.io/v1/APIService": Body(
        {
            "spec": {
                "groupPriorityMinimum": 10,
                "versionPriority": 10,
            }
        },
        change={"spec": {"versionPriority": 11}},
        name=lambda word: f"v1.{word}.example.com",
        prepare=_service,
    ),
    "resource.k8s.io/v1/ResourceClaim": Body({"spec": {"devices": {"requests": [REQUEST]}}}),
    "resource.k8s.io/v1/ResourceClaimTemplate": Body({"spec": {"spec": {"devices": {"requests": [REQUEST]}}}}),
    "resource.k8s.io/v1/DeviceClass": Body(
        {"spec": {"selectors": [{"cel": {"expression": "true"}}]}},
        change={"spec": {"selectors": [{"cel": {"expression": "false"}}]}},
        counted=True,
    ),
    "resource.k8s.io/v1/ResourceSlice": Body(
        {
            "spec": {
                "driver": "d.example.com",
                "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                "allNodes": True,
                "devices": [{"name": "gpu-0"}],
            }
        },
        change={"spec": {"devices": [{"name": "gpu-1"}]}},
        counted=True,
    ),
}
