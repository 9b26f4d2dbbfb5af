"""Checks of resource names and amounts."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    refuse,
    required,
)
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import ResourceRequirements

HUGE_PAGES: Final = "hugepages-"
_CONTAINER: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_QUOTA_OBJECTS: Final = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_QUOTA_COMPUTE: Final = frozenset(
    {
        "cpu",
        "ephemeral-storage",
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
        "requests.storage",
        "storage",
    }
)
_STANDARD: Final = _QUOTA_OBJECTS | _QUOTA_COMPUTE
_POD_LEVEL: Final = ("cpu", "hugepages-", "memory")
_NOT_FOR_PODS: Final[names.Messages] = ("not for a whole pod",)
NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def is_huge_page(resource: str) -> bool:
    """``hugepages-2Mi`` and the like."""
    return resource.startswith(HUGE_PAGES)


def is_native(resource: str) -> bool:
    """A resource of Kubernetes' own namespace."""
    return "/" not in resource or "kubernetes.io/" in resource


@lru_cache(maxsize=1024)
def is_extended(resource: str) -> bool:
    """A vendor's resource, ``example.com/gpu``: whole numbers, never overcommitted."""
    if is_native(resource) or resource.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{resource}")


def is_overcommit_allowed(resource: str) -> bool:
    """Whether limits may exceed requests."""
    return is_native(resource) and not is_huge_page(resource)


def is_integer(resource: str) -> bool:
    """Whether amounts are whole."""
    return resource in _QUOTA_OBJECTS or is_extended(resource)


def is_standard(resource: str) -> bool:
    """Known to upstream without a domain."""
    return resource in _STANDARD or is_huge_page(resource) or resource.startswith("requests.hugepages-")


@lru_cache(maxsize=1024)
def resource_name(resource: str) -> names.Messages:
    """What is wrong with the name of a resource."""
    messages = names.qualified_name(resource)
    if messages:
        return messages
    if "/" not in resource and not is_standard(resource):
        return ("must be a standard resource type or fully qualified",)
    return ()


@lru_cache(maxsize=1024)
def container_resource_name(resource: str) -> names.Messages:
    """What is wrong with the name of a resource of a container."""
    messages = resource_name(resource)
    if "/" not in resource:
        if resource not in _CONTAINER and not is_huge_page(resource):
            return (*messages, "must be a standard resource for containers")
    elif not is_native(resource) and not is_extended(resource):
        return (*messages, "doesn't follow extended resource name standard")
    return messages


def check_quantity(resource: str, quantity: Quantity, path: str, errors: list[FieldError]) -> None:
    """An amount: not negative, whole where parts make no sense."""
    if quantity[0] == "-" and quantity.milli < 0:
        errors.append(invalid(path, quantity, NOT_NEGATIVE))
    if quantity[-1] in "mun" and is_integer(resource) and quantity.milli % 1000:
        errors.append(invalid(path, quantity, "must be an integer"))


@lru_cache(maxsize=4096)
def compare(first: Quantity, second: Quantity) -> int:
    """The sign of the difference; the same pairs recur in pod after pod."""
    difference = first.exact - second.exact
    return (difference > 0) - (difference < 0)


def check_requirements(
    resources: ResourceRequirements,
    claims: frozenset[str],
    path: str,
    errors: list[FieldError],
    name_check: names.NameCheck = container_resource_name,
) -> None:
    """Requests and limits of a container (or a pod): known names, requests within limits."""
    limits, requests = resources.limits, resources.requests
    for name, quantity in limits.items():
        _check_amount(name, quantity, path, "limits", errors, name_check)
    for name, quantity in requests.items():
        _check_amount(name, quantity, path, "requests", errors, name_check)
        limit = limits.get(name)
        if limit is None:
            if not is_overcommit_allowed(name):
                detail = "Limit must be set for non overcommitable resources"
                errors.append(required(f"{path}.limits", detail))
        elif quantity != limit:
            _check_against_limit(name, quantity, limit, f"{path}.requests", errors)
    named = limits.keys() | requests.keys()
    if any(map(is_huge_page, named)) and not named & {"cpu", "memory"}:
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    if resources.claims:
        _check_claims(resources, claims, f"{path}.claims", errors)


def _check_amount(
    name: str, quantity: Quantity, path: str, side: str, errors: list[FieldError], name_check: names.NameCheck
) -> None:
    messages = name_check(name)
    if messages:
        _refuse_name(name, messages, f"{path}.{side}[{name}]", errors)
    last = quantity[-1]
    if quantity[0] == "-" or last in "mun":
        check_quantity(name, quantity, f"{path}.{side}[{name}]", errors)
    if name[:10] == HUGE_PAGES and not _is_divisible(name, quantity):
        detail = f"{quantity} is not positive integer multiple of {name}"
        errors.append(invalid(f"{path}.{side}[{name}]", quantity, detail))


def _refuse_name(name: str, messages: names.Messages, path: str, errors: list[FieldError]) -> None:
    if messages == _NOT_FOR_PODS:
        errors.append(not_supported(path, name, _POD_LEVEL))
    else:
        refuse(messages, name, path, errors)


def _is_divisible(name: str, quantity: Quantity) -> bool:
    """Whether an amount of huge pages is whole pages, and at least one."""
    try:
        page = Quantity(name.removeprefix(HUGE_PAGES)).exact
    except ValueError:
        return True
    return page > 0 and quantity.exact > 0 and (quantity.exact / page).denominator == 1


def pod_resource_name(resource: str) -> names.Messages:
    """What is wrong with the name of a resource of a whole pod."""
    messages = resource_name(resource)
    if not messages and resource not in ("cpu", "memory") and not is_huge_page(resource):
        return _NOT_FOR_PODS
    return messages


def _check_against_limit(name: str, quantity: Quantity, limit: Quantity, path: str, errors: list[FieldError]) -> None:
    above = compare(quantity, limit)
    if above and not is_overcommit_allowed(name):
        errors.append(invalid(path, quantity, f"must be equal to {name} limit of {limit}"))
    elif above > 0:
        errors.append(invalid(path, quantity, f"must be less than or equal to {name} limit of {limit}"))


def _check_claims(resources: ResourceRequirements, claims: frozenset[str], path: str, errors: list[FieldError]) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(resources.claims):
        where = f"{path}[{index}]"
        if not claim.name:
            errors.append(required(where))
            continue
        if claim.name in seen:
            errors.append(duplicate(where, claim.name))
        else:
            key = claim.name
            if claim.request:
                refuse(names.dns_label(claim.request), claim.request, f"{where}.request", errors)
                key = f"{claim.name}/{claim.request}"
            if key in seen:
                errors.append(duplicate(where, key))
            elif not claim.request and any(other.startswith(f"{claim.name}/") for other in seen):
                errors.append(duplicate(where, claim.name))
            seen.add(key)
        if claim.name not in claims:
            there = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{there}"
            error = not_found(where, claim.name)
            errors.append(error._replace(message=f"{error.message}: {detail}"))
