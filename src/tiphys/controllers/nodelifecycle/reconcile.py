"""A node's conditions and taints, given when it was last heard of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import Node, NodeCondition, Pod, Taint
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.pods import pod_condition

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"

_TAINT_OF: Final = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_CONDITION_TAINTS: Final = frozenset((*_TAINT_OF.values(), UNSCHEDULABLE))
_LOST: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def is_ready(node: Node) -> bool:
    """Whether its Ready condition is True."""
    return conditions.is_true(node.status.conditions, "Ready")


def lost(node: Node, now: float) -> tuple[NodeCondition, ...]:
    """The conditions of a node that was not heard of for the grace period: Unknown."""
    kept: list[NodeCondition] = list(node.status.conditions)
    moment = rfc3339(now)
    for type_ in _LOST:
        index = next((n for n, c in enumerate(kept) if c.type == type_), None)
        if index is None:
            kept.append(
                NodeCondition(
                    type=type_,
                    status="Unknown",
                    reason="NodeStatusNeverUpdated",
                    message="Kubelet never posted node status.",
                    last_heartbeat_time=node.metadata.creation_timestamp,
                    last_transition_time=moment,
                )
            )
        elif kept[index].status != "Unknown":
            kept[index] = msgspec.structs.replace(
                kept[index],
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                last_transition_time=moment,
            )
    return tuple(kept)


def taints(node: Node, *, evict: bool, now: float) -> tuple[Taint, ...]:
    """The taints the node should have: others' as they are, and those its conditions ask for.

    `evict`: whether a NoExecute taint may be added now (one that is there stays while its cause does).
    """
    wanted_schedule = {_TAINT_OF[c.type, c.status] for c in node.status.conditions if (c.type, c.status) in _TAINT_OF}
    if node.spec.unschedulable:
        wanted_schedule.add(UNSCHEDULABLE)
    ready = conditions.find(node.status.conditions, "Ready")
    wanted_execute = _TAINT_OF.get(("Ready", ready.status)) if ready else None
    kept: list[Taint] = []
    for taint in node.spec.taints:
        if taint.effect == NO_SCHEDULE and taint.key in _CONDITION_TAINTS:
            if taint.key not in wanted_schedule:
                continue
            wanted_schedule.discard(taint.key)
        elif taint.effect == NO_EXECUTE and taint.key in (NOT_READY, UNREACHABLE):
            if taint.key != wanted_execute:
                continue
            wanted_execute = None
        kept.append(taint)
    moment = rfc3339(now)
    kept += [Taint(key=key, effect=NO_SCHEDULE, time_added=moment) for key in sorted(wanted_schedule)]
    if wanted_execute and evict:
        kept.append(Taint(key=wanted_execute, effect=NO_EXECUTE, time_added=moment))
    return tuple(kept)


def wants_eviction(node: Node) -> bool:
    """Whether the node's condition asks for a NoExecute taint that it does not have."""
    ready = conditions.find(node.status.conditions, "Ready")
    key = _TAINT_OF.get(("Ready", ready.status)) if ready else None
    return key is not None and not any(t.key == key and t.effect == NO_EXECUTE for t in node.spec.taints)


def fully_disrupted(nodes: Sequence[Node]) -> bool:
    """Whether no node is ready: then it is the control plane that is cut off, and nothing is evicted."""
    return bool(nodes) and not any(is_ready(node) for node in nodes)


def pods_to_mark(pods: Iterable[Pod]) -> list[Pod]:
    """The pods whose Ready condition is True and no longer known to be."""
    return [pod for pod in pods if (c := pod_condition(pod, "Ready")) is not None and c.status == "True"]
