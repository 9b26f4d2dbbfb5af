"""Checks of what a whole pod may use, and that its containers fit in."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tiphys.api.defaulting.pod_spec import containers_request
from tiphys.api.field_errors import FieldError, forbidden, invalid
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import PodSpec
from tiphys.api.validation.resources import check_requirements, compare, is_huge_page, pod_resource_name

_LEAST: Final = "must be greater than or equal to aggregate container"


def check_pod_resources(spec: PodSpec, claims: frozenset[str], path: str, errors: list[FieldError]) -> None:
    """Requests and limits of the pod, each container's within the pod's."""
    resources = spec.resources
    assert resources is not None
    where = f"{path}.resources"
    if spec.os is not None and spec.os.name == "windows":
        errors.append(forbidden(where, "may not be set for a windows pod"))
        return
    if resources.claims:
        errors.append(forbidden(f"{where}.claims", "claims may not be set for Resources at pod-level"))
    check_requirements(resources, claims, where, errors, pod_resource_name)
    for name, quantity in resources.requests.items():
        total = containers_request(spec, name)
        if total is not None and compare(total, quantity) > 0:
            errors.append(invalid(f"{where}.requests[{name}]", quantity, f"{_LEAST} requests of {total}"))
    for name, quantity in resources.limits.items():
        if is_huge_page(name):
            most = _containers_limit(spec, name)
            if most > quantity.exact:
                detail = f"{_LEAST} limits of {_shown(most)}"
                errors.append(invalid(f"{where}.limits[{name}]", quantity, detail))
    for index, container in enumerate(spec.containers):
        for name, quantity in container.resources.limits.items():
            limit = resources.limits.get(name)
            if limit is not None and compare(quantity, limit) > 0:
                detail = f"must be less than or equal to pod limits of {limit}"
                errors.append(invalid(f"{where}.containers[{index}][{name}].limits", quantity, detail))


def _containers_limit(spec: PodSpec, name: str) -> Fraction:
    """What containers may use of a resource at once: those that run together, or an init container before them."""
    none = Quantity("0")
    total = sum((c.resources.limits.get(name, none).exact for c in spec.containers), Fraction())
    peak = beside = Fraction()
    for container in spec.init_containers:
        need = container.resources.limits.get(name, none).exact
        if container.restart_policy == "Always":
            beside += need
            peak = max(peak, beside)
        else:
            peak = max(peak, beside + need)
    return max(total + beside, peak)


def _shown(amount: Fraction) -> str:
    mebibytes = amount / 2**20
    return f"{int(mebibytes)}Mi" if mebibytes.denominator == 1 else str(int(amount))
