"""The live keys of an etcd cluster, kept in memory by one watch; what reads and watches are served from.

    load (pages of one revision) ──► follow (watch from the next) ──stream ends──► follow from where it was
                                                  └──history compacted meanwhile──► load, and publish the differences

All keys of the cluster are watched, since then every revision arrives and `seen` tells how far the mirror is; those
outside `root` only count.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

from msgspec.structs import replace

from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.store import etcd_values
from tiphys.store.backend import DELETE, PUT, Compacted, Event, Events, StoreClosed, StoreError
from tiphys.store.etcd_client import EtcdClient, EtcdUnavailable, Watch
from tiphys.store.etcd_wire import ALL_KEYS, EVENT_DELETE
from tiphys.store.keyspace import Keyspace
from tiphys.store.watch import WatchHub

_PAGE_KEYS: Final = 2000
RESTORING: Final = b"tiphys/restoring"
"""The key that stands in etcd while a snapshot is being restored: no apiserver serves then."""
UNDER_RESTORE: Final = (
    "a snapshot is being restored into etcd; if that was interrupted, `tiphys snapshot restore` completes it"
)
_logger = get_logger(__name__)


class EtcdMirror:
    """`keys` and `hub` are as of `keys.revision`, the newest change under the root; `seen` is the whole cluster's."""

    def __init__(self, client: EtcdClient, prefix: str, root: str, on_put: Callable[[etcd_values.Kept], None]) -> None:
        self.keys = Keyspace()
        self.hub = WatchHub(self._read_history)
        self.seen = 0
        self.compacted = 0
        self._client = client
        self._prefix = prefix
        self._root = root
        self._on_put = on_put
        self._stream: Watch | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waited = 0
        self._cluster = 0
        self.broken = ""
        self.failure: asyncio.Future[str]

    def physical(self, key: str) -> bytes:
        """The key in etcd."""
        return (self._prefix + key).encode()

    async def load(self) -> None:
        """Fill the empty mirror; raises EtcdUnavailable, also while a snapshot is being restored."""
        self.failure = asyncio.get_running_loop().create_future()
        answer = await self._client.read(key=RESTORING, count_only=True)
        if answer.count:
            raise EtcdUnavailable(UNDER_RESTORE)
        self._cluster = answer.header.cluster_id
        revision, items = await self.read_all()
        for kept in items:
            self.keys.set(kept.item)
            self._on_put(kept)
        self.keys.revision = self.hub.revision = revision
        self._advance(revision)

    async def follow(self) -> None:
        """Keep up with the cluster until cancelled, through failures of its members."""
        backoff = Backoff(initial_seconds=0.05, maximum_seconds=2.0)
        while True:
            try:
                await self._follow_once(backoff)
            except EtcdUnavailable as error:
                delay_seconds = backoff.next_seconds()
                _logger.warning("the watch of etcd broke", error=str(error), again_in_seconds=delay_seconds)
                await asyncio.sleep(delay_seconds)

    async def wait_for(self, revision: int, seconds: float) -> bool:
        """Wait until `seen` reaches `revision`. False after `seconds`: the watch is taken for dead and made anew.

        Only one that was there all the time: a new one gets its time as well.
        """
        if self.seen >= revision:
            return True
        stream = self._stream
        self._waited += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, self._waited, future))
        try:
            await asyncio.wait_for(future, seconds)
        except TimeoutError:
            if stream is not None and self._stream is stream:
                stream.cut()
            return False
        return True

    def close(self) -> None:
        """Wake everybody who waits."""
        self.hub.close()
        for _, _, future in self._waiting:
            if not future.done():
                future.set_exception(StoreClosed("the store is closed"))
        self._waiting.clear()

    async def _follow_once(self, backoff: Backoff) -> None:
        # Of a quorum, for a member may be behind.
        answer = await self._client.read(key=RESTORING, count_only=True)
        revision, cluster = answer.header.revision, answer.header.cluster_id
        if revision < self.seen or cluster != self._cluster:
            was = f"{self._cluster:x} was at {self.seen}"
            self._fail(f"etcd {cluster:x} is at revision {revision}, {was}: its data was replaced")
        if answer.count:
            self._fail(UNDER_RESTORE)
        async with self._client.watch(self.seen + 1, key=ALL_KEYS, range_end=ALL_KEYS, previous=False) as stream:
            self._stream = stream
            try:
                while True:
                    answer = await stream.next()
                    if answer.canceled:
                        if not answer.compact_revision:
                            raise EtcdUnavailable(f"etcd ended the watch: {answer.cancel_reason}")
                        await self._reload(answer.compact_revision)
                        return
                    if answer.events:
                        self._apply(answer.events)
                    backoff.reset()
            finally:
                self._stream = None

    def _fail(self, why: str) -> None:
        """What clients have been told is void, and only a fresh process can say so to them."""
        self.broken = why
        self.hub.close()
        if not self.failure.done():
            self.failure.set_result(why)
        raise StoreError(why)

    def _apply(self, changes: Iterable[Any]) -> None:
        events: Events = []
        revision = self.seen
        for change in changes:
            kv = change.kv
            revision = kv.mod_revision
            if kv.key == RESTORING:
                self._fail(UNDER_RESTORE)
            key = self.logical(kv.key)
            if key is None or revision <= self.keys.revision:
                continue
            before = self.keys.get(key)
            if change.type == EVENT_DELETE:
                if before is not None:
                    self.keys.remove(key)
                    events.append(Event(DELETE, key, b"", before.value, revision, False))
                continue
            kept = etcd_values.read(key, kv)
            self.keys.set(kept.item)
            self._on_put(kept)
            previous = before.value if before else None
            events.append(Event(PUT, key, kept.item.value, previous, revision, before is None))
        self._publish(events, revision)

    def _publish(self, events: Events, seen: int) -> None:
        if events:
            self.keys.revision = events[-1].revision
            self.hub.publish(events, events[-1].revision)
        self._advance(seen)

    def _advance(self, revision: int) -> None:
        self.seen = max(self.seen, revision)
        while self._waiting and self._waiting[0][0] <= self.seen:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def _reload(self, compacted: int) -> None:
        """The history between is gone: publish what differs, in the order of its newest change."""
        self.compacted = max(self.compacted, compacted)
        revision, items = await self.read_all()
        changes: list[Event] = []
        present = set()
        for kept in items:
            item = kept.item
            present.add(item.key)
            before = self.keys.get(item.key)
            if before is not None and before.create_revision != item.create_revision:
                # Another object of the same name: who follows the one must hear that it is gone.
                changes.append(Event(DELETE, item.key, b"", before.value, item.create_revision - 1, False))
                before = None
            if before is None or before.mod_revision != item.mod_revision:
                self._on_put(kept)
                previous = before.value if before else None
                changes.append(Event(PUT, item.key, item.value, previous, item.mod_revision, before is None))
                self.keys.set(item)
        for item in self.keys.page("", limit=0, after="").items:
            if item.key not in present:
                self.keys.remove(item.key)
                changes.append(Event(DELETE, item.key, b"", item.value, revision, False))
        self._publish(_each_with_its_own(changes), revision)

    async def read_all(self) -> tuple[int, list[etcd_values.Kept]]:
        start, end = self.physical(self._root), _end_of(self.physical(self._root))
        items: list[etcd_values.Kept] = []
        revision, key = 0, start
        while True:
            page = await self._client.read(key=key, range_end=end, limit=_PAGE_KEYS, revision=revision)
            revision = revision or page.header.revision
            for kv in page.kvs:
                logical = self.logical(kv.key)
                if logical is not None:
                    items.append(etcd_values.read(logical, kv))
            if not page.more:
                return revision, items
            key = page.kvs[-1].key + b"\0"

    async def _read_history(self, prefix: str, after: int, up_to: int, limit: int) -> Events:
        """Every revision is some key's, so a watch of all keys ends at `up_to` for certain."""
        if after < self.compacted:
            raise Compacted(self.compacted)
        events: Events = []
        async with aclosing(self._history(after)) as history:
            async for event in history:
                if event.revision > up_to:
                    break
                if event.key.startswith(prefix):
                    events.append(event)
                if len(events) == limit or event.revision == up_to:
                    break
        return events

    async def _history(self, after: int) -> AsyncGenerator[Event, None]:
        async with self._client.watch(after + 1, key=ALL_KEYS, range_end=ALL_KEYS, previous=True) as stream:
            while True:
                answer = await stream.next()
                if answer.compact_revision:
                    self.compacted = max(self.compacted, answer.compact_revision)
                    raise Compacted(self.compacted)
                if answer.canceled:
                    raise EtcdUnavailable(f"etcd ended the watch: {answer.cancel_reason}")
                for change in answer.events:
                    yield self._past(change)

    def _past(self, change: Any) -> Event:
        kv, before = change.kv, change.prev_kv
        key = self.logical(kv.key) or ""
        previous = etcd_values.read(key, before).item.value if before.mod_revision else None
        if change.type == EVENT_DELETE:
            return Event(DELETE, key, b"", previous, kv.mod_revision, False)
        item = etcd_values.read(key, kv).item
        return Event(PUT, key, item.value, previous, kv.mod_revision, kv.create_revision == kv.mod_revision)

    def logical(self, key: bytes) -> str | None:
        """The store's own key; None for one that is not ours."""
        text = key.decode(errors="replace")
        if not text.startswith(self._prefix):
            return None
        logical = text[len(self._prefix) :]
        return logical if logical.startswith(self._root) else None


def _end_of(prefix: bytes) -> bytes:
    """The first key after all that start with `prefix`."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))


def _each_with_its_own(changes: list[Event]) -> Events:
    """The changes in order, no two of one revision, or who resumes between the two would miss the second.

    When something was deleted is not known, only that its revision is no other change's: the newest one that is free.
    """
    taken = {change.revision for change in changes if change.type is PUT}
    events = [change for change in changes if change.type is PUT]
    free = 0
    for change in sorted((c for c in changes if c.type is DELETE), key=lambda c: c.revision, reverse=True):
        free = min(free, change.revision) if free else change.revision
        while free in taken:
            free -= 1
        taken.add(free)
        events.append(replace(change, revision=free))
    return sorted(events, key=lambda event: event.revision)
