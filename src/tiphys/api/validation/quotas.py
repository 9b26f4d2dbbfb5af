"""Checks of limit ranges and resource quotas."""

from __future__ import annotations

from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, refuse, required
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import LimitRange, LimitRangeItem, ResourceQuota
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.resources import (
    check_quantity,
    is_overcommit_allowed,
    is_standard,
    resource_name,
)

_LIMIT_TYPES: Final = ("Container", "PersistentVolumeClaim", "Pod")
_SCOPES: Final = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_EXCLUSIVE_SCOPES: Final = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_SCOPE_OPERATORS: Final = ("DoesNotExist", "Exists", "In", "NotIn")
_NOT_IN_POD: Final = "may not be specified when `type` is 'Pod'"


def validate_limit_range(obj: LimitRange) -> list[FieldError]:
    """A limit range, new or changed."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    seen: set[str] = set()
    for index, item in enumerate(obj.spec.limits):
        path = f"spec.limits[{index}]"
        before = len(errors)
        refuse(names.qualified_name(item.type), item.type, f"{path}.type", errors)
        if len(errors) == before and "/" not in item.type and item.type not in _LIMIT_TYPES:
            errors.append(invalid(f"{path}.type", item.type, "must be a standard limit type or fully qualified"))
        if item.type in seen:
            errors.append(duplicate(f"{path}.type", item.type))
        seen.add(item.type)
        _check_item(item, path, errors)
    return errors


def validate_limit_range_update(new: LimitRange, old: LimitRange) -> list[FieldError]:
    """A limit range may become any other."""
    return validate_limit_range(new)


def _check_item(item: LimitRangeItem, path: str, errors: list[FieldError]) -> None:
    resources = dict.fromkeys([*item.max, *item.min])
    for name, where in ((n, "max") for n in item.max):
        refuse(resource_name(name), name, f"{path}.{where}[{name}]", errors)
    for name in item.min:
        refuse(resource_name(name), name, f"{path}.min[{name}]", errors)
    if item.type == "Pod":
        if item.default:
            errors.append(forbidden(f"{path}.default", _NOT_IN_POD))
        if item.default_request:
            errors.append(forbidden(f"{path}.defaultRequest", _NOT_IN_POD))
    else:
        resources.update(dict.fromkeys([*item.default, *item.default_request]))
    if item.type == "PersistentVolumeClaim" and "storage" not in item.min and "storage" not in item.max:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(path, detail))
    resources.update(dict.fromkeys(item.max_limit_request_ratio))
    for name in resources:
        _check_order(item, name, path, errors)


def _check_order(item: LimitRangeItem, name: str, path: str, errors: list[FieldError]) -> None:
    low, high = item.min.get(name), item.max.get(name)
    default, request = item.default.get(name), item.default_request.get(name)
    ratio = item.max_limit_request_ratio.get(name)
    if _above(low, high):
        errors.append(invalid(f"{path}.min[{name}]", low, f"min value {low} is greater than max value {high}"))
    if _above(low, request):
        detail = f"min value {low} is greater than default request value {request}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", request, detail))
    if _above(request, high):
        detail = f"default request value {request} is greater than max value {high}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", request, detail))
    if _above(request, default):
        detail = f"default request value {request} is greater than default limit value {default}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", request, detail))
    if _above(low, default):
        detail = f"min value {low} is greater than default value {default}"
        errors.append(invalid(f"{path}.default[{name}]", low, detail))
    if _above(default, high):
        detail = f"default value {default} is greater than max value {high}"
        errors.append(invalid(f"{path}.default[{name}]", high, detail))
    if ratio is not None:
        if ratio.exact < 1:
            errors.append(invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, f"ratio {ratio} is less than 1"))
        if low is not None and high is not None and low.milli and ratio.exact > high.exact / low.exact:
            limit = float(high.exact / low.exact)
            detail = f"ratio {ratio} is greater than max/min = {limit:f}"
            errors.append(invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, detail))
    if not is_overcommit_allowed(name) and default is not None and request is not None and default != request:
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errors.append(invalid(f"{path}.defaultRequest[{name}]", request, detail))


def _above(first: Quantity | None, second: Quantity | None) -> bool:
    return first is not None and second is not None and first.exact > second.exact


def validate_resource_quota(obj: ResourceQuota) -> list[FieldError]:
    """A new quota."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_quota(obj, errors)
    return errors


def _check_quota(obj: ResourceQuota, errors: list[FieldError]) -> None:
    for name, quantity in obj.spec.hard.items():
        path = f"spec.hard[{name}]"
        _check_quota_name(name, path, errors)
        check_quantity(name, quantity, path, errors)
    scopes = obj.spec.scopes
    problems = ["unsupported scope" for scope in scopes if scope not in _SCOPES]
    problems.extend("conflicting scopes" for pair in _EXCLUSIVE_SCOPES if pair <= set(scopes))
    refuse(problems, list(scopes), "spec.scopes", errors)
    if obj.spec.scope_selector is not None:
        for index, requirement in enumerate(obj.spec.scope_selector.match_expressions):
            where = f"spec.scopeSelector.matchExpressions[{index}]"
            if requirement.scope_name not in _SCOPES:
                errors.append(invalid(f"{where}.scopeName", requirement.scope_name, "unsupported scope"))
            if requirement.operator not in _SCOPE_OPERATORS:
                errors.append(invalid(f"{where}.operator", requirement.operator, "not a valid selector operator"))
            elif requirement.operator in ("In", "NotIn"):
                if not requirement.values:
                    detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                    errors.append(required(f"{where}.values", detail))
            elif requirement.values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid(f"{where}.values", list(requirement.values), detail))


def _check_quota_name(name: str, path: str, errors: list[FieldError]) -> None:
    messages = resource_name(name)
    refuse(messages, name, path, errors)
    if not messages and "/" not in name and not is_standard(name):
        errors.append(invalid(path, name, "must be a standard resource for quota"))


def validate_resource_quota_update(new: ResourceQuota, old: ResourceQuota) -> list[FieldError]:
    """A quota that replaces `old`: scopes stay."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_quota(new, errors)
    if set(new.spec.scopes) != set(old.spec.scopes):
        errors.append(invalid("spec.scopes", list(new.spec.scopes), "field is immutable"))
    return errors


def validate_resource_quota_status(new: ResourceQuota, old: ResourceQuota) -> list[FieldError]:
    """What the quota controller counted."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    for part, quantities in (("hard", new.status.hard), ("used", new.status.used)):
        for name, quantity in quantities.items():
            path = f"status.{part}[{name}]"
            _check_quota_name(name, path, errors)
            check_quantity(name, quantity, path, errors)
    return errors
