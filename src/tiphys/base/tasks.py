"""Supervision of asyncio tasks: nothing runs unowned, a crashed loop is restarted with backoff, exit cancels all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger

_STABLE_SECONDS = 30.0
_logger = get_logger(__name__)


class Supervisor:
    """Owns a component's tasks: ``async with Supervisor("kubelet") as s: s.spawn(loop); await s.wait()``.

    Leaving the block cancels every task and waits for it. A loop spawned with `spawn` that raises is logged and run
    again after a growing delay; one that returns is finished. `start` owns a one-off task: its failure is logged.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def __aenter__(self) -> Supervisor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def spawn(self, loop: Callable[[], Awaitable[Any]], name: str) -> asyncio.Task[None]:
        """Run ``loop()`` until it returns, again after a crash; `name` shows in logs and task lists."""
        return self._own(self._keep_running(loop, name), name)

    def start(self, work: Awaitable[Any], name: str) -> asyncio.Task[None]:
        """Own one task; an exception is logged, not raised."""
        return self._own(self._run_once(work, name), name)

    async def wait(self) -> None:
        """Return when every owned task has finished (loops usually never do). Cancel-safe."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Cancel all tasks and wait for them; idempotent."""
        self._closing = True
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _own(self, work: Any, name: str) -> asyncio.Task[None]:
        if self._closing:
            work.close()
            raise RuntimeError(f"{self.name} is closing: cannot start {name}")
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep_running(self, loop: Callable[[], Awaitable[Any]], name: str) -> None:
        backoff = Backoff(initial_seconds=0.1, maximum_seconds=30.0)
        clock = asyncio.get_running_loop()
        while True:
            started = clock.time()
            try:
                await loop()
                return
            except Exception:
                if clock.time() - started > _STABLE_SECONDS:
                    backoff.reset()
                delay_seconds = backoff.next_seconds()
                _logger.exception("loop crashed; it runs again", loop=f"{self.name}/{name}", in_seconds=delay_seconds)
                await asyncio.sleep(delay_seconds)

    async def _run_once(self, work: Awaitable[Any], name: str) -> None:
        try:
            await work
        except Exception:
            _logger.exception("task failed", task=f"{self.name}/{name}")
