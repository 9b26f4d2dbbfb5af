"""Lists too large to be put together in one turn of the loop: written in parts, as fast as the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from tiphys.apiserver.watch_cache.objects import CachedObject, ObjectFormat
from tiphys.base.http.messages import StreamResponse, StreamWriter

_MANY_OBJECTS: Final = 2000
_LARGE_BYTES: Final = 16 << 20
_OBJECTS_A_TURN: Final = 500
_READING_SECONDS: Final = 60.0


def is_large(objects: Sequence[CachedObject]) -> bool:
    """True if putting the list together at once would keep other requests waiting."""
    return len(objects) > _MANY_OBJECTS and sum(len(obj.value) for obj in objects) > _LARGE_BYTES


def large_list(head: bytes, objects: Sequence[CachedObject], encoding: ObjectFormat) -> StreamResponse:
    """The list's JSON: `head` up to the items, then the items as they are now, whatever changes meanwhile.

    A client that has not read it all after a minute is cut off, as every request is that takes so long.
    """

    async def run(writer: StreamWriter) -> None:
        start = head + b"{"
        async with asyncio.timeout(_READING_SECONDS):
            for at in range(0, len(objects), _OBJECTS_A_TURN):
                if writer.closed:
                    return
                part = objects[at : at + _OBJECTS_A_TURN]
                writer.write(start + b",{".join(encoding.bodies(part)))
                start = b",{"
                await writer.drain()
                # A client that reads as fast as we write must not have the loop for itself.
                await asyncio.sleep(0)
        writer.write(b"]}")

    return StreamResponse(run)
