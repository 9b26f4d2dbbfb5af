"""What one object counts for in a quota. Pure; amounts are exact fractions by quota resource name.

The controller adds these up into a quota's status; admission weighs new objects by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from tiphys.api.persistent_volumes import class_of_claim
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    ScopedResourceSelectorRequirement,
    Service,
)

Amounts = dict[str, Fraction]
_FINISHED: Final = ("Succeeded", "Failed")
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")


def of_pod(pod: Pod) -> Amounts:
    """A pod's counts: itself, its requests and its limits; nothing once it has finished."""
    used: Amounts = {"count/pods": Fraction(1)}
    if pod.status.phase in _FINISHED:
        return used
    used["pods"] = Fraction(1)
    requests = _effective(pod, lambda c: c.resources.requests)
    limits = _effective(pod, lambda c: c.resources.limits)
    for name, amount in requests.items():
        if name in _COMPUTE:
            used[name] = amount
        if name in _COMPUTE or "/" in name or name.startswith("hugepages-"):
            used[f"requests.{name}"] = amount
    for name, amount in limits.items():
        if name in _COMPUTE:
            used[f"limits.{name}"] = amount
    return used


def _effective(pod: Pod, read: Callable[[Container], Mapping[str, Quantity]]) -> Amounts:
    """The larger of what containers need together and what any init container needs, sidecars added, and overhead."""
    running: Amounts = {}
    peak: Amounts = {}
    for container in pod.spec.init_containers:
        if container.restart_policy == "Always":
            _add(running, read(container))
            _raise(peak, running)
        else:
            here = dict(running)
            _add(here, read(container))
            _raise(peak, here)
    for container in pod.spec.containers:
        _add(running, read(container))
    _raise(peak, running)
    _add(peak, {name: value for name, value in pod.spec.overhead.items() if name in peak})
    return peak


def _add(to: Amounts, what: Mapping[str, Quantity]) -> None:
    for name, quantity in what.items():
        to[name] = to.get(name, Fraction(0)) + quantity.exact


def _raise(to: Amounts, what: Amounts) -> None:
    for name, amount in what.items():
        to[name] = max(to.get(name, Fraction(0)), amount)


def of_service(service: Service) -> Amounts:
    """A Service's counts by its type."""
    used: Amounts = {"count/services": Fraction(1), "services": Fraction(1)}
    kind = service.spec.type or "ClusterIP"
    allocated = service.spec.allocate_load_balancer_node_ports is not False
    if kind == "NodePort" or (kind == "LoadBalancer" and allocated):
        used["services.nodeports"] = Fraction(len(service.spec.ports))
    elif kind == "LoadBalancer":
        used["services.nodeports"] = Fraction(sum(1 for port in service.spec.ports if port.node_port))
    if kind == "LoadBalancer":
        used["services.loadbalancers"] = Fraction(1)
    return used


def of_claim(claim: PersistentVolumeClaim) -> Amounts:
    """A claim's counts, for its storage class too."""
    storage = claim.spec.resources.requests.get("storage", Quantity("0")).exact
    used = {"persistentvolumeclaims": Fraction(1), "requests.storage": storage}
    name = class_of_claim(claim)
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io"
        used |= {f"{prefix}/persistentvolumeclaims": Fraction(1), f"{prefix}/requests.storage": storage}
    return {**used, "count/persistentvolumeclaims": Fraction(1)}


def of_other(plural: str, group: str) -> Amounts:
    """Any other object's count."""
    used = {f"count/{plural}.{group}" if group else f"count/{plural}": Fraction(1)}
    if not group and plural in ("configmaps", "secrets", "replicationcontrollers", "resourcequotas"):
        used[plural] = Fraction(1)
    return used


def of_object(qualified: str, plural: str, group: str, obj: Any) -> Amounts:
    """Any object's counts, by its resource."""
    match qualified:
        case "pods":
            return of_pod(obj)
        case "services":
            return of_service(obj)
        case "persistentvolumeclaims":
            return of_claim(obj)
    return of_other(plural, group)


def rendered(amount: Fraction, like: Quantity) -> Quantity:
    """An amount in the notation of `like`: binary suffixes where that has one."""
    if amount.denominator != 1:
        return Quantity(f"{int(amount * 10**9)}n")
    whole = int(amount)
    if like.endswith("i") and whole % 1024 == 0 and whole:
        return Quantity(f"{whole // 1024}Ki")
    return Quantity(str(whole))


def in_scope(quota: ResourceQuota, pod: Pod) -> bool:
    """Whether the quota's scopes cover the pod."""
    for scope in quota.spec.scopes:
        if not _scope_matches(scope, pod):
            return False
    expressions: Iterable[ScopedResourceSelectorRequirement] = (
        quota.spec.scope_selector.match_expressions if quota.spec.scope_selector else ()
    )
    return all(_expression_matches(expression, pod) for expression in expressions)


def _scope_matches(scope: str, pod: Pod) -> bool:
    terminating = pod.spec.active_deadline_seconds is not None
    best_effort = not any(
        c.resources.requests or c.resources.limits for c in (*pod.spec.containers, *pod.spec.init_containers)
    )
    match scope:
        case "Terminating":
            return terminating
        case "NotTerminating":
            return not terminating
        case "BestEffort":
            return best_effort
        case "NotBestEffort":
            return not best_effort
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(pod)
    return False


def _crosses_namespaces(pod: Pod) -> bool:
    affinity = pod.spec.affinity
    terms: list[Any] = []
    for part in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity else ():
        if part is not None:
            terms += part.required_during_scheduling_ignored_during_execution
            terms += [w.pod_affinity_term for w in part.preferred_during_scheduling_ignored_during_execution]
    return any(term.namespaces or term.namespace_selector is not None for term in terms)


def _expression_matches(expression: ScopedResourceSelectorRequirement, pod: Pod) -> bool:
    if expression.scope_name != "PriorityClass":
        return _scope_matches(expression.scope_name, pod)
    name = pod.spec.priority_class_name or ""
    match expression.operator:
        case "In":
            return name in expression.values
        case "NotIn":
            return name not in expression.values
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
    return False
