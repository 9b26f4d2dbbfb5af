"""The store of a cluster with several control planes: an etcd cluster, read from memory.

    put ──transaction: unchanged since `expected`?──► committed by etcd ──its event arrives──► live, published, answered
                                  └──no answer──► the key is read: it tells what became of the write

Several apiservers may share it. What another one wrote is seen when its event arrives; `current_revision` says how far
a read has to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec.structs import replace

from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.store import etcd_values
from tiphys.store import etcd_wire as wire
from tiphys.store.backend import (
    Compacted,
    Events,
    FutureRevision,
    KeyValue,
    OutcomeUnknown,
    Page,
    RevisionMismatch,
    StoreClosed,
    WriteFailed,
)
from tiphys.store.etcd_client import EtcdClient, EtcdRefused, EtcdTls, EtcdUnavailable
from tiphys.store.etcd_mirror import RESTORING, UNDER_RESTORE, EtcdMirror
from tiphys.store.keyspace import prefix_end
from tiphys.store.turns import Turns
from tiphys.store.upkeep import Compactor, Expiry, Retention

START_SECONDS: Final = 60.0
"""How long `start` waits for an etcd that does not answer yet."""
WRITE_SECONDS: Final = 10.0
"""How long a write is tried, or its outcome looked for, before it is told as unknown."""
SEEN_SECONDS: Final = 2.0
"""How long the event of a committed write may take before the watch is made anew."""
OTHERS_EXPIRY_SECONDS: Final = 30.0
"""What expires is deleted by the apiserver that wrote it; by another one so much later."""
_BLIND_TRIES: Final = 50
_logger = get_logger(__name__)


class EtcdBackend:
    """`Backend` on the etcd cluster at `endpoints` (``https://host:2379``), under the keys that start with `root`.

    `prefix` stands before every key in etcd. Raises EtcdUnavailable from `start` if nothing answers in START_SECONDS.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: EtcdTls | None = None,
        prefix: str = "",
        root: str = "/registry/",
        clock: Clock | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._retention = retention or Retention()
        self._client = EtcdClient(endpoints, tls)
        self._mirror = EtcdMirror(self._client, prefix, root, self._loaded)
        self._turns = Turns()
        self._supervisor = Supervisor("store")
        self._expiry = Expiry(self._expire, self._clock)
        self._compactor = Compactor(self.compact, lambda: self.revision, self._retention, self._clock)
        self._asking: asyncio.Task[int] | None = None
        self._open = False

    async def start(self) -> None:
        self._client.start()
        try:
            await self._load()
        except BaseException:
            await self._client.close()
            raise
        self._supervisor.spawn(self._mirror.follow, "follow")
        self._supervisor.spawn(self._expiry.run, "expiry")
        self._supervisor.spawn(self._compactor.run, "compactor")
        self._open = True

    async def _load(self) -> None:
        backoff = Backoff(initial_seconds=0.1, maximum_seconds=2.0)
        until = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            try:
                return await self._mirror.load()
            except EtcdUnavailable as error:
                if asyncio.get_running_loop().time() > until:
                    raise
                _logger.warning("waiting for etcd", error=str(error))
            await asyncio.sleep(backoff.next_seconds())

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITE_SECONDS):
                await self._turns.none()
        self._mirror.close()
        await self._supervisor.close()
        await self._client.close()

    @property
    def failure(self) -> asyncio.Future[str]:
        """Done, with the reason, when this process must not serve any longer: the data is not what it was."""
        return self._mirror.failure

    @property
    def shared(self) -> bool:
        """Others may write to it as well."""
        return True

    @property
    def revision(self) -> int:
        return self._mirror.keys.revision

    @property
    def compacted_revision(self) -> int:
        return self._mirror.compacted

    async def current_revision(self) -> int:
        """The newest revision in the cluster, once this process has it. Callers at one time share a question."""
        asked = self._asking
        if asked is not None and not asked.done():
            # A question under way may have been answered before our caller asked: one that starts later counts.
            await asyncio.wait((asked,))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        newest = await asyncio.shield(self._asking)
        # The first wait that is too long makes the watch anew, perhaps of another member.
        for seconds in (SEEN_SECONDS, SEEN_SECONDS, WRITE_SECONDS):
            if await self._mirror.wait_for(newest, seconds):
                break
        else:
            raise EtcdUnavailable("the watch of etcd does not keep up")
        return self.revision

    async def _ask(self) -> int:
        answer = await self._client.read(key=b"\0", count_only=True)
        revision: int = answer.header.revision
        return revision

    async def get(self, key: str) -> KeyValue | None:
        return self._mirror.keys.get(key)

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        if revision > self._mirror.seen:
            raise FutureRevision(self.revision)
        if revision in (0, self.revision):
            return self._mirror.keys.page(prefix, limit=limit, after=after)
        if revision < self.compacted_revision:
            raise Compacted(self.compacted_revision)
        self._require_open()
        physical = self._mirror.physical
        start = physical(after) + b"\0" if after >= prefix else physical(prefix)
        try:
            answer = await self._client.read(
                key=start, range_end=physical(prefix_end(prefix)), limit=limit, revision=revision
            )
        except EtcdRefused as error:
            if "compacted" not in str(error):
                raise
            self._mirror.compacted = max(self._mirror.compacted, revision + 1)
            raise Compacted(self._mirror.compacted) from None
        items = [etcd_values.read(self._mirror.logical(kv.key) or "", kv).item for kv in answer.kvs]
        return Page(items, revision, answer.count - len(items))

    async def put(
        self, key: str, head: bytes, tail: bytes, *, expected: int | None, ttl_seconds: float | None = None
    ) -> KeyValue:
        self._require_open()
        expires_at = None if ttl_seconds is None else self._clock.now() + ttl_seconds
        value = etcd_values.raw(head, tail, expires_at)
        operation = wire.MESSAGE["RequestOp"](
            request_put=wire.MESSAGE["PutRequest"](key=self._physical(key), value=value)
        )
        async with self._turns.of(key):
            revision, before = await self._write(key, expected, self._mirror.keys.get(key), operation, value)
        if expires_at is not None:
            self._expiry.add(key, revision, expires_at)
        kept = self._mirror.keys.get(key)
        if kept is not None and kept.mod_revision == revision:
            return kept
        created = before.create_revision if before else revision
        return KeyValue(key, b"%b%d%b" % (head, revision, tail), created, revision)

    async def delete(self, key: str, *, expected: int | None) -> KeyValue:
        self._require_open()
        remove = wire.MESSAGE["DeleteRangeRequest"](key=self._physical(key))
        operation = wire.MESSAGE["RequestOp"](request_delete_range=remove)
        async with self._turns.of(key):
            before = await self._present(key)
            if before is None or expected == 0:
                raise RevisionMismatch(key, expected, before)
            revision, last = await self._write(key, expected, before, operation, None)
        assert last is not None
        return replace(last, mod_revision=revision)

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Events]:
        return self._mirror.hub.watch(prefix, after_revision)

    async def compact(self, revision: int) -> None:
        revision = min(revision, self.revision)
        if revision > self.compacted_revision:
            await self._client.compact(revision)
            self._mirror.compacted = revision

    # -- writes ----------------------------------------------------------------------------------------------------

    async def _write(
        self, key: str, expected: int | None, before: KeyValue | None, operation: Any, value: bytes | None
    ) -> tuple[int, KeyValue | None]:
        """Do `operation` if the key is as expected: its revision, and what was there.

        `before` is what is known to be there, never None for a deletion; `value` is what the operation puts.
        """
        if expected and before is not None and before.mod_revision > expected:
            raise RevisionMismatch(key, expected, before)
        for _ in range(_BLIND_TRIES):
            wanted = expected if expected is not None else (before.mod_revision if before else 0)
            done, revision, found = await self._transact(key, wanted, operation, value)
            # Whoever is told of a conflict reads again, and must find what it was about.
            await self._mirror.wait_for(revision, SEEN_SECONDS)
            if done:
                # Found in the mirror before: unchanged since, or the transaction would have failed.
                return revision, before if before is not None and before.mod_revision == wanted else found
            if expected is not None or (found is None and value is None):
                raise RevisionMismatch(key, expected, found)
            before = found
        raise WriteFailed(f"{key} changes too often to be written")

    async def _transact(
        self, key: str, wanted: int, operation: Any, value: bytes | None
    ) -> tuple[bool, int, KeyValue | None]:
        """Whether it was done, at which revision (or the newest one if not), and what is or was there."""
        physical = self._physical(key)
        request = {
            # Nothing is written into a restore, however late a write arrives.
            "compare": [_unchanged(physical, wanted), _unchanged(RESTORING, 0)],
            "success": [_read_op(physical), operation],
            "failure": [_read_op(physical)],
        }
        try:
            answer = await self._client.call("txn", request)
        except EtcdRefused as error:
            raise WriteFailed(f"etcd refuses the write: {error}") from None
        except EtcdUnavailable as error:
            return await self._resolve(key, wanted, request, value, str(error))
        found = self._first(key, answer.responses[0].response_range)
        _require_no_restore(answer.succeeded, wanted, found)
        return answer.succeeded, answer.header.revision, found

    async def _resolve(
        self, key: str, wanted: int, request: dict[str, Any], value: bytes | None, reason: str
    ) -> tuple[bool, int, KeyValue | None]:
        """A transaction was not answered: it happened, will happen or won't. Look, and try again if it did not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + WRITE_SECONDS
        before = self._mirror.keys.get(key)
        backoff = Backoff(initial_seconds=0.05, maximum_seconds=1.0)
        while loop.time() < until:
            await asyncio.sleep(backoff.next_seconds())
            try:
                answer = await self._client.call("txn", request)
            except EtcdRefused as error:
                raise WriteFailed(f"etcd refuses the write: {error}") from None
            except EtcdUnavailable as error:
                reason = str(error)
                continue
            found = self._first(key, answer.responses[0].response_range)
            _require_no_restore(answer.succeeded, wanted, found)
            if answer.succeeded:
                return True, answer.header.revision, found
            there = answer.responses[0].response_range.kvs
            if value is not None and there and there[0].value == value:
                return True, there[0].mod_revision, before
            if value is None and found is None and await self._mirror.wait_for(answer.header.revision, SEEN_SECONDS):
                # Not before the deletion, and a revision under the root, for which others may wait.
                return True, min(answer.header.revision, self.revision), before
            # Somebody has written since: over ours, or instead of it. Nobody can tell.
            break
        raise OutcomeUnknown(f"etcd did not answer, whether {key} was written is not known: {reason}")

    async def _present(self, key: str) -> KeyValue | None:
        """The key as it is; asked for in etcd only if it is not known here."""
        known = self._mirror.keys.get(key)
        if known is not None:
            return known
        return self._first(key, await self._client.read(key=self._physical(key)))

    def _first(self, key: str, found: Any) -> KeyValue | None:
        return etcd_values.read(key, found.kvs[0]).item if found.kvs else None

    def _physical(self, key: str) -> bytes:
        return self._mirror.physical(key)

    def _loaded(self, kept: etcd_values.Kept) -> None:
        self._compactor.wrote(len(kept.item.value))
        if kept.expires_at is not None:
            self._expiry.add(kept.item.key, kept.item.mod_revision, kept.expires_at + OTHERS_EXPIRY_SECONDS)

    async def _expire(self, key: str, revision: int) -> KeyValue:
        known = self._mirror.keys.get(key)
        if known is None or known.mod_revision != revision:
            raise RevisionMismatch(key, revision, known)
        return await self.delete(key, expected=revision)

    def _require_open(self) -> None:
        if not self._open:
            raise StoreClosed("the store is not open")
        if self._mirror.broken:
            raise StoreClosed(self._mirror.broken)


def _read_op(key: bytes) -> Any:
    return wire.MESSAGE["RequestOp"](request_range=wire.MESSAGE["RangeRequest"](key=key))


def _unchanged(key: bytes, revision: int) -> Any:
    return wire.MESSAGE["Compare"](
        result=wire.COMPARE_EQUAL, target=wire.COMPARE_MOD_REVISION, key=key, mod_revision=revision
    )


def _require_no_restore(done: bool, wanted: int, found: KeyValue | None) -> None:
    """Raises WriteFailed if a write was refused though the key is as it has to be."""
    if not done and (found.mod_revision if found else 0) == wanted:
        raise WriteFailed(UNDER_RESTORE)
