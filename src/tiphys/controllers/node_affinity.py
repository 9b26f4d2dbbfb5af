"""Whether a node fits a pod's node selector, affinity and taints. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api.selectors.nodes import selects
from tiphys.api.types.core_v1 import (
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PodSpec,
    Taint,
    Toleration,
)

NAME_FIELD: Final = "metadata.name"


def fits(spec: PodSpec, node: Node) -> bool:
    """Whether the node's name and labels are what the pod asks for."""
    if spec.node_name and spec.node_name != node.metadata.name:
        return False
    if not spec.node_selector.items() <= node.metadata.labels.items():
        return False
    required = _required(spec)
    return required is None or selects(required, node.metadata.labels, node.metadata.name or "")


def _required(spec: PodSpec) -> NodeSelector | None:
    affinity = spec.affinity.node_affinity if spec.affinity else None
    return affinity.required_during_scheduling_ignored_during_execution if affinity else None


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Whether any of `tolerations` covers the taint."""
    for toleration in tolerations:
        if toleration.effect and toleration.effect != taint.effect:
            continue
        if toleration.key and toleration.key != taint.key:
            continue
        if toleration.operator == "Exists" or (toleration.key and (toleration.value or "") == (taint.value or "")):
            return True
    return False


def pinned(affinity: Affinity | None, node_name: str) -> Affinity:
    """The affinity with its required node terms replaced by "this node, by name"."""
    field = NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=(node_name,))
    terms = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    preferred = (
        affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
        if affinity and affinity.node_affinity
        else ()
    )
    node_affinity = NodeAffinity(
        required_during_scheduling_ignored_during_execution=terms,
        preferred_during_scheduling_ignored_during_execution=preferred,
    )
    return Affinity(
        node_affinity=node_affinity,
        pod_affinity=affinity.pod_affinity if affinity else None,
        pod_anti_affinity=affinity.pod_anti_affinity if affinity else None,
    )


def pinned_to(spec: PodSpec) -> str:
    """The node a pod is bound or pinned to; empty if neither."""
    if spec.node_name:
        return spec.node_name
    required = _required(spec)
    for term in required.node_selector_terms if required else ():
        for requirement in term.match_fields:
            if requirement.key == NAME_FIELD and requirement.operator == "In" and len(requirement.values) == 1:
                return requirement.values[0]
    return ""
