"""The recent events of one resource, from which a watch resumes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from tiphys.apiserver.watch_cache.objects import CachedObject

_ALWAYS_KEPT_EVENTS: Final = 100
_MAXIMUM_EVENTS: Final = 65536
_FRESH_SECONDS: Final = 75.0


class CacheEvent(msgspec.Struct, gc=False):
    """One committed change. `current` is None for a deletion, `previous` for a creation; never both."""

    revision: int
    current: CachedObject | None
    previous: CachedObject | None
    seconds: float


class History:
    """A bounded queue of events in revision order.

    Every event younger than 75 seconds is kept (up to 65,536), and the last hundred whatever their age.
    `complete_after`: watches may resume from this revision or any later one, not from an earlier one.
    """

    __slots__ = ("_events", "complete_after")

    def __init__(self, complete_after: int) -> None:
        self.complete_after = complete_after
        self._events: deque[CacheEvent] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: CacheEvent) -> None:
        events = self._events
        events.append(event)
        stale = event.seconds - _FRESH_SECONDS
        while len(events) > _ALWAYS_KEPT_EVENTS and (events[0].seconds < stale or len(events) > _MAXIMUM_EVENTS):
            self.complete_after = events.popleft().revision

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
