"""DefaultTolerationSeconds and TaintNodesByCondition: what happens to pods when nodes are not ready."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import Node, Pod, Taint, Toleration
from tiphys.apiserver.admission.chain import CREATE, DELETE, Base
from tiphys.apiserver.registry.context import Write

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(Base):
    """Pods tolerate a node that is not ready or not reachable for so many seconds, unless they say otherwise."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "pods" and not group and operation != DELETE and not subresource

    def admit(self, write: Write) -> None:
        pod: Pod = write.obj
        tolerations = pod.spec.tolerations
        missing = tuple(
            Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=self._seconds)
            for key in (NOT_READY, UNREACHABLE)
            if not any(t.key in (key, "", None) and t.effect in ("NoExecute", "", None) for t in tolerations)
        )
        if missing:
            pod.spec.tolerations = tolerations + missing


class TaintNodesByCondition(Base):
    """A new node gets no pods until it was seen to be ready."""

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        return plural == "nodes" and not group and operation == CREATE and not subresource

    def admit(self, write: Write) -> None:
        node: Node = write.obj
        if not any(t.key == NOT_READY and t.effect == "NoSchedule" for t in node.spec.taints):
            node.spec.taints = (*node.spec.taints, Taint(key=NOT_READY, effect="NoSchedule"))
