"""More nodes of a kind there is already: for each kind an empty one is added to the model, and asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tiphys.api.types.core_v1 import Node
from tiphys.scheduler.explaining.explanation import Change
from tiphys.scheduler.explaining.groups import shared_labels
from tiphys.scheduler.explaining.model import HOSTNAME, is_condition
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene

MAXIMUM_KINDS: Final = 24
ONE_NODE: Final = 4
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
