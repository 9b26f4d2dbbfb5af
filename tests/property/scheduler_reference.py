"""The scheduler's rules once more, one node and one pod at a time in plain Python: slow, and easy to check."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.api.types.core_v1 import (
    Node,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinityTerm,
    Taint,
    Toleration,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
Labels = Mapping[str, str]


@dataclass
class World:
    """Nodes by name, pods with their node's name, namespaces' labels."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, tuple[Pod, str]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)

    def on(self, node: Node) -> list[Pod]:
        return [pod for pod, name in self.pods.values() if name == node.metadata.name]

    def by_domain(self, key: str, nodes: Iterable[Node]) -> dict[str, list[Pod]]:
        found: dict[str, list[Pod]] = {}
        for node in nodes:
            if key in node.metadata.labels:
                found.setdefault(node.metadata.labels[key], []).extend(self.on(node))
        return found


def selects(selector: LabelSelector | None, labels: Labels) -> bool:
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    for expression in selector.match_expressions:
        value = labels.get(expression.key)
        held = {
            "In": value in expression.values,
            "NotIn": value not in expression.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[expression.operator]:
            return False
    return True


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    for toleration in tolerations:
        if toleration.effect and toleration.effect != taint.effect:
            continue
        if toleration.operator == "Exists":
            if not toleration.key or toleration.key == taint.key:
                return True
        elif toleration.key == taint.key and (toleration.value or "") == (taint.value or ""):
            return True
    return False


def node_expression(requirement: NodeSelectorRequirement, labels: Labels) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            if value is None or not value.lstrip("-").isdigit():
                return False
            bound = int(requirement.values[0])
            return int(value) > bound if operator == "Gt" else int(value) < bound


def node_term(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name or ""}
    return all(node_expression(e, node.metadata.labels) for e in term.match_expressions) and all(
        node_expression(e, fields) for e in term.match_fields
    )


def wants_node(pod: Pod, node: Node) -> bool:
    if any(node.metadata.labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    required = affinity and affinity.required_during_scheduling_ignored_during_execution
    return not required or any(node_term(term, node) for term in required.node_selector_terms)


def requests(pod: Pod) -> dict[str, int]:
    total = {"pods": 1}
    for container in pod.spec.containers:
        for name, quantity in container.resources.requests.items():
            total[name] = total.get(name, 0) + (quantity.milli if name == "cpu" else quantity.value)
    return total


def assumed(pod: Pod) -> dict[str, int]:
    total = {"cpu": 0, "memory": 0}
    for container in pod.spec.containers:
        asked = container.resources.requests
        total["cpu"] += asked["cpu"].milli if "cpu" in asked else 100
        total["memory"] += asked["memory"].value if "memory" in asked else 200 << 20
    return total


def capacity(node: Node) -> dict[str, int]:
    return {name: q.milli if name == "cpu" else q.value for name, q in node.status.allocatable.items()}


def fits(pod: Pod, node: Node, world: World) -> list[str]:
    used: dict[str, int] = {}
    for other in world.on(node):
        for name, amount in requests(other).items():
            used[name] = used.get(name, 0) + amount
    short = [
        name
        for name, amount in requests(pod).items()
        if amount and used.get(name, 0) + amount > capacity(node).get(name, 0)
    ]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


def host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    return [
        (port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    ]


def ports_free(pod: Pod, node: Node, world: World) -> bool:
    used = [port for other in world.on(node) for port in host_ports(other)]
    return not any(
        number == other_number and protocol == other_protocol and (address == other or "0.0.0.0" in (address, other))
        for address, protocol, number in host_ports(pod)
        for other, other_protocol, other_number in used
    )


def takes_part(pod: Pod, node: Node, constraints: list[TopologySpreadConstraint], c: TopologySpreadConstraint) -> bool:
    if any(other.topology_key not in node.metadata.labels for other in constraints):
        return False
    if c.node_affinity_policy != "Ignore" and not wants_node(pod, node):
        return False
    bad = [t for t in node.spec.taints if t.effect != "PreferNoSchedule" and not tolerated(t, pod.spec.tolerations)]
    return not (c.node_taints_policy == "Honor" and bad)


def counted(pod: Pod, other: Pod, c: TopologySpreadConstraint) -> bool:
    return (
        other.metadata.deletion_timestamp is None
        and other.metadata.namespace == pod.metadata.namespace
        and selects(c.label_selector, other.metadata.labels)
    )


def spread_counts(
    pod: Pod, constraints: list[TopologySpreadConstraint], c: TopologySpreadConstraint, world: World
) -> dict[str, int]:
    nodes = [node for node in world.nodes.values() if takes_part(pod, node, constraints, c)]
    domains = world.by_domain(c.topology_key, nodes)
    return {domain: sum(counted(pod, other, c) for other in pods) for domain, pods in domains.items()}


def spreads(pod: Pod, node: Node, world: World) -> str:
    constraints = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == "DoNotSchedule"]
    said = "node(s) didn't match pod topology spread constraints"
    if any(c.topology_key not in node.metadata.labels for c in constraints):
        return f"{said} (missing required label)"
    for c in constraints:
        counts = spread_counts(pod, constraints, c, world)
        fewest = min(counts.values(), default=0) if len(counts) >= (c.min_domains or 1) else 0
        here = counts.get(node.metadata.labels[c.topology_key], 0)
        own = selects(c.label_selector, pod.metadata.labels)
        if here + own - fewest > c.max_skew:
            return said
    return ""


def term_matches(term: PodAffinityTerm, owner: Pod, other: Pod, world: World) -> bool:
    namespace = other.metadata.namespace or ""
    in_scope = namespace in term.namespaces
    if term.namespace_selector is not None:
        in_scope |= selects(term.namespace_selector, world.namespaces.get(namespace, {}))
    elif not term.namespaces:
        in_scope = namespace == owner.metadata.namespace
    return in_scope and selects(term.label_selector, other.metadata.labels)


def same_domain(one: Node, other: Node, key: str) -> bool:
    return key in one.metadata.labels and one.metadata.labels[key] == other.metadata.labels.get(key)


def required(pod: Pod, *, anti: bool) -> tuple[PodAffinityTerm, ...]:
    affinity = pod.spec.affinity and (pod.spec.affinity.pod_anti_affinity if anti else pod.spec.affinity.pod_affinity)
    return affinity.required_during_scheduling_ignored_during_execution if affinity else ()


def placed(world: World) -> list[tuple[Pod, Node]]:
    return [(pod, world.nodes[name]) for pod, name in world.pods.values() if name in world.nodes]


def near(pod: Pod, node: Node, world: World) -> str:
    terms = required(pod, anti=False)
    alike = [
        (other, where) for other, where in placed(world) if all(term_matches(term, pod, other, world) for term in terms)
    ]
    somewhere = any(term.topology_key in where.metadata.labels for term in terms for _, where in alike)
    first = not somewhere and bool(terms) and all(term_matches(term, pod, pod, world) for term in terms)
    for term in terms:
        if term.topology_key not in node.metadata.labels:
            return "node(s) didn't match pod affinity rules"
        if not first and not any(same_domain(node, where, term.topology_key) for _, where in alike):
            return "node(s) didn't match pod affinity rules"
    for other, where in placed(world):
        for term in required(pod, anti=True):
            if term_matches(term, pod, other, world) and same_domain(node, where, term.topology_key):
                return "node(s) didn't match pod anti-affinity rules"
    for other, where in placed(world):
        for term in required(other, anti=True):
            if term_matches(term, other, pod, world) and same_domain(node, where, term.topology_key):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def rejected(pod: Pod, node: Node, world: World) -> list[str]:
    """Upstream's words of the first rule that rejects the node; empty if it can take the pod."""
    cordon = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    if node.spec.unschedulable and not tolerated(cordon, pod.spec.tolerations):
        return ["node(s) were unschedulable"]
    if any(t.effect != "PreferNoSchedule" and not tolerated(t, pod.spec.tolerations) for t in node.spec.taints):
        return ["node(s) had untolerated taint(s)"]
    if not wants_node(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if not ports_free(pod, node, world):
        return ["node(s) didn't have free ports for the requested pod ports"]
    if short := fits(pod, node, world):
        return short
    said = spreads(pod, node, world) or near(pod, node, world)
    return [said] if said else []


def scores(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    """Each feasible node's total, as upstream's default plugins and weights add up."""
    parts = [
        (3, scaled({n.metadata.name: disliked(pod, n) for n in feasible}, reverse=True)),
        (2, scaled({n.metadata.name: preferred(pod, n) for n in feasible}, reverse=False)),
        (1, {n.metadata.name: least_allocated(pod, n, world) for n in feasible}),
        (2, spread_scores(pod, feasible, world)),
        (2, attraction_scores(pod, feasible, world)),
        (1, {n.metadata.name: balanced(pod, n, world) for n in feasible}),
    ]
    return {n.metadata.name or "": sum(weight * part[n.metadata.name] for weight, part in parts) for n in feasible}


def scaled(raw: dict[str | None, int], *, reverse: bool) -> dict[str | None, int]:
    highest = max(raw.values(), default=0)
    if highest == 0:
        return dict.fromkeys(raw, 0)
    part = {name: 100 * score // highest for name, score in raw.items()}
    return {name: 100 - score for name, score in part.items()} if reverse else part


def disliked(pod: Pod, node: Node) -> int:
    return sum(t.effect == "PreferNoSchedule" and not tolerated(t, pod.spec.tolerations) for t in node.spec.taints)


def preferred(pod: Pod, node: Node) -> int:
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
    return sum(term.weight for term in terms if node_term(term.preference, node))


def least_allocated(pod: Pod, node: Node, world: World) -> int:
    total, resources = 0, 0
    for name in ("cpu", "memory"):
        have = capacity(node).get(name, 0)
        if have:
            used = sum(assumed(other)[name] for other in (*world.on(node), pod))
            total += max(have - used, 0) * 100 // have
            resources += 1
    return total // resources if resources else 0


def balanced(pod: Pod, node: Node, world: World) -> int:
    asked = requests(pod)
    if not asked.get("cpu") and not asked.get("memory"):
        return 0
    shares = []
    for name in ("cpu", "memory"):
        have = capacity(node).get(name, 0)
        if have:
            shares.append(min(sum(requests(other).get(name, 0) for other in (*world.on(node), pod)) / have, 1.0))
    distance = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - distance) * 100)


def spread_scores(pod: Pod, feasible: list[Node], world: World) -> dict[str | None, int]:
    constraints = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable != "DoNotSchedule"]
    if not constraints:
        return {n.metadata.name: 0 for n in feasible}
    scored = [n for n in feasible if all(c.topology_key in n.metadata.labels for c in constraints)]
    raw = dict.fromkeys((n.metadata.name for n in scored), 0.0)
    for c in constraints:
        counts = spread_counts(pod, constraints, c, world)
        domains = len(scored) if c.topology_key == HOST else len({n.metadata.labels[c.topology_key] for n in scored})
        for n in scored:
            here = counts.get(n.metadata.labels[c.topology_key], 0)
            raw[n.metadata.name] += here * math.log(domains + 2) + c.max_skew - 1
    rounded = {name: math.floor(score + 0.5) for name, score in raw.items()}
    highest, lowest = max(rounded.values(), default=0), min(rounded.values(), default=0)
    result = {n.metadata.name: 0 for n in feasible}
    for name, score in rounded.items():
        result[name] = 100 * (highest + lowest - score) // highest if highest else 100
    return result


def weighted(pod: Pod) -> list[tuple[PodAffinityTerm, int]]:
    affinity = pod.spec.affinity
    near_ = affinity.pod_affinity if affinity else None
    far = affinity.pod_anti_affinity if affinity else None
    found = [
        (t.pod_affinity_term, t.weight)
        for t in (near_.preferred_during_scheduling_ignored_during_execution if near_ else ())
    ]
    found += [
        (t.pod_affinity_term, -t.weight)
        for t in (far.preferred_during_scheduling_ignored_during_execution if far else ())
    ]
    return found


def attraction_scores(pod: Pod, feasible: list[Node], world: World) -> dict[str | None, int]:
    raw: dict[str | None, int] = {}
    for node in feasible:
        total = 0
        for other, where in placed(world):
            wishes = [(term, weight, pod, other) for term, weight in weighted(pod)]
            wishes += [(term, weight, other, pod) for term, weight in weighted(other)]
            wishes += [(term, 1, other, pod) for term in required(other, anti=False)]
            for term, weight, owner, about in wishes:
                if term_matches(term, owner, about, world) and same_domain(node, where, term.topology_key):
                    total += weight
        raw[node.metadata.name] = total
    lowest, highest = min(raw.values(), default=0), max(raw.values(), default=0)
    if highest == lowest:
        return dict.fromkeys(raw, 0)
    return {name: int(100 * ((score - lowest) / (highest - lowest))) for name, score in raw.items()}
