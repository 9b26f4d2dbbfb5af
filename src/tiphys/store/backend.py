"""The contract between the apiserver and whatever keeps its state: bytes under keys, one revision per write.

The model is etcd's. A store has one counter, the revision; every write takes the next one, so revisions order all
writes. A key's newest write is its `mod_revision`; the write that made it appear is its `create_revision`. History is
kept until compacted: a watcher resumes, and a list pages, at a revision that is no longer the newest.

Keys look like ``/registry/<group or core>/<plural>/<namespace>/<name>``; the store knows nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import IntEnum
from typing import NamedTuple, Protocol

import msgspec

FIRST_REVISION = 1
"""The revision of an empty store: never 0, which means "any" to the API's clients."""


class KeyValue(msgspec.Struct, frozen=True, order=True, gc=False):
    """A key at its newest write, or, returned by `delete`, the value deleted and the revision that deleted it.

    There are as many as objects, and the garbage collector need not look at any: it would find nothing to follow.
    """

    key: str
    value: bytes
    create_revision: int
    mod_revision: int


class EventType(IntEnum):
    """What a write did to its key."""

    PUT = 0
    DELETE = 1


PUT = EventType.PUT
DELETE = EventType.DELETE


class Event(msgspec.Struct, frozen=True, gc=False):
    """One committed write. `value` is b"" for DELETE; `previous` is the value before it, None when the key is new."""

    type: EventType
    key: str
    value: bytes
    previous: bytes | None
    revision: int
    is_create: bool


Events = list[Event]
"""A batch. (Named, since in a Backend `list` is a method.)"""


class Page(NamedTuple):
    """Part of a listing, in key order, all of it as of `revision`.

    `remaining` counts the items after this page; 0 means it is the last. The next page: ``list(prefix,
    revision=page.revision, after=page.items[-1].key)``.
    """

    items: list[KeyValue]
    revision: int
    remaining: int


class StoreError(Exception):
    """Base of what a store raises."""


class RevisionMismatch(StoreError):
    """`expected` did not hold; nothing was written. `current` is the durable state of the key, None if absent."""

    def __init__(self, key: str, expected: int | None, current: KeyValue | None) -> None:
        found = current.mod_revision if current else 0
        super().__init__(f"{key}: expected revision {expected}, found {found}")
        self.key = key
        self.expected = expected
        self.current = current


class Compacted(StoreError):
    """The history asked for is gone; `revision` is the oldest a list can still be made at, or a watch resume after."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"required revision has been compacted; the oldest is {revision}")
        self.revision = revision


class FutureRevision(StoreError):
    """A list was asked at a revision the store has not reached; `revision` is the newest."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"required revision is a future revision; the newest is {revision}")
        self.revision = revision


class WriteFailed(StoreError):
    """The write could not be made durable (disk full, I/O error) and did not happen; later writes may succeed."""


class Unavailable(StoreError):
    """The store does not answer now; it may later."""


class OutcomeUnknown(WriteFailed):
    """The store did not answer: the write may have happened, or may still."""


class StoreClosed(StoreError):
    """The store is closed, or was never started."""


class StoreLocked(StoreError):
    """Another process has this data open."""


class Backend(Protocol):
    """A store. All methods belong to one event loop; every implementation passes ``tests/contract/test_store.py``."""

    async def start(self) -> None:
        """Open the data and load it; call once, before anything else. Raises StoreLocked if another process has it."""
        ...

    async def close(self) -> None:
        """Finish the writes in flight, end all watches, release the data. Idempotent."""
        ...

    @property
    def revision(self) -> int:
        """The newest committed revision: durable, visible to reads and already queued to every watcher."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes may write to the same data: then `revision` may be behind `current_revision`."""
        ...

    async def current_revision(self) -> int:
        """A revision not older than any write acknowledged to anybody before the call, once `revision` has reached it.

        Raises Unavailable when that cannot be known now.
        """
        ...

    @property
    def compacted_revision(self) -> int:
        """History up to here is gone, except for what is still live: lists at it and watches after it still work."""
        ...

    async def get(self, key: str) -> KeyValue | None:
        """The newest committed value of `key`, None if absent."""
        ...

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        """The keys that start with `prefix`, sorted, greater than `after` (a whole key), at most `limit` (0: all).

        At `revision`, or at the newest committed one for 0. Raises Compacted or FutureRevision.
        """
        ...

    async def put(
        self, key: str, head: bytes, tail: bytes, *, expected: int | None, ttl_seconds: float | None = None
    ) -> KeyValue:
        """Store ``head + str(revision) + tail``: an object that carries its own revision is encoded once.

        `expected`: 0, the key must not exist; N, its mod_revision must be N; None, whatever is there. Returns once
        the write is durable and queued to all watchers. Two writes in flight conflict as if the first had committed,
        but RevisionMismatch is only raised for a first that did. With `ttl_seconds` the key is deleted after that time
        unless written again. Raises RevisionMismatch or WriteFailed. If the caller is cancelled the write may still
        happen.
        """
        ...

    async def delete(self, key: str, *, expected: int | None) -> KeyValue:
        """Remove `key`; returns the last value with the deletion's revision as mod_revision.

        `expected` as in `put`; an absent key raises RevisionMismatch with `current` None. Durable on return.
        """
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Events]:
        """Every event under `prefix` with a revision over `after_revision`, in order, each once, in non-empty batches.

        Only committed events. Iteration raises Compacted if the events are gone, and ends when the store closes.
        A watch costs nothing until iterated and is forgotten when its iterator is closed (``aclose``) or dropped.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget the history up to `revision` (at most the newest): superseded values and deletions."""
        ...
