"""An event loop whose time passes only when nothing is left to do: hours in milliseconds, in a fixed order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_SECONDS = 1_700_000_000.0
"""Wall-clock time at the start of every run."""


class Stuck(Exception):
    """Everything waits and no timer is set: nothing will ever happen again."""


class _Selector(selectors.SelectSelector):
    """Never blocks: waiting advances the loop's time instead. Other threads' wake-ups are seen at the next look."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck("no task can run and no timer is set")
        # A tick more than asked for, lest rounding leave the timer just short of due.
        self.now += timeout + 1e-9 if timeout > 0 else 0.0
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Timers fire in order of their time, at once. For code without sockets and threads."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class VirtualClock:
    """A `Clock` on the running loop's time."""

    def now(self) -> float:
        return EPOCH_SECONDS + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in virtual time. Raises Stuck when it can never end."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
