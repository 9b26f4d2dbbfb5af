"""Exponential backoff with jitter: how long to wait before the n-th retry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tiphys.base.chance import CHANCE


@dataclass(slots=True)
class Backoff:
    """Delays that grow from `initial_seconds` by `factor` up to `maximum_seconds`.

    `jitter` is the largest share added at random (0.1: up to 10% longer). `draw` returns a float in [0, 1).
    """

    initial_seconds: float = 0.1
    factor: float = 2.0
    maximum_seconds: float = 30.0
    jitter: float = 0.1
    draw: Callable[[], float] = CHANCE.random
    failures: int = field(default=0, init=False)

    def next_seconds(self) -> float:
        """The delay before the next try; each call counts one more failure."""
        # The exponent is bounded so that a component that fails for weeks doesn't overflow a float.
        delay = min(self.initial_seconds * self.factor ** min(self.failures, 64), self.maximum_seconds)
        self.failures += 1
        return delay * (1 + self.jitter * self.draw())

    def reset(self) -> None:
        """Forget the failures: the next delay is the initial one."""
        self.failures = 0
