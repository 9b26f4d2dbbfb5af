"""Defaults of PodDisruptionBudgets: counters that are on the wire even when zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.types.policy_v1 import PodDisruptionBudget


def _pod_disruption_budget(obj: PodDisruptionBudget) -> None:
    status = obj.status
    status.current_healthy = status.current_healthy or 0
    status.desired_healthy = status.desired_healthy or 0
    status.disruptions_allowed = status.disruptions_allowed or 0
    status.expected_pods = status.expected_pods or 0


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {PodDisruptionBudget: _pod_disruption_budget}
