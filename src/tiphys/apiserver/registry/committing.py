"""The end of every write: encode once, compare-and-swap, wait until the caches show it."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.apiserver.registry.context import Context, Write
from tiphys.store.backend import KeyValue, OutcomeUnknown, RevisionMismatch, Unavailable, WriteFailed

_REVISION: Final = b'"resourceVersion":"'


def encode_parts(obj: Any) -> tuple[bytes, bytes]:
    """The object's JSON around its resourceVersion. Only name, namespace and uid precede it: they cannot contain it."""
    obj.metadata.resource_version = ""
    data = codec.encode(obj)
    at = data.index(_REVISION) + len(_REVISION)
    return data[:at], data[at:]


async def put(context: Context, write: Write, key: str, head: bytes, tail: bytes, expected: int) -> bytes:
    """Commit ``head + revision + tail`` and return it once reads show it. Raises RevisionMismatch or ApiError.

    A dry run commits nothing and returns what would have been written.
    """
    if write.dry_run:
        write.roll_back()
        if expected:
            return head + str(expected).encode() + tail
        return head[: -len(_REVISION) - 1] + tail[1:]
    try:
        if write.before and context.backend.shared:
            for prepare in write.before:
                await prepare()
        kept = await context.backend.put(key, head, tail, expected=expected, ttl_seconds=ttl_seconds(write))
    except RevisionMismatch:
        write.roll_back()
        raise
    except (WriteFailed, Unavailable) as error:
        write.roll_back()
        raise _told(error) from error
    except BaseException:
        write.roll_back()
        raise
    write.committed()
    try:
        if context.feed.revision < kept.mod_revision:
            await context.feed.wait_for(kept.mod_revision)
    finally:
        write.visible()
    return kept.value


async def remove(context: Context, write: Write, key: str, expected: int) -> KeyValue:
    """Delete for good and return once reads show it. Raises RevisionMismatch or ApiError."""
    try:
        gone = await context.backend.delete(key, expected=expected)
    except (WriteFailed, Unavailable) as error:
        raise _told(error) from error
    write.committed()
    if context.feed.revision < gone.mod_revision:
        await context.feed.wait_for(gone.mod_revision)
    return gone


class Freshness:
    """Where others write to the store as well, a refusal may be due to a cache that is behind.

    ``while True: try: ... except ApiError as error: await freshness.require(error)`` tries again once at most.
    """

    __slots__ = ("_context", "_known")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known = not context.backend.shared

    async def require(self, error: errors.ApiError) -> None:
        """Raises `error` if it was said of all that is committed, or is no refusal; else waits for the caches."""
        before = self._context.feed.revision
        if self._known or not 400 <= (error.code or 500) < 500 or error.code == 429:
            raise error
        self._known = True
        await self._context.feed.wait_fresh()
        if self._context.feed.revision == before:
            raise error


def _told(error: WriteFailed | Unavailable) -> errors.ApiError:
    if isinstance(error, OutcomeUnknown):
        return errors.timeout(str(error))
    return errors.service_unavailable(str(error)) if isinstance(error, Unavailable) else errors.internal(str(error))


_EVENT_TTL_SECONDS: Final = 3600.0


def ttl_seconds(write: Write) -> float | None:
    """How long the store keeps the object: events an hour, all else for ever."""
    return _EVENT_TTL_SECONDS if write.resource.plural == "events" else None
