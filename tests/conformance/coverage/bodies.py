"""Bodies of the kinds that `tests.conformance.kinds` has none of: those that are asked and not kept, and the rest."""

from __future__ import annotations

import base64
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.conformance.kinds.bodies import BODIES, Body
from tests.conformance.kinds.bodies.workloads import LABELS

Manifest = dict[str, Any]
#: Where objects are made that are in a namespace.
NAMESPACE: Final = "coverage"
_RULES: Final = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_USER: Final = [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]
_CLUSTER_ROLE: Final = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
_HOOK: Final = {
    "name": "hook.example.com",
    "clientConfig": {"url": "https://hook.example.com"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
_REQUESTS: Final = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "class.example.com"}}]}}
_SCHEMA: Final = {"openAPIV3Schema": {"type": "object"}}
_LEVEL: Final = {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
_MATCHED: Final = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
}
_INGRESS: Final = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
_ATTACHED: Final = {"attacher": "csi.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
_ASKED: Final = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NAMESPACE}}


def _certificate_request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


MANIFESTS: Final[dict[str, Manifest]] = {
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration": {"webhooks": [_HOOK]},
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration": {"webhooks": [_HOOK]},
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy": {
        "spec": {"matchConstraints": {"resourceRules": [_MATCHED]}, "validations": [{"expression": "true"}]}
    },
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding": {
        "spec": {"policyName": "policy.example.com", "validationActions": ["Warn"]}
    },
    "apiextensions.k8s.io/v1/CustomResourceDefinition": {
        "spec": {
            "group": "covered.example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": _SCHEMA}],
        }
    },
    "apiregistration.k8s.io/v1/APIService": {
        "spec": {
            "group": "absent.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "insecureSkipTLSVerify": True,
            "service": {"name": "absent", "namespace": "default"},
        }
    },
    "authentication.k8s.io/v1/SelfSubjectReview": {},
    "authentication.k8s.io/v1/TokenReview": {"spec": {"token": "nobody's"}},
    "authentication.k8s.io/v1/TokenRequest": {"spec": {"audiences": []}},
    "authorization.k8s.io/v1/LocalSubjectAccessReview": {"spec": {**_ASKED, "user": "jane"}},
    "authorization.k8s.io/v1/SelfSubjectAccessReview": {"spec": _ASKED},
    "authorization.k8s.io/v1/SelfSubjectRulesReview": {"spec": {"namespace": "default"}},
    "authorization.k8s.io/v1/SubjectAccessReview": {"spec": {**_ASKED, "user": "jane"}},
    "certificates.k8s.io/v1/CertificateSigningRequest": {
        "spec": {
            "request": _certificate_request(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        }
    },
    "coordination.k8s.io/v1/Lease": {"spec": {"holderIdentity": "jane"}},
    "discovery.k8s.io/v1/EndpointSlice": {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]},
    "events.k8s.io/v1/Event": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/covering",
        "reportingInstance": "covering-1",
        "action": "Covered",
        "reason": "Asked",
        "type": "Normal",
    },
    "flowcontrol.apiserver.k8s.io/v1/FlowSchema": {"spec": {"priorityLevelConfiguration": {"name": "global-default"}}},
    "flowcontrol.apiserver.k8s.io/v1/PriorityLevelConfiguration": {"spec": _LEVEL},
    "networking.k8s.io/v1/IngressClass": {"spec": {"controller": "example.com/ingress"}},
    "networking.k8s.io/v1/Ingress": {"spec": _INGRESS},
    "networking.k8s.io/v1/IPAddress": {
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "s"}}
    },
    "networking.k8s.io/v1/NetworkPolicy": {"spec": {"podSelector": {"matchLabels": LABELS}}},
    "networking.k8s.io/v1/ServiceCIDR": {"spec": {"cidrs": ["10.231.0.0/24"]}},
    "node.k8s.io/v1/RuntimeClass": {"handler": "runc"},
    "policy/v1/Eviction": {},
    "autoscaling/v1/Scale": {"spec": {"replicas": 0}},
    "rbac.authorization.k8s.io/v1/ClusterRole": {"rules": _RULES},
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding": {"roleRef": _CLUSTER_ROLE, "subjects": _USER},
    "rbac.authorization.k8s.io/v1/Role": {"rules": _RULES},
    "rbac.authorization.k8s.io/v1/RoleBinding": {"roleRef": _CLUSTER_ROLE, "subjects": _USER},
    "resource.k8s.io/v1/DeviceClass": {"spec": {}},
    "resource.k8s.io/v1/ResourceClaim": {"spec": _REQUESTS},
    "resource.k8s.io/v1/ResourceClaimTemplate": {"spec": {"spec": _REQUESTS}},
    "resource.k8s.io/v1/ResourceSlice": {
        "spec": {
            "driver": "gpu.example.com",
            "nodeName": "n",
            "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": "gpu-0"}],
        }
    },
    "scheduling.k8s.io/v1/PriorityClass": {"value": 10},
    "storage.k8s.io/v1/CSIDriver": {"spec": {"attachRequired": False}},
    "storage.k8s.io/v1/CSINode": {"spec": {"drivers": [{"name": "csi.example.com", "nodeID": "n"}]}},
    "storage.k8s.io/v1/CSIStorageCapacity": {"storageClassName": "fast"},
    "storage.k8s.io/v1/StorageClass": {"provisioner": "csi.example.com"},
    "storage.k8s.io/v1/VolumeAttachment": {"spec": _ATTACHED},
    "storage.k8s.io/v1/VolumeAttributesClass": {"driverName": "csi.example.com", "parameters": {"a": "b"}},
    "v1/Binding": {"target": {"kind": "Node", "name": "covered"}},
}
_NAMES: Final = {
    "v1/ComponentStatus": "etcd-0",
    "apiextensions.k8s.io/v1/CustomResourceDefinition": "things.covered.example.com",
    "apiregistration.k8s.io/v1/APIService": "v1.absent.example.com",
    "networking.k8s.io/v1/IPAddress": "10.231.0.7",
}


def name_of(kind: str) -> str:
    """The name of the object of a kind (``apps/v1/Deployment``) that operations are tried on."""
    return _NAMES.get(kind) or (BODIES[kind].name("covered") if kind in BODIES else "covered")


def manifest_of(kind: str, namespace: str) -> Manifest:
    """A whole object of that kind."""
    body = BODIES.get(kind) or Body(MANIFESTS[kind])
    api_version, _, word = kind.rpartition("/")
    name = name_of(kind)
    made: Manifest = {**body.manifest, "apiVersion": api_version, "kind": word}
    made["metadata"] = {**body.manifest.get("metadata", {}), "name": name}
    if namespace:
        made["metadata"]["namespace"] = namespace
    if kind == "events.k8s.io/v1/Event":
        made["regarding"] = {"kind": "Pod", "name": name, "namespace": namespace}
    if body.prepare is not None:
        body.prepare(made, name, namespace)
    return made
