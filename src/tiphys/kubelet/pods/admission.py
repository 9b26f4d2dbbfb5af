"""Whether the node takes a pod. Pure; upstream's reasons and words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Node, NodeSelectorRequirement, NodeSelectorTerm, Pod
from tiphys.kubelet.lifecycle.qos import pod_resources


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pod's reason and message."""

    reason: str
    message: str


def admit(
    pod: Pod, others: Iterable[Pod], node: Node, *, allowed_unsafe_sysctls: tuple[str, ...] = ()
) -> Refusal | None:
    """None when the pod may run beside `others` (those on the node that have not ended)."""
    placed = list(others)
    return (
        _fits(pod, placed, node.status.allocatable)
        or _ports_free(pod, placed)
        or _node_matches(pod, node)
        or _sysctls_safe(pod, allowed_unsafe_sysctls)
        or _tolerates(pod, node)
    )


def _fits(pod: Pod, others: list[Pod], allocatable: Mapping[str, Quantity]) -> Refusal | None:
    limit = allocatable["pods"].value if "pods" in allocatable else 110
    if len(others) + 1 > limit:
        return _out_of("pods", 1, len(others), limit)
    wanted = _requests(pod)
    if not any(wanted.values()):
        return None
    used: dict[str, int] = {}
    for other in others:
        for name, amount in _requests(other).items():
            used[name] = used.get(name, 0) + amount
    for name, amount in wanted.items():
        if not amount:
            continue
        quantity = allocatable.get(name)
        capacity = 0 if quantity is None else (quantity.milli if name == "cpu" else quantity.value)
        if used.get(name, 0) + amount > capacity:
            return _out_of(name, amount, used.get(name, 0), capacity)
    return None


def _out_of(name: str, requested: int, used: int, capacity: int) -> Refusal:
    text = f"Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
    return Refusal(f"OutOf{name}", text)


def _requests(pod: Pod) -> dict[str, int]:
    total = pod_resources(pod)
    result = {"cpu": total.cpu_request_millis, "memory": total.memory_request_bytes}
    for container in pod.spec.containers:
        for name, quantity in container.resources.requests.items():
            if name not in ("cpu", "memory"):
                result[name] = result.get(name, 0) + quantity.value
    return result


def resize_refusal(pod: Pod, others: Iterable[Pod], node: Node) -> Refusal | None:
    """None when the pod may grow (or shrink) to what its spec asks for; Deferred may become possible."""
    wanted = _requests(pod)
    allocatable = node.status.allocatable
    placed = [_requests(other) for other in others]
    for name in ("cpu", "memory"):
        quantity = allocatable.get(name)
        capacity = 0 if quantity is None else (quantity.milli if name == "cpu" else quantity.value)
        if wanted[name] > capacity:
            text = f"Node didn't have enough capacity: {name}, requested: {wanted[name]}, capacity: {capacity}"
            return Refusal("Infeasible", text)
        if wanted[name] + sum(other[name] for other in placed) > capacity:
            return Refusal("Deferred", f"Node didn't have enough resource: {name}")
    return None


def _ports(pod: Pod) -> set[tuple[str, str, int]]:
    every = (*(c for c in pod.spec.init_containers if c.restart_policy == "Always"), *pod.spec.containers)
    return {
        (port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)
        for container in every
        for port in container.ports
        if port.host_port
    }


def _ports_free(pod: Pod, others: list[Pod]) -> Refusal | None:
    taken = {port for other in others for port in _ports(other)}
    for ip, protocol, number in _ports(pod):
        for other_ip, other_protocol, other_number in taken:
            same = protocol == other_protocol and number == other_number
            if same and ("0.0.0.0" in (ip, other_ip) or ip == other_ip):
                text = "node(s) didn't have free ports for the requested pod ports"
                return Refusal("NodePorts", f"Predicate NodePorts failed: {text}")
    return None


def _node_matches(pod: Pod, node: Node) -> Refusal | None:
    labels = node.metadata.labels
    matches = all(labels.get(key) == value for key, value in pod.spec.node_selector.items())
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    if required is not None:
        matches = matches and any(_term_matches(term, node) for term in required.node_selector_terms)
    if matches:
        return None
    text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    return Refusal("NodeAffinity", text)


def _term_matches(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name or ""}
    return all(_matches(r, node.metadata.labels) for r in term.match_expressions) and all(
        _matches(r, fields) for r in term.match_fields
    )


def _matches(requirement: NodeSelectorRequirement, values: Mapping[str, str]) -> bool:
    present = requirement.key in values
    value = values.get(requirement.key, "")
    match requirement.operator:
        case "In":
            return present and value in requirement.values
        case "NotIn":
            return not present or value not in requirement.values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
        case "Gt" | "Lt":
            try:
                mine, bound = int(value), int(requirement.values[0])
            except (ValueError, IndexError):
                return False
            return mine > bound if requirement.operator == "Gt" else mine < bound
    return False


_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


def _sysctls_safe(pod: Pod, allowed: tuple[str, ...]) -> Refusal | None:
    context = pod.spec.security_context
    for sysctl in context.sysctls if context is not None else ():
        name = sysctl.name.replace("/", ".")
        if name in _SAFE_SYSCTLS or any(_sysctl_allowed(name, pattern) for pattern in allowed):
            continue
        return Refusal("SysctlForbidden", f'forbidden sysctl: "{sysctl.name}" not allowlisted')
    return None


def _sysctl_allowed(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _tolerates(pod: Pod, node: Node) -> Refusal | None:
    for taint in node.spec.taints:
        if taint.effect != "NoExecute":
            continue
        tolerated = any(
            (t.effect in (None, "", "NoExecute"))
            and (not t.key or t.key == taint.key)
            and (t.operator == "Exists" or (t.value or "") == (taint.value or ""))
            for t in pod.spec.tolerations
        )
        if not tolerated:
            text = "node(s) had untolerated taint(s)"
            return Refusal("TaintToleration", f"Predicate TaintToleration failed: {text}")
    return None
