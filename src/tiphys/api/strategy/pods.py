"""Pods: the status they start with, selectors completed from their own labels, gates."""

from __future__ import annotations

from typing import Final

from tiphys.api.strategy.qos import qos_class
from tiphys.api.types.core_v1 import Pod, PodAffinityTerm, PodCondition, PodStatus, TopologySpreadConstraint
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement

PENDING: Final = "Pending"
GATED: Final = "SchedulingGated"


def create(pod: Pod, now: str) -> None:
    """A new Pod is pending; it is gated if it has scheduling gates."""
    spec = pod.spec
    pod.status = PodStatus(phase=PENDING, qos_class=qos_class(spec))
    if spec.scheduling_gates:
        pod.status.conditions = (
            PodCondition(
                type="PodScheduled",
                status="False",
                reason=GATED,
                message="Scheduling is blocked due to non-empty scheduling gates",
            ),
        )
    labels = pod.metadata.labels
    if labels:
        for constraint in spec.topology_spread_constraints:
            _complete_constraint(constraint, labels)
        if spec.affinity is not None:
            for affinity in (spec.affinity.pod_affinity, spec.affinity.pod_anti_affinity):
                if affinity is not None:
                    for term in affinity.required_during_scheduling_ignored_during_execution:
                        _complete_term(term, labels)
                    for weighted in affinity.preferred_during_scheduling_ignored_during_execution:
                        _complete_term(weighted.pod_affinity_term, labels)


def status_update(new: Pod, old: Pod) -> None:
    """Owners and deletion are not the status's; the class a pod was created with stays."""
    new.metadata.owner_references = old.metadata.owner_references
    new.metadata.deletion_timestamp = old.metadata.deletion_timestamp
    if not new.status.qos_class:
        new.status.qos_class = old.status.qos_class or qos_class(old.spec)


def _complete_term(term: PodAffinityTerm, labels: dict[str, str]) -> None:
    if term.label_selector is None:
        return
    term.label_selector = _completed(term.label_selector, term.match_label_keys, "In", labels)
    term.label_selector = _completed(term.label_selector, term.mismatch_label_keys, "NotIn", labels)


def _complete_constraint(constraint: TopologySpreadConstraint, labels: dict[str, str]) -> None:
    if constraint.label_selector is not None:
        constraint.label_selector = _completed(constraint.label_selector, constraint.match_label_keys, "In", labels)


def _completed(selector: LabelSelector, keys: tuple[str, ...], operator: str, labels: dict[str, str]) -> LabelSelector:
    added = tuple(
        LabelSelectorRequirement(key=key, operator=operator, values=(labels[key],)) for key in keys if key in labels
    )
    if not added:
        return selector
    return LabelSelector(match_labels=selector.match_labels, match_expressions=(*selector.match_expressions, *added))
