"""The status of a ResourceQuota. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from tiphys.api.quota import Amounts, rendered
from tiphys.api.types.core_v1 import ResourceQuota, ResourceQuotaStatus


def total(parts: Iterable[Amounts]) -> Amounts:
    """The sum of amounts."""
    found: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found.get(name, Fraction(0)) + amount
    return found


def status(quota: ResourceQuota, used: Amounts) -> ResourceQuotaStatus:
    """What is used of each limited resource; limits as asked for."""
    return ResourceQuotaStatus(
        hard=dict(quota.spec.hard),
        used={name: rendered(used.get(name, Fraction(0)), limit) for name, limit in sorted(quota.spec.hard.items())},
    )
