"""PodTopologySpread: hard and soft constraints, and the system's own for pods of services."""

from __future__ import annotations

import math

from tests.property.scheduling.node_affinity import wants
from tests.property.scheduling.taint_toleration import keeps_away
from tests.property.scheduling.world import HOST, ZONE, World, agrees, is_empty, name_of, selects
from tiphys.api.types.core_v1 import Node, Pod, TopologySpreadConstraint
from tiphys.api.types.meta_v1 import LabelSelector

REASON = "node(s) didn't match pod topology spread constraints"
Constraints = list[TopologySpreadConstraint]


def constraints(pod: Pod, world: World, *, hard: bool) -> Constraints:
    """The pod's own of that kind; if it has none at all and is of a service: the system's, which are soft."""
    found = list(pod.spec.topology_spread_constraints)
    if not found:
        labels: dict[str, str] = {}
        for (namespace, _), selector in world.services.items():
            if namespace == pod.metadata.namespace and selector.items() <= pod.metadata.labels.items():
                labels |= selector
        for key, skew in ((HOST, 3), (ZONE, 5)) if labels else ():
            selector_ = LabelSelector(match_labels=labels)
            found.append(TopologySpreadConstraint(topology_key=key, max_skew=skew, label_selector=selector_))
    return [c for c in found if (c.when_unsatisfiable == "DoNotSchedule") == hard]


def is_own(pod: Pod, other: Pod, c: TopologySpreadConstraint) -> bool:
    own, theirs = pod.metadata.labels, other.metadata.labels
    keyed = c.label_selector is None or agrees(c.match_label_keys, own, theirs)
    return selects(c.label_selector, theirs) and keyed


def counted(pod: Pod, node: Node, c: TopologySpreadConstraint, world: World) -> int:
    """The pods there that count; an empty selector counts none, though it selects the pod itself."""
    if is_empty(c.label_selector) and not any(key in pod.metadata.labels for key in c.match_label_keys):
        return 0
    return sum(
        other.metadata.deletion_timestamp is None
        and other.metadata.namespace == pod.metadata.namespace
        and is_own(pod, other, c)
        for other in world.on(node)
    )


def takes_part(pod: Pod, node: Node, c: TopologySpreadConstraint) -> bool:
    if c.node_affinity_policy != "Ignore" and not wants(pod, node):
        return False
    return c.node_taints_policy != "Honor" or not keeps_away(pod, node)


def has_all(node: Node, those: Constraints) -> bool:
    return all(c.topology_key in node.metadata.labels for c in those)


def by_domain(pod: Pod, nodes: list[Node], c: TopologySpreadConstraint, world: World) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in nodes:
        domain = node.metadata.labels.get(c.topology_key)
        if domain is not None and takes_part(pod, node, c):
            counts[domain] = counts.get(domain, 0) + counted(pod, node, c, world)
    return counts


def rejected(pod: Pod, node: Node, world: World) -> str:
    hard = constraints(pod, world, hard=True)
    nodes = [each for each in world.nodes.values() if has_all(each, hard)]
    for c in hard:
        if c.topology_key not in node.metadata.labels:
            return f"{REASON} (missing required label)"
        counts = by_domain(pod, nodes, c, world)
        fewest = min(counts.values(), default=0) if len(counts) >= (c.min_domains or 1) else 0
        here = counts.get(node.metadata.labels[c.topology_key], 0)
        if here + is_own(pod, pod, c) - fewest > c.max_skew:
            return REASON
    return ""


def scores(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    soft = constraints(pod, world, hard=False)
    if not soft:
        return {name_of(n): 0 for n in feasible}
    # The system's own constraints do not demand that a node has all the labels.
    lenient = not pod.spec.topology_spread_constraints
    scored = [n for n in feasible if lenient or has_all(n, soft)]
    nodes = [n for n in world.nodes.values() if lenient or has_all(n, soft)]
    raw = {name_of(n): 0.0 for n in scored}
    for c in soft:
        counts = by_domain(pod, nodes, c, world)
        there = {n.metadata.labels[c.topology_key] for n in scored if c.topology_key in n.metadata.labels}
        weight = math.log((len(scored) if c.topology_key == HOST else len(there)) + 2)
        for n in scored:
            if c.topology_key in n.metadata.labels:
                here = counts.get(n.metadata.labels[c.topology_key], 0)
                if c.topology_key == HOST:
                    # Every node counts for itself, whatever its label says, and whatever policies say.
                    here = counted(pod, n, c, world)
                raw[name_of(n)] += here * weight + (c.max_skew - 1)
    rounded = {name: math.floor(score + 0.5) for name, score in raw.items()}
    highest, lowest = max(rounded.values(), default=0), min(rounded.values(), default=0)
    result = {name_of(n): 0 for n in feasible}
    for name, score in rounded.items():
        result[name] = 100 * (highest + lowest - score) // highest if highest else 100
    return result
