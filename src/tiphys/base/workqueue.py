"""A queue of keys for control loops: deduplicated, fair, delayed, rate limited.

State of a key: waiting (dirty, in the queue), processing, or both (changed while processed: queued again by `done`).

    add ──► waiting ──get──► processing ──done──► gone
                ▲                │add
                └────done────────┘ (dirty while processing)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from tiphys.base.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class ShutDown(Exception):
    """The queue is shut down and drained: the worker should return."""


class WorkQueue(Generic[K]):
    """Keys to work on. A key is never handed to two workers at once; adds while it is processed are kept.

    Rate limiting is per key: `add_rate_limited` waits longer after each failure until `forget`. Single event loop only.
    """

    def __init__(self, *, initial_seconds: float = 0.005, maximum_seconds: float = 60.0) -> None:
        self._initial_seconds = initial_seconds
        self._maximum_seconds = maximum_seconds
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, Backoff] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False

    def __len__(self) -> int:
        """Keys waiting now; delayed ones not counted."""
        return len(self._queue)

    def add(self, key: K) -> None:
        """Queue `key` unless it waits already."""
        if self._shut_down or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Queue `key` after `seconds`; of several delays for one key the earliest holds."""
        if self._shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= due:
                return
            pending.cancel()
        self._timers[key] = loop.call_at(due, self._due, key)

    def add_rate_limited(self, key: K) -> float:
        """Queue `key` after its backoff, which grows with each call until `forget`; returns the delay in seconds."""
        backoff = self._failures.get(key)
        if backoff is None:
            backoff = self._failures[key] = Backoff(self._initial_seconds, 2.0, self._maximum_seconds, jitter=0.0)
        seconds = backoff.next_seconds()
        self.add_after(key, seconds)
        return seconds

    def failures(self, key: K) -> int:
        """How many times `key` was rate limited since `forget`."""
        backoff = self._failures.get(key)
        return backoff.failures if backoff else 0

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure waits the initial delay again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, processing until `done(key)`. Raises ShutDown once shut down and empty; cancel-safe."""
        while not self._queue:
            if self._shut_down:
                raise ShutDown
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except BaseException:
                if waiter.done() and not waiter.cancelled() and self._queue:
                    self._wake()
                raise
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        key = self._queue.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: K) -> None:
        """The worker finished with `key`; if it was added meanwhile, it waits again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake()

    def shutdown(self) -> None:
        """Refuse new keys, drop delayed ones, let workers drain the rest and then raise ShutDown in `get`."""
        self._shut_down = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._waiters:
            self._wake()

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
