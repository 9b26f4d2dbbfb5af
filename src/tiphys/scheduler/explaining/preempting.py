"""Whether the scheduler makes room by itself: for a pod that is more important than others."""

from __future__ import annotations

from tiphys.scheduler.algorithm import Algorithm, Budgets, Placed
from tiphys.scheduler.template import PodInfo

MAXIMUM_NAMED = 3


def note(info: PodInfo, algorithm: Algorithm, budgets: Budgets) -> str:
    """One sentence about the pods that would be removed for it; "" if none would be. Changes nothing."""
    if min(algorithm.cluster.priorities, default=info.priority) >= info.priority:
        return ""
    decision = algorithm.decide(info, budgets)
    if isinstance(decision, Placed) or decision.preemption is None:
        return ""
    candidate = decision.preemption
    names = ["/".join(victim.key) for victim in candidate.victims]
    more = f" and {len(names) - MAXIMUM_NAMED} more" if len(names) > MAXIMUM_NAMED else ""
    where = algorithm.cluster.nodes.names[candidate.row]
    return (
        f"It is more important than {', '.join(names[:MAXIMUM_NAMED])}{more} on node {where}: "
        f"the scheduler removes {'that pod' if len(names) == 1 else 'those pods'} for it, if it has not begun to."
    )
