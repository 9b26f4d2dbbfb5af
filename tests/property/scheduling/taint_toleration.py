"""TaintToleration and NodeUnschedulable."""

from __future__ import annotations

from collections.abc import Iterable

from tests.property.scheduling.world import name_of, scaled
from tiphys.api.types.core_v1 import Node, Pod, Taint, Toleration

CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    wanted, given = toleration.value or "", taint.value or ""
    match toleration.operator or "Equal":
        case "Exists":
            return True
        case "Equal":
            return bool(toleration.key) and wanted == given
        case operator:
            if not wanted.lstrip("-").isdigit() or not given.lstrip("-").isdigit():
                return False
            return int(given) > int(wanted) if operator == "Gt" else int(given) < int(wanted)


def keeps_away(pod: Pod, node: Node) -> list[Taint]:
    """The taints that the pod does not bear."""
    hard = [taint for taint in node.spec.taints if taint.effect in ("NoSchedule", "NoExecute")]
    return [taint for taint in hard if not tolerated(taint, pod.spec.tolerations)]


def cordoned(pod: Pod, node: Node) -> str:
    closed = node.spec.unschedulable and not tolerated(CORDON, pod.spec.tolerations)
    return "node(s) were unschedulable" if closed else ""


def rejected(pod: Pod, node: Node) -> str:
    return "node(s) had untolerated taint(s)" if keeps_away(pod, node) else ""


def scores(pod: Pod, feasible: list[Node]) -> dict[str, int]:
    soft = {name_of(n): [taint for taint in n.spec.taints if taint.effect == "PreferNoSchedule"] for n in feasible}
    disliked = {name: sum(not tolerated(t, pod.spec.tolerations) for t in taints) for name, taints in soft.items()}
    return scaled(disliked, reverse=True)
