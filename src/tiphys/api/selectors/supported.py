"""Which fields a selector may name, kind by kind, and what is said about others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tiphys.api import errors, field_errors
from tiphys.api.scheme import Resource, by_gvk
from tiphys.api.selectors.fields import FieldRequirement, FieldSelector

_NAME: Final = "metadata.name"
_NAMESPACE: Final = "metadata.namespace"
_COMMON: Final = (_NAME, _NAMESPACE)
_REFERENCE: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _same(*labels: str) -> dict[str, str]:
    return {label: label for label in labels}


# (group, kind) -> label to the one that objects are asked for. Kinds that are absent have upstream's generic answer:
# name and namespace, and other words for the rest.
_FIELDS: Final[Mapping[tuple[str, str], Mapping[str, str]]] = {
    ("", "Pod"): {
        **_same(*_COMMON, "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        **_same("spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
        "spec.host": "spec.nodeName",
    },
    ("", "Node"): _same(_NAME, "spec.unschedulable"),
    ("", "Namespace"): _same(_NAME, "status.phase"),
    ("", "Secret"): _same(*_COMMON, "type"),
    ("", "Service"): _same(*_COMMON, "spec.clusterIP", "spec.type"),
    ("", "ReplicationController"): _same(*_COMMON, "status.replicas"),
    ("", "Event"): {
        **_same(*_COMMON, *(f"involvedObject.{name}" for name in _REFERENCE)),
        **_same("reason", "reportingComponent", "source", "type"),
    },
    ("events.k8s.io", "Event"): {
        **{f"regarding.{name}": f"involvedObject.{name}" for name in _REFERENCE},
        **_same(*_COMMON, "reason", "source", "type"),
        "reportingController": "reportingComponent",
    },
    ("batch", "Job"): _same(*_COMMON, "status.successful"),
    ("certificates.k8s.io", "CertificateSigningRequest"): _same(_NAME, "spec.signerName"),
    ("resource.k8s.io", "ResourceSlice"): _same(_NAME, "spec.nodeName", "spec.driver"),
}


def resolve_fields(selector: FieldSelector, resource: Resource) -> FieldSelector:
    """The selector in the labels that stored objects are asked for.

    Raises ApiError (400) if the selector names a field that the kind cannot be selected by.
    """
    known = _FIELDS.get((resource.group, resource.kind))
    if known is None:
        return _generic(selector, resource)
    for field, _, _ in selector.requirements:
        if field not in known:
            raise errors.bad_request(_refusal(resource, field))
    return FieldSelector(tuple(FieldRequirement(known[field], eq, value) for field, eq, value in selector.requirements))


def _generic(selector: FieldSelector, resource: Resource) -> FieldSelector:
    custom = by_gvk(resource.group, resource.version, resource.kind) is None
    for field, _, _ in selector.requirements:
        if field == _NAME or (field == _NAMESPACE and (resource.namespaced or not custom)):
            continue
        if not custom:
            known = ", ".join(map(field_errors.quote, _COMMON))
            raise errors.bad_request(f"{field_errors.quote(field)} is not a known field selector: only {known}")
        if field not in resource.selectable_fields:
            raise errors.bad_request(f"field label not supported: {field}")
    return selector


def _refusal(resource: Resource, field: str) -> str:
    if resource.kind == "Job":
        return f"field label {field_errors.quote(field)} not supported for Job"
    if resource.kind == "ResourceSlice":
        return f"field label not supported for {resource.api_version}, Kind={resource.kind}: {field}"
    return f"field label not supported: {field}"
