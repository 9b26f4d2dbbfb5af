"""The embedded store: one SQLite file, durable on return, read from memory.

    put ──revision assigned──► in flight ──committed by the writer's thread──► live, published, acknowledged
                                   └──commit failed──► failed, and with it what was built on it

Revisions are assigned on the event loop when a write is submitted, so two writes of one key in flight see each other.
What is in flight is visible to no reader. History (old watches, lists at a past revision) is read from the file on a
thread of its own, which in WAL mode neither waits for the writer nor holds it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from tiphys.base.clock import Clock, SystemClock
from tiphys.base.tasks import Supervisor
from tiphys.store import sqlite_file
from tiphys.store.backend import (
    DELETE,
    FIRST_REVISION,
    PUT,
    Compacted,
    Event,
    Events,
    FutureRevision,
    KeyValue,
    Page,
    RevisionMismatch,
    StoreClosed,
    WriteFailed,
)
from tiphys.store.keyspace import Keyspace
from tiphys.store.sqlite_writer import Write, Writer
from tiphys.store.upkeep import Compactor, Expiry, Retention
from tiphys.store.watch import WatchHub

SCRUB_REVISIONS = 500
SHRINK_PAGES = 500

T = TypeVar("T")


class SqliteBackend:
    """`Backend` on the file at `path` (its folder is made; ``path.lock`` beside it is held while open)."""

    def __init__(self, path: str | Path, *, clock: Clock | None = None, retention: Retention | None = None) -> None:
        self._path = Path(path)
        self._clock = clock or SystemClock()
        self._retention = retention or Retention()
        self._keys = Keyspace()
        self._hub = WatchHub(self._read_events)
        self._compacted = 0
        self._compacting = asyncio.Lock()
        self._assigned = FIRST_REVISION
        self._in_flight: dict[str, Write] = {}
        self._settlements: deque[asyncio.Future[None]] = deque()
        self._supervisor = Supervisor("store")
        self._open = False

    async def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = sqlite_file.FileLock(self._path.with_name(self._path.name + ".lock"))
        self._threads = ThreadPoolExecutor(1, "store-reader")
        self._loop = asyncio.get_running_loop()
        try:
            self._connection = await self._on_reader(sqlite_file.connect, self._path)
            self._reader = await self._on_reader(sqlite_file.connect, self._path)
            loaded = await self._on_reader(sqlite_file.load, self._reader)
        except BaseException:
            self._threads.shutdown(wait=False)
            self._lock.release()
            raise
        for item in loaded.items:
            self._keys.set(item)
        self._keys.revision = self._assigned = self._hub.revision = loaded.revision
        self._compacted = loaded.compacted_revision
        self._expiry = Expiry(lambda key, revision: self.delete(key, expected=revision), self._clock)
        for key, revision, expires_at in loaded.expiries:
            self._expiry.add(key, revision, expires_at)
        self._compactor = Compactor(self.compact, lambda: self.revision, self._retention, self._clock)
        self._writer = Writer(self._connection, self._settle)
        self._writer.start()
        self._supervisor.spawn(self._expiry.run, "expiry")
        self._supervisor.spawn(self._compactor.run, "compactor")
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        await self._supervisor.close()
        async with self._compacting:
            await self._writer.close()
        self._hub.close()
        await self._on_reader(self._reader.close)
        # The last connection to close checkpoints and removes the WAL.
        await self._on_reader(self._connection.close)
        self._threads.shutdown(wait=False)
        self._lock.release()

    @property
    def revision(self) -> int:
        return self._keys.revision

    @property
    def shared(self) -> bool:
        return False

    async def current_revision(self) -> int:
        return self.revision

    @property
    def compacted_revision(self) -> int:
        return self._compacted

    async def get(self, key: str) -> KeyValue | None:
        return self._keys.get(key)

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        if revision > self.revision:
            raise FutureRevision(self.revision)
        if revision in (0, self.revision):
            return self._keys.page(prefix, limit=limit, after=after)
        if revision < self._compacted:
            raise Compacted(self._compacted)
        self._require_open()
        return await self._on_reader(sqlite_file.read_page, self._reader, prefix, revision, limit, after)

    async def put(
        self, key: str, head: bytes, tail: bytes, *, expected: int | None, ttl_seconds: float | None = None
    ) -> KeyValue:
        base, before = await self._expect(key, expected)
        self._assigned = revision = self._assigned + 1
        write = Write(key, b"%b%d%b" % (head, revision, tail), revision, before, base)
        if ttl_seconds is not None:
            write.expires_at = self._clock.now() + ttl_seconds
        await self._submit(write)
        after = write.after()
        assert after is not None
        return after

    async def delete(self, key: str, *, expected: int | None) -> KeyValue:
        base, before = await self._expect(key, expected)
        while before is None:
            # Absent, perhaps only because of a deletion in flight: its outcome decides.
            if base is None:
                raise RevisionMismatch(key, expected, None)
            await self._settled(base)
            base, before = await self._expect(key, expected)
        self._assigned = revision = self._assigned + 1
        await self._submit(Write(key, None, revision, before, base))
        return replace(before, mod_revision=revision)

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Events]:
        return self._hub.watch(prefix, after_revision)

    async def compact(self, revision: int) -> None:
        self._require_open()
        async with self._compacting:
            revision = min(revision, self.revision)
            if revision <= self._compacted:
                return
            try:
                scrubbed: int = await self._writer.run(partial(sqlite_file.begin_compaction, revision=revision))
                self._compacted = revision
                # In chunks, so that writes slip in between.
                while scrubbed < revision:
                    self._require_open()
                    start, end = scrubbed, min(revision, scrubbed + SCRUB_REVISIONS)
                    await self._writer.run(partial(sqlite_file.scrub, after=start, up_to=end))
                    scrubbed = end
                while await self._writer.run(partial(sqlite_file.shrink, pages=SHRINK_PAGES)):
                    pass
            except sqlite3.Error as error:
                raise WriteFailed(f"compaction at {revision}: {error}") from error

    def _require_open(self) -> None:
        if not self._open:
            raise StoreClosed(f"{self._path} is not open")

    async def _expect(self, key: str, expected: int | None) -> tuple[Write | None, KeyValue | None]:
        """What a write of `key` supersedes: the write in flight it builds on, if any, and the state before it."""
        while True:
            self._require_open()
            base = self._in_flight.get(key)
            current = base.after() if base is not None else self._keys.get(key)
            if expected is None or expected == (current.mod_revision if current else 0):
                return base, current
            if base is None:
                raise RevisionMismatch(key, expected, current)
            await self._settled(base)

    async def _submit(self, write: Write) -> None:
        self._in_flight[write.key] = write
        write.done = self._loop.create_future()
        self._writer.submit(write)
        await write.done

    async def _settled(self, write: Write) -> None:
        while self._in_flight.get(write.key) is write:
            settlement: asyncio.Future[None] = self._loop.create_future()
            self._settlements.append(settlement)
            await settlement

    def _settle(self, batch: Sequence[Write]) -> None:
        """A batch has been committed, or failed: publish first, acknowledge after."""
        events: Events = []
        size_bytes = 0
        keys = self._keys
        for write in batch:
            if self._in_flight.get(write.key) is write:
                del self._in_flight[write.key]
            write.base = None
            if write.error is not None:
                continue
            previous = write.previous
            after = write.after()
            if after is None:
                keys.remove(write.key)
                event = Event(DELETE, write.key, b"", previous.value if previous else None, write.revision, False)
            else:
                keys.set(after)
                before = previous.value if previous else None
                event = Event(PUT, write.key, after.value, before, write.revision, previous is None)
                if write.expires_at is not None:
                    self._expiry.add(write.key, write.revision, write.expires_at)
            size_bytes += len(event.value)
            events.append(event)
        if events:
            keys.revision = events[-1].revision
            self._hub.publish(events, keys.revision)
            self._compactor.wrote(size_bytes)
        for write in batch:
            done = write.done
            if done is None or done.done():
                continue
            if write.error is not None:
                done.set_exception(write.error)
            else:
                done.set_result(None)
        for settlement in self._settlements:
            if not settlement.done():
                settlement.set_result(None)
        self._settlements.clear()

    async def _read_events(self, prefix: str, after: int, up_to: int, limit: int) -> Events:
        if after < self._compacted:
            raise Compacted(self._compacted)
        with contextlib.suppress(StoreClosed):
            self._require_open()
            return await self._on_reader(sqlite_file.read_events, self._reader, prefix, after, up_to, limit)
        return []

    async def _on_reader(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._threads, function, *arguments)
