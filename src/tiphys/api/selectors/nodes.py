"""Node selector terms, asked of one node's labels.

Source: Kubernetes documentation, "Assigning Pods to Nodes": terms are alternatives, the expressions of a term all hold.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.api.selectors.labels import integer
from tiphys.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, TopologySelectorTerm


def selects(selector: NodeSelector, labels: Mapping[str, str], name: str) -> bool:
    """Whether any term of `selector` holds for a node of these labels and this name."""
    return any(term_holds(term, labels, name) for term in selector.node_selector_terms)


def term_holds(term: NodeSelectorTerm, labels: Mapping[str, str], name: str) -> bool:
    """Whether all of a term holds; an empty term holds for no node."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": name}
    return all(_holds(r, labels) for r in term.match_expressions) and all(_holds(r, fields) for r in term.match_fields)


def topology_holds(term: TopologySelectorTerm, labels: Mapping[str, str]) -> bool:
    """Whether the node is in a topology that the term allows."""
    return all(labels.get(e.key) in e.values for e in term.match_label_expressions)


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
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
        case "Gt" | "Lt":
            number = integer(value or "")
            bound = integer(requirement.values[0]) if requirement.values else None
            if number is None or bound is None:
                return False
            return number > bound if requirement.operator == "Gt" else number < bound
    return False
