"""The one thread that writes: group commit.

The event loop hands over lists of writes; while one transaction is being made durable the next gathers. A batch is one
statement, so the thread asks for the interpreter's lock once a batch and not once a row: on a busy loop that wait, not
the disk, is what durability costs. One call back to the loop acknowledges the batch.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.store.backend import KeyValue, WriteFailed
from tiphys.store.sqlite_file import Row, append

MAXIMUM_BATCH_WRITES = 512
MAXIMUM_BATCH_BYTES = 16 << 20


class Write:
    """One write on its way. The loop makes it, the thread sets `error`, the loop settles it."""

    __slots__ = ("base", "create_revision", "done", "error", "expires_at", "key", "previous", "revision", "value")

    def __init__(
        self, key: str, value: bytes | None, revision: int, previous: KeyValue | None, base: Write | None
    ) -> None:
        self.key = key
        self.value = value  # None: a deletion
        self.revision = revision
        self.previous = previous  # what it supersedes: committed, or in flight in `base`
        self.base = base
        self.create_revision = 0 if value is None else previous.create_revision if previous else revision
        self.expires_at: float | None = None
        self.error: Exception | None = None
        self.done: asyncio.Future[None] | None = None

    def row(self) -> Row:
        superseded = self.previous.mod_revision if self.previous else 0
        return (self.revision, self.key, self.value, self.create_revision, superseded, self.expires_at)

    def after(self) -> KeyValue | None:
        """The key's state once this write is committed."""
        return None if self.value is None else KeyValue(self.key, self.value, self.create_revision, self.revision)


class Job:
    """Something else to do on the writer's connection, between batches."""

    __slots__ = ("done", "work")

    def __init__(self, work: Callable[[sqlite3.Connection], Any], done: asyncio.Future[Any]) -> None:
        self.work = work
        self.done = done


class Writer:
    """Owns the writing connection. `settle` is called on the loop with each batch, in the order of submission."""

    def __init__(self, connection: sqlite3.Connection, settle: Callable[[Sequence[Write]], None]) -> None:
        self._connection = connection
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._inbox: queue.SimpleQueue[list[Write] | Job | None] = queue.SimpleQueue()
        self._gathering: list[Write] = []
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, write: Write) -> None:
        """Queue a write. What one turn of the loop submits is handed over together: one wake-up."""
        if not self._gathering:
            self._loop.call_soon(self._hand_over)
        self._gathering.append(write)

    async def run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Call ``work(connection)`` on the thread after what is queued; raises what it raises."""
        self._hand_over()
        done: asyncio.Future[Any] = self._loop.create_future()
        self._inbox.put(Job(work, done))
        return await done

    async def close(self) -> None:
        """Commit what is queued, then end the thread. All writes are settled on return."""
        self._hand_over()
        self._inbox.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        await asyncio.sleep(0)  # the last acknowledgements were queued on the loop before the thread ended

    def _hand_over(self) -> None:
        if self._gathering:
            self._inbox.put(self._gathering)
            self._gathering = []

    # The thread.

    def _run(self) -> None:
        pending: list[Write] = []
        while True:
            item: list[Write] | Job | None
            try:
                item = self._inbox.get_nowait() if pending else self._inbox.get()
            except queue.Empty:
                self._commit(pending)
                pending = []
                continue
            if isinstance(item, list):
                pending.extend(item)
                if len(pending) >= MAXIMUM_BATCH_WRITES:
                    self._commit(pending)
                    pending = []
                continue
            self._commit(pending)
            pending = []
            if item is None:
                return
            self._do(item)

    def _commit(self, writes: list[Write]) -> None:
        for batch in _batches(writes):
            sound = [write for write in batch if not _doomed(write)]
            if sound:
                try:
                    append(self._connection, [write.row() for write in sound])
                except (sqlite3.Error, OverflowError) as error:
                    for write in sound:
                        write.error = WriteFailed(f"the write could not be made durable: {error}")
            self._call(self._settle, batch)

    def _do(self, job: Job) -> None:
        try:
            result = job.work(self._connection)
        except Exception as error:
            self._call(_resolve, job.done, None, error)
        else:
            self._call(_resolve, job.done, result, None)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: nobody is left to tell.
            pass


def _doomed(write: Write) -> bool:
    """Whether `write` builds on one that failed; it then fails too."""
    if write.base is None or write.base.error is None:
        return False
    write.error = WriteFailed(f"an earlier write of {write.key} failed: {write.base.error}")
    return True


def _batches(writes: Sequence[Write]) -> list[list[Write]]:
    batches: list[list[Write]] = []
    size_bytes = 0
    for write in writes:
        size_bytes += len(write.value or b"")
        if not batches or len(batches[-1]) == MAXIMUM_BATCH_WRITES or size_bytes > MAXIMUM_BATCH_BYTES:
            batches.append([])
            size_bytes = len(write.value or b"")
        batches[-1].append(write)
    return batches


def _resolve(done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)
