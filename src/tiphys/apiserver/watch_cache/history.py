"""The recent events of one resource, from which a watch resumes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from tiphys.apiserver.watch_cache.objects import CachedObject

_ALWAYS_KEPT_EVENTS: Final = 100
_MAXIMUM_EVENTS: Final = 65536
_MAXIMUM_BYTES: Final = 64 << 20
_FRESH_SECONDS: Final = 75.0


class CacheEvent(msgspec.Struct, gc=False):
    """One committed change. `current` is None for a deletion, `previous` for a creation; never both."""

    revision: int
    current: CachedObject | None
    previous: CachedObject | None
    seconds: float


class History:
    """A bounded queue of events in revision order.

    Every event younger than 75 seconds is kept (up to 65,536, or 64 MiB of objects), and the last hundred in any case.
    `complete_after`: watches may resume from this revision or any later one, not from an earlier one.
    """

    __slots__ = ("_bytes", "_events", "complete_after")

    def __init__(self, complete_after: int) -> None:
        self.complete_after = complete_after
        self._events: deque[CacheEvent] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: CacheEvent) -> None:
        self._events.append(event)
        self._bytes += _size(event)
        self.trim(event.seconds)

    def trim(self, now_seconds: float) -> None:
        """Forget what need not be kept any more at that time (of the monotonic clock)."""
        events, stale = self._events, now_seconds - _FRESH_SECONDS
        while len(events) > _ALWAYS_KEPT_EVENTS and (
            events[0].seconds < stale or len(events) > _MAXIMUM_EVENTS or self._bytes > _MAXIMUM_BYTES
        ):
            oldest = events.popleft()
            self._bytes -= _size(oldest)
            self.complete_after = oldest.revision

    def after(self, revision: int) -> list[CacheEvent] | None:
        """The events later than `revision`, oldest first; None if some of them are no longer kept."""
        if revision < self.complete_after:
            return None
        return list(self._newest_down_to(revision))[::-1]

    @property
    def last_revision(self) -> int:
        """The newest event's revision, or `complete_after` when there is none."""
        return self._events[-1].revision if self._events else self.complete_after

    def _newest_down_to(self, revision: int) -> Iterator[CacheEvent]:
        for event in reversed(self._events):
            if event.revision <= revision:
                return
            yield event


def _size(event: CacheEvent) -> int:
    """What an event keeps from being forgotten: the version it replaced."""
    return len(event.previous.value) if event.previous is not None else 0
