"""How many nodes of a kind all waiting pods of a workload need, not only the first."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import Ints
from tiphys.scheduler.explaining.explanation import Change, Explanation
from tiphys.scheduler.explaining.model import Model
from tiphys.scheduler.template import PodInfo

MAXIMUM_PODS: Final = 200
MAXIMUM_NODES: Final = 100


def count_nodes(explanation: Explanation, pods: Sequence[Pod], model: Model) -> Explanation:
    """The same, with remedies that add a node saying how many of them all `pods` (which wait) need."""
    if not 1 < len(pods) <= MAXIMUM_PODS:
        return explanation
    remedies = []
    for remedy in explanation.remedies:
        change = remedy.changes[0]
        is_node = len(remedy.changes) == 1 and (change.action, change.kind) == ("create", "Node")
        if is_node and (number := needed(model, pods, change)):
            many = f"more than {MAXIMUM_NODES}" if number > MAXIMUM_NODES else str(number)
            text = f"{remedy.text} ({many} of them for all {len(pods)} pods that wait)"
            remedy = replace(remedy, text=text, nodes_for_all=number)
        remedies.append(remedy)
    return replace(explanation, remedies=tuple(remedies))


def needed(model: Model, pods: Sequence[Pod], change: Change) -> int:
    """How many such nodes it takes until all `pods` have a place; 0: no number does.

    At most ``MAXIMUM_NODES + 1``, which stands for more.
    """
    added = 0
    with ExitStack() as undo:
        for pod in pods:
            rows: Ints = model.judge(pod).rows
            if not len(rows):
                added += 1
                if added > MAXIMUM_NODES:
                    return added
                undo.enter_context(model.changed(pod, (replace(change, name=f"{change.name}-{added}"),)))
                rows = model.judge(pod).rows
                if not len(rows):
                    return 0
            info = PodInfo(pod, model.template_of(pod))
            model.cluster.place(info, model.cluster.nodes.names[int(rows[0])])
            undo.callback(model.cluster.remove, info)
    return added
