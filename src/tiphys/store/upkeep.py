"""What a store does by itself: delete what expired, forget old history. Both sleep while there is nothing to do."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.store.backend import KeyValue, RevisionMismatch, StoreError

_EXPIRY_BATCH = 500
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept. Compaction starts when either bound is passed."""

    history_seconds: float = 300.0
    """Age: what a watcher that reconnects within this time needs is there."""
    history_bytes: int = 256 << 20
    """Values written since the last compaction, about."""
    kept_revisions: int = 10_000
    """The newest revisions a compaction by size leaves."""


class Expiry:
    """Deletes keys when their time to live is over, at most `sweep_seconds` late."""

    def __init__(
        self, delete: Callable[[str, int], Awaitable[KeyValue]], clock: Clock, sweep_seconds: float = 5.0
    ) -> None:
        self._delete = delete
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self._due: list[tuple[float, str, int]] = []
        self._earlier = asyncio.Event()

    def add(self, key: str, revision: int, expires_at: float) -> None:
        """Delete `key` at `expires_at` (epoch seconds) if its mod_revision is still `revision`."""
        if not self._due or expires_at < self._due[0][0]:
            self._earlier.set()
        heapq.heappush(self._due, (expires_at, key, revision))

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            self._earlier.clear()
            if not self._due:
                await self._earlier.wait()
                continue
            wait_seconds = self._due[0][0] - self._clock.now()
            if wait_seconds > 0:
                await first(self._clock.sleep(max(wait_seconds, self._sweep_seconds)), self._earlier.wait())
                continue
            await self._sweep()

    async def _sweep(self) -> None:
        now = self._clock.now()
        expired: list[tuple[float, str, int]] = []
        while self._due and self._due[0][0] <= now and len(expired) < _EXPIRY_BATCH:
            expired.append(heapq.heappop(self._due))
        outcomes = await asyncio.gather(*(self._delete(key, rev) for _, key, rev in expired), return_exceptions=True)
        for (_, key, revision), outcome in zip(expired, outcomes, strict=True):
            if isinstance(outcome, StoreError) and not isinstance(outcome, RevisionMismatch):
                heapq.heappush(self._due, (now + 2 * self._sweep_seconds, key, revision))


class Compactor:
    """Compacts by age, and by size between times."""

    def __init__(
        self, compact: Callable[[int], Awaitable[None]], revision: Callable[[], int], retention: Retention, clock: Clock
    ) -> None:
        self._compact = compact
        self._revision = revision
        self._retention = retention
        self._clock = clock
        self._marks: deque[tuple[float, int]] = deque()
        self._written = asyncio.Event()
        self._full = asyncio.Event()
        self._bytes = 0

    def wrote(self, size_bytes: int) -> None:
        """Account for committed values."""
        self._bytes += size_bytes
        if not self._written.is_set():
            self._written.set()
        if self._bytes > self._retention.history_bytes:
            self._full.set()

    async def run(self) -> None:
        """Never returns; cancel it."""
        kept_seconds = self._retention.history_seconds
        while True:
            if not self._marks:
                await self._written.wait()
            if self._written.is_set():
                self._written.clear()
                self._marks.append((self._clock.monotonic(), self._revision()))
            await first(self._clock.sleep(kept_seconds / 5), self._full.wait())
            target = 0
            while self._marks and self._marks[0][0] <= self._clock.monotonic() - kept_seconds:
                target = self._marks.popleft()[1]
            if self._full.is_set():
                self._full.clear()
                target = max(target, self._revision() - self._retention.kept_revisions)
            if target > 0:
                await self._run_once(target)

    async def _run_once(self, target: int) -> None:
        self._bytes = 0
        try:
            await self._compact(target)
        except StoreError as error:
            # The next one does this one's work as well.
            _logger.warning("compaction failed", revision=target, error=str(error))


async def first(*waits: Awaitable[object]) -> None:
    """Return when one of `waits` does; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
