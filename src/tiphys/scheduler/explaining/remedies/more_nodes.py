"""More nodes of a kind there is already: for each kind an empty one is added to the model, and asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tiphys.api.types.core_v1 import Node
from tiphys.scheduler.explaining import amounts
from tiphys.scheduler.explaining.changed_objects import empty_like, is_condition
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import hindering, shared_labels
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, add_op, escaped, listed, remove_op
from tiphys.scheduler.nodes import HOSTNAME
from tiphys.scheduler.requests import amounts as amounts_of

MAXIMUM_KINDS: Final = 24
ONE_NODE: Final = 4
ALTERED_NODE: Final = 16
MAXIMUM_ALTERED: Final = 4
MAXIMUM_DIFFERENCES: Final = 4
NEW_NAME: Final = "new-node"


def add_node(scene: Scene) -> Iterator[Candidate]:
    """One more node, of the most common kinds first."""
    for row, count in kinds(scene):
        name = scene.name(row)
        labels = ", ".join(
            f"{key}={values[0]}" for key, values in shared_labels(np.array([row]), scene.cluster).items()
        )
        said = f" ({labels})" if labels else ""
        same = f", of which there are {count}" if count > 1 else ""
        change = Change(action="create", kind="Node", name=NEW_NAME, like=name)
        yield Candidate("AddNode", f"add a node like {name}{said}{same}", (change,), ONE_NODE)


def add_fitting_node(scene: Scene) -> Iterator[Candidate]:
    """One more node of a kind that is not there yet: like one that is, but with what the pod asks for."""
    for row, _ in kinds(scene)[:MAXIMUM_ALTERED]:
        node = empty_like(scene.model.node(row), NEW_NAME)
        operations, told = _raised(scene, node)
        for key, value in _wanted_labels(scene, node).items():
            if node.metadata.labels.get(key) != value:
                operations.append(add_op(f"/metadata/labels/{escaped(key)}", value))
                told.append(f"the label {key}={value}")
        taints = tuple(sorted((taint.key, taint.value or "", taint.effect) for taint in node.spec.taints))
        unwanted = hindering(taints, scene.template.tolerations, cordoned=False)
        if unwanted:
            operations.append(remove_op("/spec/taints"))
            told.append("no taints")
        if operations and len(told) <= MAXIMUM_DIFFERENCES:
            name = scene.name(row)
            change = Change(action="create", kind="Node", name=NEW_NAME, like=name, patch=tuple(operations))
            yield Candidate(
                "AddOtherNode",
                f"add a node like {name}, but with {listed(told, MAXIMUM_DIFFERENCES)}",
                (change,),
                ALTERED_NODE,
            )


def _wanted_labels(scene: Scene, node: Node) -> dict[str, str]:
    """The labels by which the pod would choose the node: its nodeSelector's, and what its first affinity term asks."""
    found = dict(scene.template.node_selector)
    required = scene.template.node_affinity
    for expression in required.node_selector_terms[0].match_expressions if required is not None else ():
        has = node.metadata.labels.get(expression.key)
        if expression.operator == "In" and has not in expression.values:
            found.setdefault(expression.key, expression.values[0])
        elif expression.operator == "Exists" and has is None:
            found.setdefault(expression.key, "true")
    return found


def _raised(scene: Scene, node: Node) -> tuple[list[dict[str, Any]], list[str]]:
    """What the node would have to have more of."""
    operations: list[dict[str, Any]] = []
    told: list[str] = []
    has = amounts_of(node.status.allocatable)
    for resource, asked in scene.template.requests.items():
        if has.get(resource, 0) < asked:
            quantity = amounts.text(resource, asked)
            operations.append(add_op(f"/status/allocatable/{escaped(resource)}", quantity))
            told.append(f"{quantity} {resource}")
    return operations, told


def kinds(scene: Scene) -> list[tuple[int, int]]:
    """An example row of each kind of node with how many there are: the commonest kinds, at most `MAXIMUM_KINDS`."""
    found: dict[object, tuple[int, int]] = {}
    for row in scene.cluster.nodes.rows.values():
        kind = _kind(scene.model.node(row))
        first, count = found.get(kind, (row, 0))
        found[kind] = (first, count + 1)
    return sorted(found.values(), key=lambda entry: (-entry[1], entry[0]))[:MAXIMUM_KINDS]


def _kind(node: Node) -> object:
    labels = frozenset((key, value) for key, value in node.metadata.labels.items() if key != HOSTNAME)
    taints = frozenset((t.key, t.value, t.effect) for t in node.spec.taints if not is_condition(t.key))
    return labels, taints, frozenset(node.status.allocatable.items())
