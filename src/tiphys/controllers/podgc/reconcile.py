"""Which pods to remove. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from tiphys.api.types.core_v1 import Node, Pod
from tiphys.controllers.pods import is_terminal

OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"


def excess(pods: Sequence[Pod], threshold: int) -> list[Pod]:
    """The oldest finished pods over `threshold`; evicted ones first."""
    finished = [pod for pod in pods if is_terminal(pod)]
    over = len(finished) - threshold
    if threshold <= 0 or over <= 0:
        return []
    finished.sort(
        key=lambda pod: (
            pod.status.reason != "Evicted",
            pod.metadata.creation_timestamp or "",
            pod.metadata.namespace or "",
            pod.metadata.name or "",
        )
    )
    return finished[:over]


def is_unscheduled_terminating(pod: Pod) -> bool:
    """Whether it is being deleted and no node will ever confirm that."""
    return pod.metadata.deletion_timestamp is not None and not pod.spec.node_name


def is_orphaned(pod: Pod, nodes: Collection[str]) -> bool:
    """Whether it is bound to a node that does not exist."""
    return bool(pod.spec.node_name) and pod.spec.node_name not in nodes


def is_out_of_service(pod: Pod, node: Node | None) -> bool:
    """Whether it is being deleted on a node that an administrator declared dead."""
    if node is None or pod.metadata.deletion_timestamp is None:
        return False
    not_ready = not any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    return not_ready and any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
