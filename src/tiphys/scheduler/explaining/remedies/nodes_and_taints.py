"""NodeUnschedulable and TaintToleration: uncordon, tolerate, take a taint off, wait for a node to be well again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.changed_objects import is_condition
from tiphys.scheduler.explaining.groups import Group, hindering, taint_text
from tiphys.scheduler.explaining.remedies.candidate import Candidate, Scene, add_op, listed, remove_op, replace_op
from tiphys.scheduler.nodes import Taints

MAXIMUM_TAINTS: Final = 3


def uncordon(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    row = int(rows[0])
    others = f" (or another of {len(rows)} cordoned nodes)" if len(rows) > 1 else ""
    change = scene.patch_node(row, remove_op("/spec/unschedulable"))
    yield Candidate("Uncordon", f"uncordon node {scene.name(row)}{others}", (change,), 1, rows[:1])


def tolerate(scene: Scene, group: Group, rows: Ints) -> Iterator[Candidate]:
    nodes = scene.cluster.nodes
    row = int(rows[0])
    cordoned = bool(nodes.unschedulable[row])
    taints = hindering(nodes.taint_sets[int(nodes.taints[row])], scene.template.tolerations, cordoned=cordoned)
    if not taints or len(taints) > MAXIMUM_TAINTS:
        return
    states = [taint for taint in taints if is_condition(taint[0])]
    purposes = [taint for taint in taints if not is_condition(taint[0])]
    if states:
        # Nobody wants a pod to tolerate that a node is gone.
        what = listed([taint_text(taint) for taint in states])
        text = f"get node {scene.name(row)} well again: it has {what}, which goes when the node recovers"
        yield Candidate("RepairNode", text, (_without(scene, row, taints),), 3 + len(purposes), rows[:1])
        return
    what = listed([taint_text(taint) for taint in purposes])
    operations = _tolerations(scene, taints)
    plural = "s" if len(taints) > 1 else ""
    yield Candidate("Tolerate", f"tolerate the taint{plural} {what}", (scene.patch(*operations),), 2 + len(taints))
    text = f"take the taint{plural} {what} off node {scene.name(row)}"
    if len(rows) > 1:
        text += f" (or off another of {len(rows)} nodes)"
    yield Candidate("Untaint", text, (_without(scene, row, taints),), 5 + len(taints), rows[:1])


def _tolerations(scene: Scene, taints: Taints) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for key, value, effect in taints:
        equal = {"operator": "Equal", "value": value} if value else {"operator": "Exists"}
        made.append({"key": key, **equal, "effect": effect})
    if scene.pod.spec.tolerations:
        return [add_op("/spec/tolerations/-", toleration) for toleration in made]
    return [add_op("/spec/tolerations", made)]


def _without(scene: Scene, row: int, taints: Taints) -> Any:
    node = scene.model.node(row)
    kept = [
        {"key": taint.key, "value": taint.value or "", "effect": taint.effect}
        for taint in node.spec.taints
        if (taint.key, taint.value or "", taint.effect) not in taints
    ]
    return scene.patch_node(row, replace_op("/spec/taints", kept))
