"""What a pod itself says of why it has no node: for who may not read the nodes, so that nothing can be tried."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler import messages
from tiphys.scheduler.explaining import started
from tiphys.scheduler.explaining.carried import Carried
from tiphys.scheduler.explaining.explain import base_of, gated
from tiphys.scheduler.explaining.explanation import Explanation, NodeGroup, PluginReason, Verdict, bounded
from tiphys.scheduler.template import DEFAULT_SCHEDULER_NAME

_LIMITED: Final = (
    "This is what the scheduler wrote at the pod. You may not list nodes, pods and namespaces of the whole cluster, "
    "so nothing could be tried."
)


def told(pod: Pod) -> Explanation:
    """The answer from the pod alone."""
    base = base_of(pod)
    if (settled := started.settled(pod, base)) is not None:
        return bounded(settled)
    if pod.spec.scheduling_gates:
        return bounded(gated(pod, base, "SchedulingGates", ""))
    if not base.reported:
        name = pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME
        said = f"It waits for {name}, which has said nothing about it yet"
        return replace(base, verdict=Verdict.WAITING, summary=f"{said}.")
    carried = _carried(pod)
    return bounded(
        replace(
            base,
            summary=base.reported,
            nodes=carried.nodes,
            reasons=carried.reasons,
            groups=tuple(
                NodeGroup(
                    nodes=group.nodes,
                    reasons=tuple(_of_group(carried.reasons[place], group.taints) for place in group.reasons),
                    labels=group.labels,
                    examples=(group.example,) if group.example else (),
                )
                for group in carried.groups
            ),
            notes=(_LIMITED,),
            left_out={"groups": carried.left_out} if carried.left_out else {},
        )
    )


def _of_group(reason: PluginReason, taints: str) -> PluginReason:
    return replace(reason, detail=taints) if reason.plugin == "TaintToleration" else reason


def _carried(pod: Pod) -> Carried:
    try:
        return msgspec.json.decode(pod.metadata.annotations.get(messages.WHY_ANNOTATION, ""), type=Carried)
    except msgspec.DecodeError:
        # Another scheduler's pod, or not written yet: the condition's words are all there is.
        return Carried(nodes=0)
