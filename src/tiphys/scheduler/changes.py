"""Waits until something is so that watches tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tiphys.base.clock import Clock


class Changes:
    """Wakes who waits, at every change; most of the time nobody does."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def happened(self) -> None:
        """Something changed."""
        for event in self._waiting:
            event.set()

    async def until(self, condition: Callable[[], bool], clock: Clock, timeout_seconds: float) -> None:
        """Return when the condition holds; it is asked at every change. Raises TimeoutError, and what it raises."""
        timer = asyncio.ensure_future(clock.sleep(timeout_seconds))
        try:
            with self._event() as event:
                while not condition():
                    event.clear()
                    changed = asyncio.ensure_future(event.wait())
                    try:
                        await asyncio.wait((timer, changed), return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        changed.cancel()
                    if timer.done():
                        raise TimeoutError
        finally:
            timer.cancel()

    @contextmanager
    def _event(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)
