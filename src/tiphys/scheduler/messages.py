"""What the scheduler says, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping

WHY_ANNOTATION = "scheduler.tiphys.io/why"
"""On a pod that has no node: the reasons, for programs. Empty once it has one."""
NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER_PREEMPTS = "not eligible due to preemptionPolicy=Never."
NOMINATED_ROOM = "Insufficient resources for nominated pods"
"""In the annotation; the condition says of which resource, as of nodes where it is taken already."""
VICTIMS_TERMINATING = "not eligible due to a terminating pod on the nominated node."


def unavailable(nodes: int, reasons: Mapping[str, int], preemption: str = "", *, pod_reason: str = "") -> str:
    """``0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …``.

    `pod_reason` is what stands there instead if no node is to blame.
    """
    if not nodes:
        return NO_NODES
    counted = pod_reason or ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    message = f"0/{nodes} nodes are available: {counted}." if counted else f"0/{nodes} nodes are available:"
    return f"{message} preemption: {preemption}" if preemption else message


def insufficient(resource: str) -> str:
    """Why a node has no room."""
    return "Too many pods" if resource == "pods" else f"Insufficient {resource}"


def assigned(namespace: str, name: str, node_name: str) -> str:
    return f"Successfully assigned {namespace}/{name} to {node_name}"
