"""Checks of limit ranges and resource quotas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, refuse, required
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    LimitRange,
    LimitRangeItem,
    ResourceQuota,
    ResourceQuotaSpec,
    ScopedResourceSelectorRequirement,
)
from tiphys.api.validation.metadata import check_metadata, check_metadata_update
from tiphys.api.validation.resources import (
    check_quantity,
    container_resource_name,
    is_huge_page,
    is_overcommit_allowed,
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
_POD_SCOPES: Final = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_ALONE: Final = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_MUST_EXIST: Final = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_UNSCOPED: Final = "unsupported scope applied to resource"
_POD_RESOURCES: Final = frozenset(
    {"pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
)
QUOTA_RESOURCES: Final = frozenset(
    {
        *_POD_RESOURCES,
        "configmaps",
        "ephemeral-storage",
        "limits.ephemeral-storage",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "requests.ephemeral-storage",
        "requests.storage",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
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
    _check_names(item, item.max, f"{path}.max", errors)
    _check_names(item, item.min, f"{path}.min", errors)
    if item.type == "Pod":
        if item.default:
            errors.append(forbidden(f"{path}.default", _NOT_IN_POD))
        if item.default_request:
            errors.append(forbidden(f"{path}.defaultRequest", _NOT_IN_POD))
    else:
        _check_names(item, item.default, f"{path}.default", errors)
        _check_names(item, item.default_request, f"{path}.defaultRequest", errors)
        resources.update(dict.fromkeys([*item.default, *item.default_request]))
    if item.type == "PersistentVolumeClaim" and "storage" not in item.min and "storage" not in item.max:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", detail))
    _check_names(item, item.max_limit_request_ratio, f"{path}.maxLimitRequestRatio", errors)
    resources.update(dict.fromkeys(item.max_limit_request_ratio))
    for name in resources:
        _check_order(item, name, path, errors)


def _check_names(item: LimitRangeItem, quantities: dict[str, Quantity], path: str, errors: list[FieldError]) -> None:
    name_check = container_resource_name if item.type in ("Container", "Pod") else resource_name
    for name in quantities:
        refuse(name_check(name), name, f"{path}[{name}]", errors)


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
    _check_scopes(obj.spec, errors)
    if obj.spec.scope_selector is not None:
        _check_scope_selector(obj.spec, errors)
    _check_quota_status(obj, errors)


def _check_scopes(spec: ResourceQuotaSpec, errors: list[FieldError]) -> None:
    scopes = list(spec.scopes)
    problems: list[str] = []
    for scope in scopes:
        if scope not in _SCOPES:
            problems.append("unsupported scope")
        problems.extend(_UNSCOPED for name in spec.hard if not _is_scoped(scope, name))
    problems.extend(_conflicts(scopes))
    refuse(problems, scopes, "spec.scopes", errors)


def _conflicts(scopes: Iterable[str]) -> list[str]:
    return ["conflicting scopes" for pair in _EXCLUSIVE_SCOPES if pair <= set(scopes)]


def _is_scoped(scope: str, resource: str) -> bool:
    """Whether a scope makes sense for a resource; of resources nobody knows here, all do."""
    if resource not in QUOTA_RESOURCES and not is_huge_page(resource.removeprefix("requests.")):
        return True
    if scope in _POD_SCOPES:
        return resource in _POD_RESOURCES
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return True


def _check_scope_selector(spec: ResourceQuotaSpec, errors: list[FieldError]) -> None:
    assert spec.scope_selector is not None
    # Upstream's paths name no expression.
    path = "spec.scopeSelector.matchExpressions"
    requirements = spec.scope_selector.match_expressions
    for requirement in requirements:
        scope, operator = requirement.scope_name, requirement.operator
        if scope not in _SCOPES:
            errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        unscoped = [_UNSCOPED for name in spec.hard if not _is_scoped(scope, name)]
        refuse(unscoped, _shown(requirements), path, errors)
        if scope in _ALONE and operator != "Exists":
            errors.append(invalid(f"{path}.operator", operator, _MUST_EXIST))
        if operator in ("In", "NotIn"):
            if not requirement.values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{path}.values", detail))
        elif operator not in _SCOPE_OPERATORS:
            errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
        elif requirement.values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(invalid(f"{path}.values", list(requirement.values), detail))
    refuse(_conflicts(r.scope_name for r in requirements), list(spec.scopes) or None, path, errors)


def _shown(requirements: tuple[ScopedResourceSelectorRequirement, ...]) -> dict[str, object]:
    return {
        "MatchExpressions": [
            {"ScopeName": r.scope_name, "Operator": r.operator, "Values": list(r.values) or None} for r in requirements
        ]
    }


def _check_quota_name(name: str, path: str, errors: list[FieldError]) -> None:
    messages = resource_name(name)
    refuse(messages, name, path, errors)
    if "/" not in name and name not in QUOTA_RESOURCES and not is_huge_page(name.removeprefix("requests.")):
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
    _check_quota_status(new, errors)
    return errors


def _check_quota_status(obj: ResourceQuota, errors: list[FieldError]) -> None:
    for part, quantities in (("hard", obj.status.hard), ("used", obj.status.used)):
        for name, quantity in quantities.items():
            path = f"status.{part}[{name}]"
            _check_quota_name(name, path, errors)
            check_quantity(name, quantity, path, errors)
