"""The rules of an aggregated ClusterRole. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api import codec
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.rbac_v1 import ClusterRole, PolicyRule


def aggregated(role: ClusterRole, roles: Iterable[ClusterRole]) -> tuple[PolicyRule, ...] | None:
    """The rules `role` should have, each once, ordered by the roles' names; None if it aggregates nothing."""
    if role.aggregation_rule is None:
        return None
    ordered = sorted(roles, key=lambda r: r.metadata.name or "")
    found: dict[bytes, PolicyRule] = {}
    for wanted in role.aggregation_rule.cluster_role_selectors:
        selector = from_label_selector(wanted)
        for other in ordered:
            if other.metadata.name != role.metadata.name and selector.matches(other.metadata.labels):
                for rule in other.rules:
                    found.setdefault(codec.encode(rule), rule)
    return tuple(found.values())
