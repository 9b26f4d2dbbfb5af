"""What removing pods from a node frees, said in numbers.

Most filters that a removal can help are bounds: each pod on the node uses up some of what there is, be it memory, a
host port, or the tolerance of those that want to be alone. So many nodes' removals are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from tiphys.scheduler.arrays import Bools, Ints
from tiphys.scheduler.template import Template

HOPELESS: Final = -(1 << 40)
"""What is free where removing pods does not help."""
PLENTY: Final = 1 << 40


class Limit(NamedTuple):
    """A filter passes a node exactly where all its limits have at least 0 free."""

    reason: str
    """Upstream's words where it does not pass."""
    free: Callable[[Ints], Ints]
    """Of each row what is left with the pod itself counted."""
    weigh: Callable[[Template], int]
    """By how much more that is if a pod of the template leaves the node. Negative: the pod is needed there."""
    counted: Bools | None = None
    """By row whether pods there count; None: all do."""
    terminating: bool = True
    """Whether pods that are being deleted count."""


class Limits(NamedTuple):
    """All that removing pods can change for a pod of one template."""

    columns: Ints
    """Resource columns, with the `amounts` that must be free in each."""
    amounts: Ints
    before: tuple[Limit, ...]
    """The limits of filters asked before that for resources."""
    after: tuple[Limit, ...]
    bits: int
    """Which filters these are: see Evaluation."""

    @property
    def others(self) -> tuple[Limit, ...]:
        """All but the resources."""
        return (*self.before, *self.after)
