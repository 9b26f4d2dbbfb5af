"""Lists too large to be put together in one turn of the loop: written in parts, as fast as the client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from tiphys.apiserver.watch_cache.objects import CachedObject, ObjectFormat
from tiphys.base.http.messages import StreamResponse, StreamWriter

_MANY_OBJECTS: Final = 2000
_MANY_CONVERTED: Final = 1000
_LARGE_BYTES: Final = 16 << 20
_OBJECTS_A_TURN: Final = 500
_READING_SECONDS: Final = 60.0


def is_large(objects: Sequence[CachedObject]) -> bool:
    """True if putting the list together at once would keep other requests waiting."""
    if len(objects) <= _MANY_OBJECTS:
        return False
    left_bytes = _LARGE_BYTES
    for obj in objects:
        left_bytes -= len(obj.value)
        if left_bytes < 0:
            return True
    return False


def is_long(objects: Sequence[CachedObject]) -> bool:
    """True if converting the objects one by one would keep other requests waiting."""
    return len(objects) > _MANY_CONVERTED


def bodies_of(objects: Sequence[CachedObject], encoding: ObjectFormat) -> Iterator[memoryview]:
    """As `encoding.bodies`, some at a time: all of them would be as many views for the garbage collector to follow."""
    for at in range(0, len(objects), _OBJECTS_A_TURN):
        yield from encoding.bodies(objects[at : at + _OBJECTS_A_TURN])


def large_list(head: bytes, objects: Sequence[CachedObject], encoding: ObjectFormat) -> StreamResponse:
    """The list's JSON: `head` up to the items, then the items as they are now, whatever changes meanwhile."""
    return in_parts(_parts(head, objects, encoding))


def in_parts(parts: Iterator[bytes]) -> StreamResponse:
    """An answer that is written part by part; each part is made when the one before it is on its way.

    A client that has not read it all after a minute is cut off, as every request is that takes so long.
    """

    async def run(writer: StreamWriter) -> None:
        async with asyncio.timeout(_READING_SECONDS):
            for part in parts:
                if writer.closed:
                    return
                writer.write(part)
                await writer.drain()
                # A client that reads as fast as we write must not have the loop for itself.
                await asyncio.sleep(0)

    return StreamResponse(run)


def _parts(head: bytes, objects: Sequence[CachedObject], encoding: ObjectFormat) -> Iterator[bytes]:
    start = head + b"{"
    for at in range(0, len(objects), _OBJECTS_A_TURN):
        yield start + b",{".join(encoding.bodies(objects[at : at + _OBJECTS_A_TURN]))
        start = b",{"
    yield b"]}"
