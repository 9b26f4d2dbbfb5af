"""Node selectors and node affinity terms, answered for all nodes by lookup tables.

Source: Kubernetes documentation, "Assigning Pods to Nodes": terms are alternatives, the expressions of a term all hold.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from tiphys.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.scheduler.arrays import Bools
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.template import Template

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")


def matches_node(template: Template, nodes: NodeTable) -> Bools:
    """Which nodes the pod's nodeSelector and required node affinity allow."""
    allowed = np.ones(nodes.size, np.bool_)
    for key, value in template.node_selector.items():
        labels = nodes.labels(key)
        allowed &= labels.table_of((value,), accept=True)[labels.column]
    if template.node_affinity is not None:
        allowed &= matches_any(template.node_affinity, nodes)
    return allowed


def matches_any(selector: NodeSelector, nodes: NodeTable) -> Bools:
    """Which nodes one of the selector's terms selects."""
    some = np.zeros(nodes.size, np.bool_)
    for term in selector.node_selector_terms:
        some |= matches_term(term, nodes)
    return some


def matches_term(term: NodeSelectorTerm, nodes: NodeTable) -> Bools:
    """Which nodes one term selects; an empty term selects none."""
    if not term.match_expressions and not term.match_fields:
        return np.zeros(nodes.size, np.bool_)
    selected = np.ones(nodes.size, np.bool_)
    for requirement in term.match_expressions:
        selected &= _matches_label(requirement, nodes)
    for requirement in term.match_fields:
        selected &= _matches_name(requirement, nodes)
    return selected


def _matches_label(requirement: NodeSelectorRequirement, nodes: NodeTable) -> Bools:
    labels = nodes.labels(requirement.key)
    operator = requirement.operator
    if operator == "In":
        return labels.table_of(requirement.values, accept=True)[labels.column]
    if operator == "NotIn":
        return labels.table_of(requirement.values, accept=False)[labels.column]
    if operator == "Exists":
        return labels.column >= 0
    if operator == "DoesNotExist":
        return labels.column < 0
    bound = _integer(requirement.values[0]) if requirement.values else None
    if bound is None or operator not in ("Gt", "Lt"):
        return np.zeros(nodes.size, np.bool_)

    def accepts(value: str) -> bool:
        number = _integer(value)
        return number is not None and (number > bound if operator == "Gt" else number < bound)

    return labels.table(accepts, absent=False)[labels.column]


def _matches_name(requirement: NodeSelectorRequirement, nodes: NodeTable) -> Bools:
    selected = np.zeros(nodes.size, np.bool_)
    if requirement.key == "metadata.name" and requirement.operator in ("In", "NotIn"):
        selected[[row for name in requirement.values if (row := nodes.rows.get(name)) is not None]] = True
        if requirement.operator == "NotIn":
            selected = ~selected
    return selected


def _integer(text: str) -> int | None:
    # `int` alone would take "1_0", which is a label's value but no number.
    return int(text) if _INTEGER.fullmatch(text) else None
