"""Values claimed in a store that other apiservers share: two of them must not give one address to two Services.

A reservation is a key that only one can make. It needs to last no longer than a write may take: from then on the
committed Service itself is what every apiserver sees before it claims.

    read what others committed ──► still ours? ──► make the key ──► write the Service ──► the key expires
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api import codec, errors
from tiphys.apiserver.watch_cache.feed import ROOT, WatchCache
from tiphys.store.backend import Backend, RevisionMismatch, Unavailable, WriteFailed

RESERVED_SECONDS: Final = 30.0
"""Longer than any write is tried."""


class Reservations:
    """Makes reservations; those left by an apiserver that died go by themselves."""

    def __init__(self, backend: Backend, feed: WatchCache) -> None:
        self._backend = backend
        self._feed = feed

    async def hold(self, pool: str, value: int, owner: str, ours: Callable[[], bool]) -> None:
        """Reserve `value` for `owner` (``namespace/name``); `ours` tells whether the pool still says so.

        Raises ApiError 409 when another apiserver was quicker: another try finds out by whom.
        """
        await self._feed.wait_fresh()
        if not ours():
            raise _taken(owner)
        head = codec.encode_any({"owner": owner})[:-1] + b',"resourceVersion":"'
        try:
            await self._backend.put(
                f"{ROOT}ranges/{pool}/{value}", head, b'"}', expected=0, ttl_seconds=RESERVED_SECONDS
            )
        except RevisionMismatch as error:
            if error.current is None or codec.decode_any(error.current.value).get("owner") != owner:
                raise _taken(owner) from error
        except (Unavailable, WriteFailed) as error:
            raise errors.service_unavailable(str(error)) from error


def _taken(owner: str) -> errors.ApiError:
    text = "an address or port was just given to another Service; please try again"
    return errors.conflict("services", owner.rpartition("/")[2], text)
