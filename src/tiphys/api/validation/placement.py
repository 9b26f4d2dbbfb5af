"""Checks of where a pod may run: affinity, spreading, tolerations."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import (
    Affinity,
    NodeAffinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    Toleration,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.api.validation.metadata import check_label_name
from tiphys.api.validation.selectors import check_label_selector, check_node_selector, check_node_selector_term

TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WEIGHT: Final = "must be in the range 1-100"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_WHEN_UNSATISFIABLE: Final = ("DoNotSchedule", "ScheduleAnyway")
# The last two are known, and behind a gate.
_OPERATORS: Final = ("Equal", "Exists", "Lt", "Gt")
_POSITIVE: Final = "must be greater than zero"


def check_affinity(affinity: Affinity, path: str, errors: list[FieldError]) -> None:
    """Affinity to nodes and to (or against) pods."""
    if affinity.node_affinity is not None:
        _check_node_affinity(affinity.node_affinity, f"{path}.nodeAffinity", errors)
    if affinity.pod_affinity is not None:
        _check_pod_affinity(affinity.pod_affinity, f"{path}.podAffinity", errors)
    if affinity.pod_anti_affinity is not None:
        _check_pod_affinity(affinity.pod_anti_affinity, f"{path}.podAntiAffinity", errors)


def _check_node_affinity(affinity: NodeAffinity, path: str, errors: list[FieldError]) -> None:
    selector = affinity.required_during_scheduling_ignored_during_execution
    if selector is not None:
        check_node_selector(selector, f"{path}.{_REQUIRED}", errors)
    for index, preferred in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        where = f"{path}.{_PREFERRED}[{index}]"
        if not 1 <= preferred.weight <= 100:
            errors.append(invalid(f"{where}.weight", preferred.weight, _WEIGHT))
        check_node_selector_term(preferred.preference, f"{where}.preference", errors, any_values=True)


def _check_pod_affinity(affinity: PodAffinity | PodAntiAffinity, path: str, errors: list[FieldError]) -> None:
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        _check_pod_term(term, f"{path}.{_REQUIRED}[{index}]", errors)
    for index, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        where = f"{path}.{_PREFERRED}[{index}]"
        if not 1 <= weighted.weight <= 100:
            errors.append(invalid(f"{where}.weight", weighted.weight, _WEIGHT))
        _check_pod_term(weighted.pod_affinity_term, f"{where}.podAffinityTerm", errors)


def _check_pod_term(term: PodAffinityTerm, path: str, errors: list[FieldError]) -> None:
    check_label_selector(term.label_selector, f"{path}.labelSelector", errors)
    check_label_selector(term.namespace_selector, f"{path}.namespaceSelector", errors)
    for namespace in term.namespaces:
        refuse(names.dns_label(namespace), namespace, f"{path}.namespace", errors)
    if term.match_label_keys:
        _check_label_keys(term.match_label_keys, term, f"{path}.matchLabelKeys", errors)
    if term.mismatch_label_keys:
        _check_label_keys(term.mismatch_label_keys, term, f"{path}.mismatchLabelKeys", errors)
    if term.match_label_keys:
        _check_selected_once(term.match_label_keys, term.label_selector, path, errors)
    for index, key in enumerate(term.match_label_keys):
        if key in term.mismatch_label_keys:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(invalid(f"{path}.matchLabelKeys[{index}]", key, detail))
    if not term.topology_key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    check_label_name(term.topology_key, f"{path}.topologyKey", errors)


def _check_label_keys(
    keys: tuple[str, ...], holder: PodAffinityTerm | TopologySpreadConstraint, path: str, errors: list[FieldError]
) -> None:
    if holder.label_selector is None:
        errors.append(forbidden(path, "must not be specified when labelSelector is not set"))
        return
    for index, key in enumerate(keys):
        check_label_name(key, f"{path}[{index}]", errors)


def _check_selected_once(
    keys: tuple[str, ...], selector: LabelSelector | None, path: str, errors: list[FieldError]
) -> None:
    """A key of matchLabelKeys became a requirement when the Pod was made; another for it is the user's."""
    if selector is None:
        return
    places = {key: index for index, key in enumerate(keys)}
    seen = set(selector.match_labels)
    for expression in selector.match_expressions:
        if expression.key in places and expression.key in seen:
            detail = "exists in both matchLabelKeys and labelSelector"
            errors.append(invalid(f"{path}[{places[expression.key]}]", expression.key, detail))
        seen.add(expression.key)


def check_spread(constraints: tuple[TopologySpreadConstraint, ...], path: str, errors: list[FieldError]) -> None:
    """How pods spread over topology domains."""
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        if constraint.max_skew <= 0:
            errors.append(invalid(f"{where}.maxSkew", constraint.max_skew, _POSITIVE))
        if not constraint.topology_key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        action = constraint.when_unsatisfiable
        pair = constraint.topology_key, action
        if action not in _WHEN_UNSATISFIABLE:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _WHEN_UNSATISFIABLE))
        if any((c.topology_key, c.when_unsatisfiable) == pair for c in constraints[index + 1 :]):
            value = f"{{{constraint.topology_key}, {action}}}"
            errors.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", value))
        _check_spread_options(constraint, where, errors)
        check_label_selector(constraint.label_selector, f"{where}.labelSelector", errors)


def _check_spread_options(constraint: TopologySpreadConstraint, path: str, errors: list[FieldError]) -> None:
    domains = constraint.min_domains
    if domains is not None:
        if domains <= 0:
            errors.append(invalid(f"{path}.minDomains", domains, _POSITIVE))
        if constraint.when_unsatisfiable != "DoNotSchedule":
            detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {constraint.when_unsatisfiable}"
            errors.append(invalid(f"{path}.minDomains", domains, detail))
    for value, name in (
        (constraint.node_affinity_policy, "nodeAffinityPolicy"),
        (constraint.node_taints_policy, "nodeTaintsPolicy"),
    ):
        if value is not None and value not in ("Honor", "Ignore"):
            errors.append(not_supported(f"{path}.{name}", value, ("Honor", "Ignore")))
    if constraint.match_label_keys:
        _check_label_keys(constraint.match_label_keys, constraint, f"{path}.matchLabelKeys", errors)
        _check_selected_once(constraint.match_label_keys, constraint.label_selector, path, errors)


def check_tolerations(tolerations: tuple[Toleration, ...], path: str, errors: list[FieldError]) -> None:
    """Which taints a pod bears."""
    for index, toleration in enumerate(tolerations):
        if toleration.key:
            check_label_name(toleration.key, f"{path}[{index}].key", errors)
        elif toleration.operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{path}[{index}].operator", toleration.operator or "", detail))
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{path}[{index}].effect", toleration.effect or "", detail))
        value = toleration.value or ""
        if toleration.operator == "Exists":
            if value:
                detail = "value must be empty when `operator` is 'Exists'"
                errors.append(invalid(f"{path}[{index}].operator", value, detail))
        elif not toleration.operator or toleration.operator == "Equal":
            messages = names.label_value(value)
            if messages:
                errors.append(invalid(f"{path}[{index}].operator", value, ";".join(messages)))
        else:
            known = _OPERATORS if toleration.operator in _OPERATORS else _OPERATORS[:2]
            errors.append(not_supported(f"{path}[{index}].operator", toleration.operator, known))
        if toleration.effect and toleration.effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{path}[{index}].effect", toleration.effect, TAINT_EFFECTS))
