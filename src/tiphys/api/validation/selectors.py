"""Checks of label selectors and node selectors."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, required
from tiphys.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.api.validation.formats import check_names
from tiphys.api.validation.metadata import check_label_name, check_labels

NEEDS_VALUES: Final = "must be specified when `operator` is 'In' or 'NotIn'"
HAS_VALUES: Final = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
NOT_AN_OPERATOR: Final = "not a valid selector operator"


def check_label_selector(selector: LabelSelector | None, path: str, errors: list[FieldError]) -> None:
    """A selector of objects by label; None selects nothing and is fine."""
    if selector is None:
        return
    if selector.match_labels:
        check_labels(selector.match_labels, f"{path}.matchLabels", errors)
    for index, expression in enumerate(selector.match_expressions):
        where = f"{path}.matchExpressions[{index}]"
        if expression.operator in ("In", "NotIn"):
            if not expression.values:
                errors.append(required(f"{where}.values", NEEDS_VALUES))
        elif expression.operator in ("Exists", "DoesNotExist"):
            if expression.values:
                errors.append(forbidden(f"{where}.values", HAS_VALUES))
        else:
            errors.append(invalid(f"{where}.operator", expression.operator, NOT_AN_OPERATOR))
        check_label_name(expression.key, f"{where}.key", errors)
        for position, value in enumerate(expression.values):
            check_names(names.label_value, value, f"{where}.values[{position}]", errors)


def is_well_formed(selector: LabelSelector) -> bool:
    """Whether a selector can be matched at all."""
    found: list[FieldError] = []
    check_label_selector(selector, "", found)
    return not found


def check_node_selector(selector: NodeSelector, path: str, errors: list[FieldError]) -> None:
    """A selector of nodes: at least one term."""
    where = f"{path}.nodeSelectorTerms"
    if not selector.node_selector_terms:
        errors.append(required(where, "must have at least one node selector term"))
    for index, term in enumerate(selector.node_selector_terms):
        check_node_selector_term(term, f"{where}[{index}]", errors)


def check_node_selector_term(
    term: NodeSelectorTerm, path: str, errors: list[FieldError], *, any_values: bool = False
) -> None:
    """One term: requirements on labels and on the name. With `any_values`, also values that no label can have."""
    for index, requirement in enumerate(term.match_expressions):
        _check_requirement(requirement, f"{path}.matchExpressions[{index}]", errors, any_values=any_values)
    for index, requirement in enumerate(term.match_fields):
        _check_field_requirement(requirement, f"{path}.matchFields[{index}]", errors)


def _check_requirement(
    requirement: NodeSelectorRequirement, path: str, errors: list[FieldError], *, any_values: bool
) -> None:
    values = requirement.values
    if requirement.operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", NEEDS_VALUES))
    elif requirement.operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden(f"{path}.values", HAS_VALUES))
    elif requirement.operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{path}.values", detail))
    else:
        errors.append(invalid(f"{path}.operator", requirement.operator, NOT_AN_OPERATOR))
    check_label_name(requirement.key, f"{path}.key", errors)
    if any_values:
        return
    for index, value in enumerate(values):
        check_names(names.label_value, value, f"{path}.values[{index}]", errors)


def _check_field_requirement(requirement: NodeSelectorRequirement, path: str, errors: list[FieldError]) -> None:
    if requirement.operator in ("In", "NotIn"):
        if len(requirement.values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{path}.values", detail))
    else:
        errors.append(invalid(f"{path}.operator", requirement.operator, NOT_AN_OPERATOR))
    if requirement.key != "metadata.name":
        errors.append(invalid(f"{path}.key", requirement.key, "not a valid field selector key"))
    else:
        for index, value in enumerate(requirement.values):
            check_names(names.dns_subdomain, value, f"{path}.values[{index}]", errors)
