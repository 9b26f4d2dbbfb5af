"""Values claimed in a store that other apiservers share: two of them must not give one address to two Services.

A reservation is a key that only one can make. It lasts as long as the write: from then on the committed Service itself
is what every apiserver sees, for it reads what others committed after it has the key.

    make the key ──► read what others committed ──► still ours? ──► write the Service ──► remove the key
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tiphys.api import codec, errors
from tiphys.apiserver.watch_cache.feed import ROOT, WatchCache
from tiphys.store.backend import Backend, RevisionMismatch, StoreError, Unavailable, WriteFailed

RESERVED_SECONDS: Final = 30.0
"""Longer than any write is tried."""


class Reservations:
    """Makes reservations; those left by an apiserver that died go by themselves."""

    def __init__(self, backend: Backend, feed: WatchCache) -> None:
        self._backend = backend
        self._feed = feed
        self._removals: set[asyncio.Task[None]] = set()

    async def hold(self, pool: str, value: int, owner: str, ours: Callable[[], bool]) -> None:
        """Reserve `value` for `owner` (``namespace/name``); `ours` tells whether the pool still says so.

        Raises ApiError 409 when another apiserver was quicker: another try finds out by whom.
        """
        head = codec.encode_any({"owner": owner})[:-1] + b',"resourceVersion":"'
        try:
            await self._backend.put(_key(pool, value), head, b'"}', expected=0, ttl_seconds=RESERVED_SECONDS)
        except RevisionMismatch as error:
            if error.current is None or codec.decode_any(error.current.value).get("owner") != owner:
                raise _taken(owner) from error
        except (Unavailable, WriteFailed) as error:
            raise errors.service_unavailable(str(error)) from error
        await self._feed.wait_fresh()
        if not ours():
            self.release(pool, value)
            raise _taken(owner)

    def release(self, pool: str, value: int) -> None:
        """Remove a reservation of ours, in the background; what cannot be removed now goes by itself."""
        task = asyncio.get_running_loop().create_task(self._remove(_key(pool, value)), name="reservation")
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _remove(self, key: str) -> None:
        with contextlib.suppress(StoreError):
            await self._backend.delete(key, expected=None)


def _key(pool: str, value: int) -> str:
    return f"{ROOT}ranges/{pool}/{value}"


def _taken(owner: str) -> errors.ApiError:
    text = "an address or port was just given to another Service; please try again"
    return errors.conflict("services", owner.rpartition("/")[2], text)
