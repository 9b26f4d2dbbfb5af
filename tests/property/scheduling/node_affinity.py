"""NodeAffinity: nodeSelector, required terms and preferred ones."""

from __future__ import annotations

import re

from tests.property.scheduling.world import Labels, name_of, scaled
from tiphys.api.types.core_v1 import Node, NodeSelectorRequirement, NodeSelectorTerm, Pod

_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)


def holds(requirement: NodeSelectorRequirement, labels: Labels) -> bool:
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
            if value is None or not _NUMBER.fullmatch(value):
                return False
            bound = int(requirement.values[0])
            return int(value) > bound if operator == "Gt" else int(value) < bound


def selected(term: NodeSelectorTerm, node: Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": name_of(node)}
    return all(holds(e, node.metadata.labels) for e in term.match_expressions) and all(
        holds(e, fields) for e in term.match_fields
    )


def wants(pod: Pod, node: Node) -> bool:
    if any(node.metadata.labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    required = affinity and affinity.required_during_scheduling_ignored_during_execution
    return not required or any(selected(term, node) for term in required.node_selector_terms)


def rejected(pod: Pod, node: Node) -> str:
    return "" if wants(pod, node) else "node(s) didn't match Pod's node affinity/selector"


def scores(pod: Pod, feasible: list[Node]) -> dict[str, int]:
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    terms = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
    raw = {name_of(n): sum(term.weight for term in terms if selected(term.preference, n)) for n in feasible}
    return scaled(raw, reverse=False)
