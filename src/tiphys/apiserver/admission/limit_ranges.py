"""LimitRanger: a namespace's defaults and bounds for what containers, pods and claims ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from tiphys.api.field_errors import aggregate
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, LimitRange, LimitRangeItem, Pod, ResourceRequirements
from tiphys.apiserver.admission.chain import DELETE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write

_ANNOTATION: Final = "kubernetes.io/limit-ranger"
Amounts = Mapping[str, Quantity]


class LimitRanger(Base):
    """For pods and persistent volume claims."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if group or operation == DELETE or subresource:
            return False
        return (plural == "pods" and operation == "CREATE") or plural == "persistentvolumeclaims"

    def admit(self, write: Write) -> None:
        if write.resource.plural != "pods":
            return
        for limit_range in self._lookup.list(LimitRange, write.namespace):
            _default_pod(write.obj, limit_range)

    def validate(self, write: Write) -> None:
        for limit_range in self._lookup.list(LimitRange, write.namespace):
            wrong: list[str] = []
            for item in limit_range.spec.limits:
                if write.resource.plural == "pods":
                    wrong += _pod_errors(write.obj, item)
                elif item.type == "PersistentVolumeClaim":
                    wrong += _claim_errors(write.obj.spec.resources.requests, item)
            if wrong:
                raise refuse(write, aggregate(wrong))


def _default_pod(pod: Pod, limit_range: LimitRange) -> None:
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    for item in limit_range.spec.limits:
        if item.type == "Container":
            limits |= item.default
            requests |= item.default_request
    if not limits and not requests:
        return
    notes: list[str] = []
    for containers, label in ((pod.spec.containers, "container"), (pod.spec.init_containers, "init container")):
        for container in containers:
            notes += _default_container(container, limits, requests, label)
    if notes:
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod.metadata.annotations = {**pod.metadata.annotations, _ANNOTATION: text}


def _default_container(container: Container, limits: Amounts, requests: Amounts, label: str) -> list[str]:
    resources = container.resources
    new_limits = {name: amount for name, amount in limits.items() if name not in resources.limits}
    new_requests = {name: amount for name, amount in requests.items() if name not in resources.requests}
    if not new_limits and not new_requests:
        return []
    container.resources = msgspec.structs.replace(
        resources, limits={**resources.limits, **new_limits}, requests={**resources.requests, **new_requests}
    )
    notes = []
    if new_requests:
        notes.append(f"{', '.join(sorted(new_requests))} request for {label} {container.name}")
    if new_limits:
        notes.append(f"{', '.join(sorted(new_limits))} limit for {label} {container.name}")
    return notes


def _pod_errors(pod: Pod, item: LimitRangeItem) -> list[str]:
    if item.type == "Container":
        found: list[str] = []
        for container in (*pod.spec.containers, *pod.spec.init_containers):
            found += _bound_errors(container.resources.requests, container.resources.limits, item)
        return found
    if item.type == "Pod":
        return _bound_errors(_total(pod, limits=False), _total(pod, limits=True), item)
    return []


def _bound_errors(requests: Amounts, limits: Amounts, item: LimitRangeItem) -> list[str]:
    kind = item.type
    found: list[str] = []
    for name, bound in item.min.items():
        text = f"minimum {name} usage per {kind} is {bound}"
        request, limit = requests.get(name), limits.get(name)
        if request is None:
            found.append(f"{text}.  No request is specified")
        elif request.exact < bound.exact:
            found.append(f"{text}, but request is {request}")
        elif limit is not None and limit.exact < bound.exact:
            found.append(f"{text}, but limit is {limit}")
    for name, bound in item.max.items():
        text = f"maximum {name} usage per {kind} is {bound}"
        request, limit = requests.get(name), limits.get(name)
        if limit is None:
            found.append(f"{text}.  No limit is specified")
        elif limit.exact > bound.exact:
            found.append(f"{text}, but limit is {limit}")
        elif request is not None and request.exact > bound.exact:
            found.append(f"{text}, but request is {request}")
    for name, ratio in item.max_limit_request_ratio.items():
        text = f"{name} max limit to request ratio per {kind} is {ratio}"
        request, limit = requests.get(name), limits.get(name)
        if request is None or not request.exact:
            found.append(f"{text}, but no request is specified or request is 0")
        elif limit is None or not limit.exact:
            found.append(f"{text}, but no limit is specified or limit is 0")
        elif (given := limit.exact / request.exact) > ratio.exact:
            found.append(f"{text}, but provided ratio is {float(given):f}")
    return found


def _claim_errors(requests: Amounts, item: LimitRangeItem) -> list[str]:
    found: list[str] = []
    for name, bound in item.min.items():
        text = f"minimum {name} usage per {item.type} is {bound}"
        request = requests.get(name)
        if request is None:
            found.append(f"{text}.  No request is specified")
        elif request.exact < bound.exact:
            found.append(f"{text}, but request is {request}")
    for name, bound in item.max.items():
        text = f"maximum {name} usage per {item.type} is {bound}"
        request = requests.get(name)
        if request is None:
            found.append(f"{text}.  No request is specified")
        elif request.exact > bound.exact:
            found.append(f"{text}, but request is {request}")
    return found


def _total(pod: Pod, *, limits: bool) -> dict[str, Quantity]:
    """What the pod asks for in all: its containers together, or its largest init container if that is more.

    A resource that some container does not limit is unlimited: it is missing from the result.
    """
    spec = pod.spec
    if spec.resources is not None and (own := _amounts(spec.resources, limits)):
        return dict(own)
    running = [_amounts(c.resources, limits) for c in spec.containers]
    sidecars = [_amounts(c.resources, limits) for c in spec.init_containers if c.restart_policy == "Always"]
    one_off = [_amounts(c.resources, limits) for c in spec.init_containers if c.restart_policy != "Always"]
    totals = _sum([*running, *sidecars], every=limits)
    for amounts in one_off:
        for name, amount in amounts.items():
            if amount.exact > totals.get(name, Fraction(0)):
                totals[name] = amount.exact
    return {name: _quantity(total) for name, total in totals.items()}


def _amounts(resources: ResourceRequirements, limits: bool) -> Amounts:
    return resources.limits if limits else resources.requests


def _sum(parts: Iterable[Amounts], *, every: bool) -> dict[str, Fraction]:
    parts = list(parts)
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: sum((part[name].exact for part in parts if name in part), Fraction(0))
        for name in names
        if not every or all(name in part for part in parts)
    }


def _quantity(total: Fraction) -> Quantity:
    return (
        Quantity(str(total.numerator))
        if total.denominator == 1
        else Quantity.of_milli(-(-total.numerator * 1000 // total.denominator))
    )
