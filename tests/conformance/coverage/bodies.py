"""Bodies of the kinds that `tests.conformance.kinds` has none of: those that are asked and not kept, and the rest."""

from __future__ import annotations

from typing import Any, Final

from tests.conformance.kinds.bodies import BODIES, Body

Manifest = dict[str, Any]
#: Where objects are made that are in a namespace.
NAMESPACE: Final = "coverage"
_SCHEMA: Final = {"openAPIV3Schema": {"type": "object"}}
_ASKED: Final = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": NAMESPACE}}

MANIFESTS: Final[dict[str, Manifest]] = {
    "apiextensions.k8s.io/v1/CustomResourceDefinition": {
        "spec": {
            "group": "covered.example.com",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": _SCHEMA}],
        }
    },
    "authentication.k8s.io/v1/SelfSubjectReview": {},
    "authentication.k8s.io/v1/TokenReview": {"spec": {"token": "nobody's"}},
    "authentication.k8s.io/v1/TokenRequest": {"spec": {"audiences": []}},
    "authorization.k8s.io/v1/LocalSubjectAccessReview": {"spec": {**_ASKED, "user": "jane"}},
    "authorization.k8s.io/v1/SelfSubjectAccessReview": {"spec": _ASKED},
    "authorization.k8s.io/v1/SelfSubjectRulesReview": {"spec": {"namespace": "default"}},
    "authorization.k8s.io/v1/SubjectAccessReview": {"spec": {**_ASKED, "user": "jane"}},
    "events.k8s.io/v1/Event": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/covering",
        "reportingInstance": "covering-1",
        "action": "Covered",
        "reason": "Asked",
        "type": "Normal",
    },
    "policy/v1/Eviction": {},
    "autoscaling/v1/Scale": {"spec": {"replicas": 0}},
    # Of a node without drivers upstream says null, which the client cannot read.
    "storage.k8s.io/v1/CSINode": {"spec": {"drivers": [{"name": "csi.example.com", "nodeID": "n"}]}},
    "v1/Binding": {"target": {"kind": "Node", "name": "covered"}},
}
_NAMES: Final = {
    "v1/ComponentStatus": "etcd-0",
    "apiextensions.k8s.io/v1/CustomResourceDefinition": "things.covered.example.com",
}


def name_of(kind: str) -> str:
    """The name of the object of a kind (``apps/v1/Deployment``) that operations are tried on."""
    return _NAMES.get(kind) or (BODIES[kind].name("covered") if kind in BODIES else "covered")


def manifest_of(kind: str, namespace: str) -> Manifest:
    """A whole object of that kind."""
    body = Body(MANIFESTS[kind]) if kind in MANIFESTS else BODIES[kind]
    api_version, _, word = kind.rpartition("/")
    name = name_of(kind)
    made: Manifest = {**body.manifest, "apiVersion": api_version, "kind": word}
    made["metadata"] = {**body.manifest.get("metadata", {})}
    if not api_version.startswith("authorization.k8s.io/"):
        made["metadata"]["name"] = name
    if namespace:
        made["metadata"]["namespace"] = namespace
    if kind == "events.k8s.io/v1/Event":
        made["regarding"] = {"kind": "Pod", "name": name, "namespace": namespace}
    if body.prepare is not None:
        body.prepare(made, name, namespace)
    return made
