"""PrioritySort and SchedulingGates: whose turn it is."""

from __future__ import annotations

from tiphys.api.types.core_v1 import Pod

Waiting = tuple[Pod, float]
"""A pod, and since when it waits for its turn."""


def gate(pod: Pod) -> str:
    """Why the pod is not even considered; empty if it is."""
    names = [gate.name for gate in pod.spec.scheduling_gates]
    return f"waiting for scheduling gates: [{' '.join(names)}]" if names else ""


def order(waiting: list[Waiting]) -> list[str]:
    """Names of the pods in the order of their turns: the more important first, of equals who waits longer."""
    found = [(-(pod.spec.priority or 0), since, pod.metadata.name or "") for pod, since in waiting if not gate(pod)]
    return [name for _, _, name in sorted(found)]
