"""The status of a PodDisruptionBudget. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import Condition
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.pods import is_ready, is_terminal, seconds_of
from tiphys.controllers.scaling import resolve

EVICTION_SECONDS: Final = 120.0
"""How long an eviction that the apiserver allowed may take until its pod is seen going."""


def expected(budget: PodDisruptionBudget, pods: Sequence[Pod], scales: Mapping[str, int]) -> tuple[int, int]:
    """(pods expected, healthy pods desired). `scales`: replicas wanted by the pods' controllers, by uid."""
    scale = sum(scales.values())
    spec = budget.spec
    if spec.max_unavailable is not None:
        return scale, max(0, scale - resolve(spec.max_unavailable, scale, round_up=True))
    if isinstance(spec.min_available, str):
        return scale, resolve(spec.min_available, scale, round_up=True)
    return len(pods), spec.min_available or 0


def status(
    budget: PodDisruptionBudget, pods: Sequence[Pod], scales: Mapping[str, int], now: float
) -> tuple[PodDisruptionBudgetStatus, float | None]:
    """The status to report, and how long until a pending eviction is given up, if one is pending."""
    alive = [pod for pod in pods if not is_terminal(pod)]
    count, desired = expected(budget, alive, scales)
    by_name = {pod.metadata.name or "": pod for pod in alive}
    pending: dict[str, str] = {}
    waits: list[float] = []
    for name, moment in budget.status.disrupted_pods.items():
        pod = by_name.get(name)
        left = seconds_of(moment) + EVICTION_SECONDS - now
        if pod is not None and pod.metadata.deletion_timestamp is None and left > 0:
            pending[name] = moment
            waits.append(left)
    healthy = sum(
        1
        for pod in alive
        if is_ready(pod) and pod.metadata.deletion_timestamp is None and pod.metadata.name not in pending
    )
    allowed = max(0, healthy - desired) if count > 0 else 0
    fresh = Condition(
        type="DisruptionAllowed",
        status="True" if allowed > 0 else "False",
        reason="SufficientPods" if allowed > 0 else "InsufficientPods",
        message="",
        observed_generation=budget.metadata.generation,
        last_transition_time=rfc3339(now),
    )
    return (
        msgspec.structs.replace(
            budget.status,
            current_healthy=healthy,
            desired_healthy=desired,
            expected_pods=count,
            disruptions_allowed=allowed,
            disrupted_pods=pending,
            observed_generation=budget.metadata.generation,
            conditions=conditions.with_condition(budget.status.conditions, fresh),
        ),
        min(waits) if waits else None,
    )
