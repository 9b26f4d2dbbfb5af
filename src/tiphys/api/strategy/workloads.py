"""Deployments, DaemonSets, StatefulSets, budgets."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.apps_v1 import DaemonSet, Deployment, StatefulSet
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"


def create_daemon_set(obj: DaemonSet, now: str) -> None:
    """The template's own generation is kept in an annotation, as the field is gone from v1."""
    if _template_generation(obj) < 1:
        obj.metadata.annotations[TEMPLATE_GENERATION] = "1"


def update_daemon_set(new: DaemonSet, old: DaemonSet) -> None:
    """The template's generation counts the template's changes."""
    generation = _template_generation(old)
    if new.spec.template != old.spec.template:
        generation += 1
    new.metadata.annotations[TEMPLATE_GENERATION] = str(generation)


def _template_generation(obj: DaemonSet) -> int:
    text = obj.metadata.annotations.get(TEMPLATE_GENERATION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def update_deployment_status(new: Deployment, old: Deployment) -> None:
    """Labels are not the status's."""
    new.metadata.labels = old.metadata.labels


def create_stateful_set(obj: StatefulSet, now: str) -> None:
    """The wire form always says how many are available."""
    obj.status.available_replicas = 0


def create_disruption_budget(obj: PodDisruptionBudget, now: str) -> None:
    """The wire form always has the counters."""
    obj.status = PodDisruptionBudgetStatus(current_healthy=0, desired_healthy=0, disruptions_allowed=0, expected_pods=0)
