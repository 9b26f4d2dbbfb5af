"""All plugins of the default profile together: their order, and the weights of their scores."""

from __future__ import annotations

from collections.abc import Callable

from tests.property.scheduling import (
    image_locality,
    inter_pod_affinity,
    node_affinity,
    node_ports,
    node_resources,
    pod_topology_spread,
    taint_toleration,
    volume_restrictions,
)
from tests.property.scheduling.world import World, name_of
from tiphys.api.types.core_v1 import Node, Pod

Filter = Callable[[Pod, Node, World], list[str]]
Score = Callable[[Pod, list[Node], World], dict[str, int]]


def _said(text: str) -> list[str]:
    return [text] if text else []


FILTERS: dict[str, Filter] = {
    "NodeUnschedulable": lambda pod, node, world: _said(taint_toleration.cordoned(pod, node)),
    "TaintToleration": lambda pod, node, world: _said(taint_toleration.rejected(pod, node)),
    "NodeAffinity": lambda pod, node, world: _said(node_affinity.rejected(pod, node)),
    "NodePorts": lambda pod, node, world: _said(node_ports.rejected(pod, node, world)),
    "NodeResourcesFit": node_resources.rejected,
    "VolumeRestrictions": lambda pod, node, world: _said(volume_restrictions.rejected(pod, node, world)),
    "PodTopologySpread": lambda pod, node, world: _said(pod_topology_spread.rejected(pod, node, world)),
    "InterPodAffinity": lambda pod, node, world: _said(inter_pod_affinity.rejected(pod, node, world)),
}

SCORES: dict[str, tuple[int, Score]] = {
    "TaintToleration": (3, lambda pod, feasible, world: taint_toleration.scores(pod, feasible)),
    "NodeAffinity": (2, lambda pod, feasible, world: node_affinity.scores(pod, feasible)),
    "NodeResourcesFit": (1, node_resources.fit_scores),
    "PodTopologySpread": (2, pod_topology_spread.scores),
    "InterPodAffinity": (2, inter_pod_affinity.scores),
    "NodeResourcesBalancedAllocation": (1, node_resources.balance_scores),
    "ImageLocality": (1, image_locality.scores),
}


def rejected(pod: Pod, node: Node, world: World) -> list[str]:
    """Upstream's words of the first rule that rejects the node; empty if it can take the pod."""
    return next((said for rule in FILTERS.values() if (said := rule(pod, node, world))), [])


def totals(pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
    """Each feasible node's total, as upstream's default plugins and weights add up."""
    parts = [(weight, rule(pod, feasible, world)) for weight, rule in SCORES.values()]
    return {name_of(n): sum(weight * part[name_of(n)] for weight, part in parts) for n in feasible}
