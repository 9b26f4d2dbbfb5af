"""Numbers and percentages of replicas. Pure."""

from __future__ import annotations


def resolve(value: int | str | None, total: int, *, round_up: bool, default: int = 0) -> int:
    """An IntOrString of `total`: ``3`` is 3, ``"25%"`` a quarter, rounded as asked. A malformed one counts as 0."""
    if value is None:
        return default
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    if digits == value or not digits.isdigit():
        return 0
    scaled = int(digits) * total
    return -(-scaled // 100) if round_up else scaled // 100


def fenceposts(max_surge: int | str | None, max_unavailable: int | str | None, desired: int) -> tuple[int, int]:
    """(surge, unavailable) as numbers of pods; never both 0, for then nothing could be replaced."""
    surge = resolve(max_surge, desired, round_up=True)
    unavailable = resolve(max_unavailable, desired, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable
