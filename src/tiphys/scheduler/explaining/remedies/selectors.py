"""NodeAffinity: alter or drop a nodeSelector entry, drop an expression of the required affinity, label a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.groups import Group
from tiphys.scheduler.explaining.remedies.candidate import (
    Candidate,
    Scene,
    add_op,
    escaped,
    remove_op,
    replace_op,
)

MAXIMUM_VALUES: Final = 3
MAXIMUM_DROPPED: Final = 8
#: Labels that say what a machine is or where it stands: written by its kubelet or cloud, not by people.
_GIVEN: Final = ("kubernetes.io/", "topology.kubernetes.io/", "node.kubernetes.io/", "beta.kubernetes.io/")
_ENFORCED: Final = "scheduler-enforced"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def change_selectors(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    if any(_ENFORCED in reason.words for reason in group.reasons):
        # Not the pod's wish, but of the scheduler's configuration.
        return
    if any(owner.kind == "DaemonSet" for owner in scene.pod.metadata.owner_references):
        # Each of its pods is for one node: another node is no remedy.
        return
    yield from _node_selector(scene, rows)
    yield from _affinity(scene)


def _node_selector(scene: Scene, rows: Ints) -> Iterator[Candidate]:
    selector, nodes = scene.template.node_selector, scene.cluster.nodes
    wrong = {
        key: nodes.labels(key).table_of((value,), accept=False)[nodes.labels(key).column[rows]]
        for key, value in selector.items()
    }
    wanting = sum((column.astype(np.int64) for column in wrong.values()), np.zeros(len(rows), np.int64))
    for key, value in selector.items():
        if not wrong[key].any():
            continue
        path = "/spec/nodeSelector" if len(selector) == 1 else f"/spec/nodeSelector/{escaped(key)}"
        # Where this entry alone is not met, what the nodes have instead.
        alone = rows[wrong[key] & (wanting == 1)]
        labels = nodes.labels(key)
        numbers, counts = np.unique(labels.column[alone], return_counts=True)
        best = sorted(zip((-counts).tolist(), numbers.tolist(), strict=True))
        for _, number in [entry for entry in best if entry[1] >= 0][:MAXIMUM_VALUES]:
            other = labels.values[number]
            operation = replace_op(f"/spec/nodeSelector/{escaped(key)}", other)
            text = f"change the nodeSelector {key} from {value} to {other}"
            yield Candidate("ChangeNodeSelector", text, (scene.patch(operation),), 3)
        text = f"remove {key}={value} from the nodeSelector"
        yield Candidate("RemoveNodeSelector", text, (scene.patch(remove_op(path)),), 4)
        if len(alone) and not key.startswith(_GIVEN):
            yield _label(scene, int(alone[0]), key, value, len(alone))


def _label(scene: Scene, row: int, key: str, value: str, count: int) -> Candidate:
    node = scene.model.node(row)
    path = f"/metadata/labels/{escaped(key)}"
    operation = add_op(path, value) if node.metadata.labels else add_op("/metadata/labels", {key: value})
    others = f" (or another of {count} nodes)" if count > 1 else ""
    change = scene.patch_node(row, operation)
    return Candidate("LabelNode", f"label node {scene.name(row)} {key}={value}{others}", (change,), 5, np.array([row]))


def _affinity(scene: Scene) -> Iterator[Candidate]:
    required = scene.template.node_affinity
    if required is None:
        return
    base = f"/spec/affinity/nodeAffinity/{_REQUIRED}"
    dropped = 0
    for index, term in enumerate(required.node_selector_terms):
        size = len(term.match_expressions) + len(term.match_fields)
        for number, expression in enumerate(term.match_expressions):
            dropped += 1
            if size == 1 or dropped > MAXIMUM_DROPPED:
                continue
            operation = remove_op(f"{base}/nodeSelectorTerms/{index}/matchExpressions/{number}")
            text = f"remove '{_expression(expression)}' from the required node affinity"
            yield Candidate("RemoveNodeAffinityTerm", text, (scene.patch(operation),), 4)
    text = "remove the required node affinity"
    terms = required.node_selector_terms
    if len(terms) == 1 and len(terms[0].match_expressions) == 1 and not terms[0].match_fields:
        text += f" '{_expression(terms[0].match_expressions[0])}'"
    yield Candidate("RemoveNodeAffinity", text, (scene.patch(remove_op(base)),), 5)


def _expression(expression: Any) -> str:
    values = f" ({', '.join(expression.values[:MAXIMUM_VALUES])})" if expression.values else ""
    return f"{expression.key} {expression.operator}{values}"
