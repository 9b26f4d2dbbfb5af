"""The status of a ResourceQuota. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import ResourceQuota, ResourceQuotaStatus
from tiphys.controllers.resourcequota.usage import Amounts


def total(parts: Iterable[Amounts]) -> Amounts:
    """The sum of amounts."""
    found: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = found.get(name, Fraction(0)) + amount
    return found


def rendered(amount: Fraction, like: Quantity) -> Quantity:
    """An amount in the notation of `like`: binary suffixes where that has one."""
    if amount.denominator != 1:
        return Quantity(f"{int(amount * 10**9)}n")
    whole = int(amount)
    if like.endswith("i") and whole % 1024 == 0 and whole:
        return Quantity(f"{whole // 1024}Ki")
    return Quantity(str(whole))


def status(quota: ResourceQuota, used: Amounts) -> ResourceQuotaStatus:
    """What is used of each limited resource; limits as asked for."""
    return ResourceQuotaStatus(
        hard=dict(quota.spec.hard),
        used={name: rendered(used.get(name, Fraction(0)), limit) for name, limit in sorted(quota.spec.hard.items())},
    )
