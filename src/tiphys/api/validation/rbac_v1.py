"""Checks of roles and bindings; whether one may grant what they grant is the registry's question."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.selectors import check_label_selector

GROUP: Final = "rbac.authorization.k8s.io"


def _role(obj: Role) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.path_segment, "metadata", errors)
    _check_rules(obj.rules, True, errors)
    return errors


def _role_update(new: Role, old: Role) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_rules(new.rules, True, errors)
    return errors


def _cluster_role(obj: ClusterRole) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.path_segment, "metadata", errors)
    _check_cluster_role(obj, errors)
    return errors


def _cluster_role_update(new: ClusterRole, old: ClusterRole) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_cluster_role(new, errors)
    return errors


def _check_cluster_role(obj: ClusterRole, errors: list[FieldError]) -> None:
    _check_rules(obj.rules, False, errors)
    if obj.aggregation_rule is not None:
        selectors = obj.aggregation_rule.cluster_role_selectors
        path = "aggregationRule.clusterRoleSelectors"
        if not selectors:
            errors.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for index, selector in enumerate(selectors):
            check_label_selector(selector, f"{path}[{index}]", errors)


def _check_rules(rules: tuple[PolicyRule, ...], namespaced: bool, errors: list[FieldError]) -> None:
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        if not rule.verbs:
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if rule.non_resource_urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", list(rule.non_resource_urls), detail))
            if rule.api_groups or rule.resources or rule.resource_names:
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", list(rule.non_resource_urls), detail))
            continue
        if not rule.api_groups:
            errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.resources:
            errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))


def _role_binding(obj: RoleBinding) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.path_segment, "metadata", errors)
    _check_binding(obj.role_ref, obj.subjects, True, errors)
    return errors


def _cluster_role_binding(obj: ClusterRoleBinding) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.path_segment, "metadata", errors)
    _check_binding(obj.role_ref, obj.subjects, False, errors)
    return errors


def _binding_update(new: Any, old: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    _check_binding(new.role_ref, new.subjects, isinstance(new, RoleBinding), errors)
    check_metadata_update(new.metadata, old.metadata, errors)
    if new.role_ref != old.role_ref:
        reference = {"APIGroup": new.role_ref.api_group, "Kind": new.role_ref.kind, "Name": new.role_ref.name}
        errors.append(invalid("roleRef", reference, "cannot change roleRef"))
    return errors


def _check_binding(
    reference: RoleRef, subjects: tuple[Subject, ...], namespaced: bool, errors: list[FieldError]
) -> None:
    if reference.api_group != GROUP:
        errors.append(not_supported("roleRef.apiGroup", reference.api_group or "", (GROUP,)))
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if reference.kind not in kinds:
        errors.append(not_supported("roleRef.kind", reference.kind, kinds))
    if not reference.name:
        errors.append(required("roleRef.name"))
    else:
        refuse(names.path_segment(reference.name), reference.name, "roleRef.name", errors)
    for index, subject in enumerate(subjects):
        _check_subject(subject, namespaced, f"subjects[{index}]", errors)


def _check_subject(subject: Subject, namespaced: bool, path: str, errors: list[FieldError]) -> None:
    if not subject.name:
        errors.append(required(f"{path}.name"))
    if subject.kind == "ServiceAccount":
        if subject.name:
            refuse(names.dns_subdomain(subject.name), subject.name, f"{path}.name", errors)
        if subject.api_group:
            errors.append(not_supported(f"{path}.apiGroup", subject.api_group, ("",)))
        if not namespaced and not subject.namespace:
            errors.append(required(f"{path}.namespace"))
        return
    if subject.kind not in ("User", "Group"):
        errors.append(not_supported(f"{path}.kind", subject.kind, ("ServiceAccount", "User", "Group")))
        return
    if subject.api_group != GROUP:
        errors.append(not_supported(f"{path}.apiGroup", subject.api_group or "", (GROUP,)))
    if subject.namespace:
        errors.append(forbidden(f"{path}.namespace", f"may not be set for a {subject.kind} subject"))


CREATE: Final[dict[type, Any]] = {
    ClusterRole: _cluster_role,
    ClusterRoleBinding: _cluster_role_binding,
    Role: _role,
    RoleBinding: _role_binding,
}
UPDATE: Final[dict[type, Any]] = {
    ClusterRole: _cluster_role_update,
    ClusterRoleBinding: _binding_update,
    Role: _role_update,
    RoleBinding: _binding_update,
}
