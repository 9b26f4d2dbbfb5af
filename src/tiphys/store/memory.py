"""A store in this process's memory: tests, simulation, `tiphys up --hollow`. As durable as the process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from typing import NamedTuple

from msgspec.structs import replace

from tiphys.base.clock import Clock, SystemClock
from tiphys.base.tasks import Supervisor
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
)
from tiphys.store.keyspace import Keyspace
from tiphys.store.upkeep import Compactor, Expiry, Retention
from tiphys.store.watch import WatchHub


class _Change(NamedTuple):
    event: Event
    before: KeyValue | None


class MemoryBackend:
    """`Backend` without a disk: every write commits at once, in the call."""

    def __init__(self, *, clock: Clock | None = None, retention: Retention | None = None) -> None:
        self._clock = clock or SystemClock()
        self._retention = retention or Retention()
        self._keys = Keyspace()
        self._hub = WatchHub(self._read_history)
        self._hub.revision = FIRST_REVISION
        self._log: list[_Change] = []
        self._log_revisions: list[int] = []
        self._compacted = 0
        self._supervisor = Supervisor("store")
        self._open = False

    async def start(self) -> None:
        self._expiry = Expiry(lambda key, revision: self.delete(key, expected=revision), self._clock)
        self._compactor = Compactor(self.compact, lambda: self.revision, self._retention, self._clock)
        self._supervisor.spawn(self._expiry.run, "expiry")
        self._supervisor.spawn(self._compactor.run, "compactor")
        self._open = True

    async def close(self) -> None:
        self._open = False
        self._hub.close()
        await self._supervisor.close()

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
        past: dict[str, KeyValue] = {item.key: item for item in self._keys.page(prefix, limit=0, after="").items}
        for change in reversed(self._log[bisect_right(self._log_revisions, revision) :]):
            if not change.event.key.startswith(prefix):
                continue
            if change.before is None:
                past.pop(change.event.key, None)
            else:
                past[change.event.key] = change.before
        items = [past[key] for key in sorted(past) if key > after]
        page = items[:limit] if limit else items
        return Page(page, revision, len(items) - len(page))

    async def put(
        self, key: str, head: bytes, tail: bytes, *, expected: int | None, ttl_seconds: float | None = None
    ) -> KeyValue:
        before = self._check(key, expected)
        revision = self._keys.revision + 1
        value = b"%b%d%b" % (head, revision, tail)
        item = KeyValue(key, value, before.create_revision if before else revision, revision)
        self._keys.set(item)
        self._commit(Event(PUT, key, value, before.value if before else None, revision, before is None), before)
        if ttl_seconds is not None:
            self._expiry.add(key, revision, self._clock.now() + ttl_seconds)
        return item

    async def delete(self, key: str, *, expected: int | None) -> KeyValue:
        before = self._check(key, expected)
        if before is None:
            raise RevisionMismatch(key, expected, None)
        revision = self._keys.revision + 1
        self._keys.remove(key)
        self._commit(Event(DELETE, key, b"", before.value, revision, False), before)
        return replace(before, mod_revision=revision)

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Events]:
        return self._hub.watch(prefix, after_revision)

    async def compact(self, revision: int) -> None:
        revision = min(revision, self.revision)
        if revision > self._compacted:
            self._compacted = revision
            kept = bisect_right(self._log_revisions, revision)
            del self._log[:kept]
            del self._log_revisions[:kept]

    def _check(self, key: str, expected: int | None) -> KeyValue | None:
        if not self._open:
            raise StoreClosed("the store is not open")
        current = self._keys.get(key)
        if expected is not None and expected != (current.mod_revision if current else 0):
            raise RevisionMismatch(key, expected, current)
        return current

    def _commit(self, event: Event, before: KeyValue | None) -> None:
        self._keys.revision = event.revision
        self._log.append(_Change(event, before))
        self._log_revisions.append(event.revision)
        self._hub.publish([event], event.revision)
        self._compactor.wrote(len(event.value))

    async def _read_history(self, prefix: str, after: int, up_to: int, limit: int) -> Events:
        if after < self._compacted:
            raise Compacted(self._compacted)
        start = bisect_right(self._log_revisions, after)
        end = bisect_left(self._log_revisions, up_to + 1)
        events: Events = []
        for index in range(start, end):
            event = self._log[index].event
            if event.key.startswith(prefix):
                events.append(event)
                if len(events) == limit:
                    break
        return events
