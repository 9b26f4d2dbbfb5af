"""Which fields a selector may name, kind by kind, and what is said about others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api import errors, field_errors
from tiphys.api.selectors.fields import FieldSelector

_COMMON: Final = ("metadata.name", "metadata.namespace")
_EVENT: Final = (
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid")),
    *(f"involvedObject.{name}" for name in ("apiVersion", "resourceVersion", "fieldPath")),
    *("reason", "reportingComponent", "source", "type"),
)
_POD: Final = (
    *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
    *("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
)
# (group, kind) -> the fields beside name and namespace. Kinds that are absent have upstream's generic answer.
_FIELDS: Final = {
    ("", "Pod"): frozenset(_POD),
    ("", "Node"): frozenset(("spec.unschedulable",)),
    ("", "Namespace"): frozenset(("status.phase", "name")),
    ("", "Secret"): frozenset(("type",)),
    ("", "Service"): frozenset(("spec.clusterIP", "spec.type")),
    ("", "ReplicationController"): frozenset(("status.replicas",)),
    ("", "Event"): frozenset(_EVENT),
    ("events.k8s.io", "Event"): frozenset(_EVENT),
    ("apps", "ReplicaSet"): frozenset(("status.replicas",)),
    ("batch", "Job"): frozenset(("status.successful",)),
    ("certificates.k8s.io", "CertificateSigningRequest"): frozenset(("spec.signerName",)),
}
_NAMED_IN_ERRORS: Final = {("batch", "Job"): "Job"}


def check_fields(selector: FieldSelector, group: str, kind: str, selectable: Iterable[str] = ()) -> None:
    """Raises ApiError (400) if the selector names a field that `kind` cannot be selected by.

    selectable: further fields, as a CustomResourceDefinition declares them (``.spec.size`` without the dot).
    """
    special = _FIELDS.get((group, kind))
    more = tuple(selectable)
    for field, _, _ in selector.requirements:
        if field in _COMMON or field in more or (special is not None and field in special):
            continue
        if special is None:
            known = ", ".join(map(field_errors.quote, (*_COMMON, *more)))
            raise errors.bad_request(f"{field_errors.quote(field)} is not a known field selector: only {known}")
        raise errors.bad_request(_refusal(group, kind, field))


def _refusal(group: str, kind: str, field: str) -> str:
    if (group, kind) in _NAMED_IN_ERRORS:
        return f"field label {field_errors.quote(field)} not supported for {kind}"
    return f"field label not supported: {field}"
