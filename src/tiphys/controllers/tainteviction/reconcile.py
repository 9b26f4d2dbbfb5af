"""When a pod must leave a tainted node. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiphys.api.types.core_v1 import Node, Pod, Taint, Toleration
from tiphys.controllers.pods import seconds_of

NO_EXECUTE: Final = "NoExecute"


def no_execute(node: Node) -> tuple[Taint, ...]:
    """The node's taints that evict."""
    return tuple(taint for taint in node.spec.taints if taint.effect == NO_EXECUTE)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration covers the taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    operator = toleration.operator or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.value or "") == (taint.value or "") and bool(toleration.key)


def evict_at(pod: Pod, taints: Sequence[Taint], now: float) -> float | None:
    """When the pod must go, in seconds since the epoch (`now`: at once); None if it may stay.

    The shortest of the tolerations that are used counts, from when the last of the taints was added.
    """
    if not taints:
        return None
    used: list[Toleration] = []
    for taint in taints:
        matching = [toleration for toleration in pod.spec.tolerations if tolerates(toleration, taint)]
        if not matching:
            return now
        used += matching
    limits = [toleration.toleration_seconds for toleration in used if toleration.toleration_seconds is not None]
    if not limits:
        return None
    added = [seconds_of(taint.time_added) for taint in taints if taint.time_added]
    return max(added, default=now) + max(0, min(limits))
