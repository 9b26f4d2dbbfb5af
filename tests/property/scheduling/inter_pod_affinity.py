"""InterPodAffinity: required in both directions, the first of a group, and preferences."""

from __future__ import annotations

from tests.property.scheduling.world import World, agrees, differs, name_of, same_domain, selects
from tiphys.api.types.core_v1 import Node, Pod, PodAffinityTerm


def about(term: PodAffinityTerm, owner: Pod, other: Pod, world: World) -> bool:
    """Whether the owner's term is about the other pod."""
    namespace = other.metadata.namespace or ""
    in_scope = namespace in term.namespaces
    if term.namespace_selector is not None:
        in_scope |= selects(term.namespace_selector, world.namespaces.get(namespace, {}))
    elif not term.namespaces:
        in_scope = namespace == owner.metadata.namespace
    own, theirs = owner.metadata.labels, other.metadata.labels
    keys = agrees(term.match_label_keys, own, theirs) and differs(term.mismatch_label_keys, own, theirs)
    return in_scope and selects(term.label_selector, theirs) and keys


def required(pod: Pod, *, anti: bool) -> tuple[PodAffinityTerm, ...]:
    affinity = pod.spec.affinity and (pod.spec.affinity.pod_anti_affinity if anti else pod.spec.affinity.pod_affinity)
    return affinity.required_during_scheduling_ignored_during_execution if affinity else ()


def weighted(pod: Pod) -> list[tuple[PodAffinityTerm, int]]:
    """Preferred terms; those to keep away from with a negative weight."""
    affinity = pod.spec.affinity
    near = affinity.pod_affinity if affinity else None
    far = affinity.pod_anti_affinity if affinity else None
    drawn = near.preferred_during_scheduling_ignored_during_execution if near else ()
    repelled = far.preferred_during_scheduling_ignored_during_execution if far else ()
    return [
        *((term.pod_affinity_term, term.weight) for term in drawn),
        *((term.pod_affinity_term, -term.weight) for term in repelled),
    ]


def _lonely(pod: Pod, node: Node, world: World) -> bool:
    terms = required(pod, anti=False)
    group = [(other, where) for other, where in world.placed() if all(about(t, pod, other, world) for t in terms)]
    somewhere = any(term.topology_key in where.metadata.labels for term in terms for _, where in group)
    is_first = not somewhere and all(about(term, pod, pod, world) for term in terms)
    for term in terms:
        if term.topology_key not in node.metadata.labels:
            return True
        if not is_first and not any(same_domain(node, where, term.topology_key) for _, where in group):
            return True
    return False


def rejected(pod: Pod, node: Node, world: World) -> str:
    if _lonely(pod, node, world):
        return "node(s) didn't match pod affinity rules"
    for other, where in world.placed():
        for term in required(pod, anti=True):
            if about(term, pod, other, world) and same_domain(node, where, term.topology_key):
                return "node(s) didn't match pod anti-affinity rules"
    for other, where in world.placed():
        for term in required(other, anti=True):
            if about(term, other, pod, world) and same_domain(node, where, term.topology_key):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def scores(pod: Pod, feasible: list[Node], world: World, hard_weight: int = 1) -> dict[str, int]:
    raw = {}
    for node in feasible:
        total = 0
        for other, where in world.placed():
            wishes = [(term, weight, pod, other) for term, weight in weighted(pod)]
            wishes += [(term, weight, other, pod) for term, weight in weighted(other)]
            wishes += [(term, hard_weight, other, pod) for term in required(other, anti=False)]
            for term, weight, owner, subject in wishes:
                if about(term, owner, subject, world) and same_domain(node, where, term.topology_key):
                    total += weight
        raw[name_of(node)] = total
    lowest, highest = min(raw.values(), default=0), max(raw.values(), default=0)
    if highest == lowest:
        return dict.fromkeys(raw, 0)
    return {name: int(100 * ((score - lowest) / (highest - lowest))) for name, score in raw.items()}
