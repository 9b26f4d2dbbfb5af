"""Workers on demand: tasks that come with the work and end with it, and miss none in the moment in which they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tiphys.base.logging import get_logger

_logger = get_logger(__name__)


class Workers:
    """Awaits ``step()`` while ``pending()`` is true, in at most `limit` tasks at a time; idle, there is no task.

        idle ──wake──► working ──pending() is false──► idle
                          └─ pending() is true: step() ─┘

    The owner keeps what there is to do, and calls `wake` after each addition. A step takes its share of it before
    it awaits or fails: what it raises is logged, and the next step is made. Work that is there when a worker has
    looked for the last time belongs to the next `wake`: a worker counts no longer from that look on, and not from
    when its task is known to be over. Of the event loop's thread only; needs a running loop from the first `wake`.
    """

    __slots__ = ("_limit", "_name", "_pending", "_step", "_tasks")

    def __init__(
        self, name: str, pending: Callable[[], object], step: Callable[[], Awaitable[None]], *, limit: int = 1
    ) -> None:
        self._name = name
        self._pending = pending
        self._step = step
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many work now."""
        return len(self._tasks)

    def wake(self) -> None:
        """There is work: one more works on it, unless `limit` do."""
        if len(self._tasks) < self._limit:
            task = asyncio.get_running_loop().create_task(self._work(), name=self._name)
            self._tasks.add(task)
            # For one that is cancelled before it begins; the others have taken themselves out.
            task.add_done_callback(self._tasks.discard)

    async def wait_idle(self) -> None:
        """Return when nobody works; who waits may be cancelled, the workers are not."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Let those who work go on for at most `grace_seconds`, then cancel and await them. Idempotent.

        What they leave undone stays with the owner; a later `wake` begins anew.
        """
        if self._tasks and grace_seconds > 0:
            await asyncio.wait(list(self._tasks), timeout=grace_seconds)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _work(self) -> None:
        try:
            while self._pending():
                try:
                    await self._step()
                except Exception:
                    _logger.exception("work failed", worker=self._name)
        finally:
            # No await since the last look: nothing can have come in between.
            if (task := asyncio.current_task()) is not None:
                self._tasks.discard(task)
