"""Slow start: do a few of many equal things first, so that a refusal costs one request and not hundreds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

INITIAL_BATCH: Final = 1


async def slow_start(
    count: int, act: Callable[[int], Awaitable[None]], *, initial: int = INITIAL_BATCH
) -> tuple[int, BaseException | None]:
    """Call ``act(0) … act(count - 1)`` in batches of 1, 2, 4, … at once each; stop after a batch with a failure.

    Returns how many succeeded and the first failure.
    """
    done = 0
    position = 0
    size = min(count, initial)
    while size > 0:
        results = await asyncio.gather(*(act(position + n) for n in range(size)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        done += size - len(failures)
        if failures:
            return done, failures[0]
        position += size
        size = min(2 * size, count - position)
    return done, None


async def all_at_once(
    acts: list[Callable[[], Awaitable[None]]],
) -> BaseException | None:
    """Run all; returns the first failure."""
    results = await asyncio.gather(*(act() for act in acts), return_exceptions=True)
    return next((result for result in results if isinstance(result, BaseException)), None)
