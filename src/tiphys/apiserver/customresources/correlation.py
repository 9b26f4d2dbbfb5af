"""A value beside the one that it replaces: whether it is the same, found out once and only if asked."""

from __future__ import annotations

from typing import Any


class Correlated:
    """`new` where `old` was. The same means deeply equal."""

    __slots__ = ("_is_same", "new", "old")

    def __init__(self, new: Any, old: Any) -> None:
        self.new = new
        self.old = old
        self._is_same: bool | None = None

    def member(self, name: str) -> Correlated | None:
        """A member beside its old form; None if there was none."""
        if not isinstance(self.new, dict) or not isinstance(self.old, dict) or self.old.get(name) is None:
            return None
        return Correlated(self.new.get(name), self.old[name])

    @property
    def is_same(self) -> bool:
        if self._is_same is None:
            self._is_same = bool(self.new == self.old)
        return self._is_same
