"""PodDisruptionBudgets as preemption sees them: it heeds them where it can."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.selectors import from_label_selector
from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.scheduler.framework import Disruption
from tiphys.scheduler.template import PodInfo


def disruption(budget: PodDisruptionBudget) -> Disruption:
    """The pods a budget is about, how many may go, and which are counted as gone."""
    namespace, selector = budget.metadata.namespace, from_label_selector(budget.spec.selector)

    def covers(info: PodInfo) -> bool:
        return info.key[0] == namespace and selector.matches(info.template.labels)

    status = budget.status
    return Disruption(covers, status.disruptions_allowed or 0, frozenset(status.disrupted_pods))


class DisruptionBudgets:
    """Remembers what was made of each budget, so that a decision costs nothing for those that stay as they are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[PodDisruptionBudget, Disruption]] = {}

    def of(self, budgets: Iterable[PodDisruptionBudget]) -> list[Disruption]:
        """Of those that select something: as upstream, preemption takes no notice of budgets for all of a namespace."""
        known: dict[str, tuple[PodDisruptionBudget, Disruption]] = {}
        for budget in budgets:
            selector = budget.spec.selector
            if selector is None or not (selector.match_labels or selector.match_expressions):
                continue
            key = f"{budget.metadata.namespace}/{budget.metadata.name}"
            before = self._known.get(key)
            same = before is not None and before[0] is budget
            known[key] = before if before is not None and same else (budget, disruption(budget))
        self._known = known
        return [made for _, made in known.values()]
