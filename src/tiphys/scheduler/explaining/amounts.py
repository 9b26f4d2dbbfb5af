"""Amounts of a resource as people write them."""

from __future__ import annotations

from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.scheduler.requests import CPU, EPHEMERAL_STORAGE, MEMORY

_MEBI: Final = 1 << 20
_HUGE: Final = "hugepages-"


def text(resource: str, amount: int) -> str:
    """``3500m`` of cpu, ``2Gi`` of memory, ``4`` devices. `amount`: cpu in thousandths, else whole units."""
    if resource == CPU:
        return str(Quantity.of_milli(amount))
    if is_bytes(resource):
        for unit, suffix in ((1 << 30, "Gi"), (_MEBI, "Mi"), (1 << 10, "Ki")):
            if amount % unit == 0 and amount:
                return f"{amount // unit}{suffix}"
    return str(amount)


def readable(resource: str, amount: int) -> str:
    """The same rounded down to what a person reads: ``3.4Gi``. Not for writing into an object."""
    if is_bytes(resource) and amount >= _MEBI:
        unit, suffix = (1 << 30, "Gi") if amount >= 1 << 30 else (_MEBI, "Mi")
        tenths = amount * 10 // unit
        return f"{tenths // 10}{suffix}" if tenths % 10 == 0 else f"{tenths / 10:.1f}{suffix}"
    return text(resource, amount)


def rounded_down(resource: str, amount: int) -> int:
    """The largest amount not over `amount` that one would write: whole mebibytes, whole huge pages."""
    step = unit(resource)
    return amount // step * step if amount >= step or resource.startswith(_HUGE) else amount


def unit(resource: str) -> int:
    """The least difference that one would write: a thousandth of cpu, a mebibyte, a huge page, a device."""
    if resource.startswith(_HUGE):
        return Quantity(resource.removeprefix(_HUGE)).value
    return _MEBI if is_bytes(resource) else 1


def is_bytes(resource: str) -> bool:
    return resource in (MEMORY, EPHEMERAL_STORAGE) or resource.startswith(_HUGE)
