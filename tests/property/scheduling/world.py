"""A cluster as plain objects, and what several rules share: selectors and domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiphys.api.types.core_v1 import Node, Pod
from tiphys.api.types.meta_v1 import LabelSelector

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
Labels = Mapping[str, str]


@dataclass
class World:
    """Nodes by name, pods with their node's name, namespaces' labels; services' selectors by namespace and name."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, tuple[Pod, str]] = field(default_factory=dict)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    services: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def on(self, node: Node) -> list[Pod]:
        return [pod for pod, name in self.pods.values() if name == node.metadata.name]

    def placed(self) -> list[tuple[Pod, Node]]:
        """The pods whose nodes are there."""
        return [(pod, self.nodes[name]) for pod, name in self.pods.values() if name in self.nodes]


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


def is_empty(selector: LabelSelector | None) -> bool:
    return selector is not None and not selector.match_labels and not selector.match_expressions


def agrees(keys: tuple[str, ...], own: Labels, other: Labels) -> bool:
    """matchLabelKeys: for each key that the pod itself has, the other pod has the same value."""
    return all(other.get(key) == own[key] for key in keys if key in own)


def differs(keys: tuple[str, ...], own: Labels, other: Labels) -> bool:
    """mismatchLabelKeys: for each key that the pod itself has, the other pod does not have that value."""
    return all(other.get(key) != own[key] for key in keys if key in own)


def same_domain(one: Node, other: Node, key: str) -> bool:
    return key in one.metadata.labels and one.metadata.labels[key] == other.metadata.labels.get(key)


def scaled(raw: Mapping[str, int], *, reverse: bool) -> dict[str, int]:
    """0..100 by the highest; `reverse`: the highest gets 0."""
    highest = max(raw.values(), default=0)
    part = {name: 100 * score // highest if highest else 0 for name, score in raw.items()}
    return {name: 100 - score for name, score in part.items()} if reverse else part


def name_of(node: Node) -> str:
    return node.metadata.name or ""
