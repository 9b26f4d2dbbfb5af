"""A watch's byte stream to typed events: one pass of the decoder for all lines that arrived together."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Generic, TypeVar

import msgspec

from tiphys.api import codec
from tiphys.api.errors import ApiError, from_dict, internal
from tiphys.api.types.model import Model

T = TypeVar("T")

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"
BOOKMARK = "BOOKMARK"
ERROR = "ERROR"


class WatchEvent(Model, Generic[T]):
    """One change: `type` is ADDED, MODIFIED, DELETED or BOOKMARK; `object` is what it left."""

    type: str = msgspec.field(default_factory=str)
    object: T = msgspec.field(default=msgspec.UNSET)  # type: ignore[assignment]


_EVENT_TYPES: dict[type[Any], type[WatchEvent[Any]]] = {}


def _event_type(kind: type[Any]) -> type[WatchEvent[Any]]:
    found = _EVENT_TYPES.get(kind)
    if found is None:
        found = _EVENT_TYPES[kind] = WatchEvent[kind]  # type: ignore[valid-type]
    return found


async def decode_events(kind: type[T], chunks: AsyncIterable[bytes]) -> AsyncIterator[list[WatchEvent[T]]]:
    """Batches of events from newline-delimited JSON, however it is cut into chunks. Raises ApiError for ERROR."""
    decoder = codec.decoder(_event_type(kind))
    rest = b""
    async for chunk in chunks:
        end = chunk.rfind(b"\n")
        if end < 0:
            rest += chunk
            continue
        lines = rest + chunk[:end] if rest else chunk[:end]
        rest = chunk[end + 1 :]
        if lines:
            batch = _decode(kind, decoder, lines)
            if batch:
                yield batch


def _decode(kind: type[T], decoder: Any, lines: bytes) -> list[WatchEvent[T]]:
    if b'"type":"ERROR"' not in lines:
        try:
            events: list[WatchEvent[T]] = decoder.decode_lines(lines)
        except msgspec.ValidationError:
            pass
        else:
            return events
    return [_decode_one(kind, line) for line in lines.split(b"\n") if line.strip()]


def _decode_one(kind: type[T], line: bytes) -> WatchEvent[T]:
    frame = codec.decode_any(line)
    if not isinstance(frame, dict):
        raise internal("a watch event that is no JSON object")
    if frame.get("type") == ERROR:
        raise _error(frame.get("object"))
    return WatchEvent(type=str(frame.get("type")), object=codec.from_dict(kind, frame.get("object") or {}))


def _error(status: Any) -> ApiError:
    try:
        return from_dict(codec.without_nulls(status))
    except msgspec.ValidationError:
        return internal("a watch ended with an error that is no Status")
