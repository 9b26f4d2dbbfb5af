"""Pools of integers that owners claim: addresses of a network, ports of a range."""

from __future__ import annotations

import random
from typing import Final

MINIMUM_STATIC: Final = 16
MAXIMUM_STATIC: Final = 256
_TRIES: Final = 32


class Taken(Exception):
    """Another owner has the value."""


class OutOfRange(Exception):
    """The value is not the pool's to give."""


class Full(Exception):
    """Every value has an owner."""


class Pool:
    """The integers `first` to `last`, each with at most one owner.

    Values chosen by the pool come from above the first `static` ones while there are any, so that clients who choose
    theirs by hand find room at the low end.
    """

    def __init__(self, first: int, last: int, *, static: int | None = None, rng: random.Random | None = None) -> None:
        size = last - first + 1
        self.first = first
        self.last = last
        self._static = min(max(MINIMUM_STATIC, size // 16), MAXIMUM_STATIC) if static is None else static
        if self._static >= size:
            self._static = 0
        self._owners: dict[int, str] = {}
        self._rng = rng or random.Random()

    def __contains__(self, value: int) -> bool:
        return value in self._owners

    def claim(self, value: int, owner: str) -> bool:
        """Give `value` to `owner`; False if it has it already. Raises Taken or OutOfRange."""
        if not self.first <= value <= self.last:
            raise OutOfRange(value)
        current = self._owners.get(value)
        if current is not None and current != owner:
            raise Taken(value)
        self._owners[value] = owner
        return current is None

    def owner(self, value: int) -> str | None:
        """Who has `value`."""
        return self._owners.get(value)

    def assign(self, value: int, owner: str) -> None:
        """Record what is committed, whoever had it."""
        if self.first <= value <= self.last:
            self._owners[value] = owner

    def choose(self, owner: str) -> int:
        """Give `owner` some free value. Raises Full."""
        for low, high in ((self.first + self._static, self.last), (self.first, self.first + self._static - 1)):
            value = self._free(low, high)
            if value is not None:
                self._owners[value] = owner
                return value
        raise Full

    def release(self, value: int, owner: str) -> None:
        """Take `value` back if it is `owner`'s."""
        if self._owners.get(value) == owner:
            del self._owners[value]

    def _free(self, low: int, high: int) -> int | None:
        if high < low:
            return None
        for _ in range(_TRIES):
            value = self._rng.randint(low, high)
            if value not in self._owners:
                return value
        return next((value for value in range(low, high + 1) if value not in self._owners), None)
