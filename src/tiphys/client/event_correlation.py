"""Which events to write: the same event again is counted, similar ones are combined, floods are cut. Pure.

Limits as upstream's: a source may report 25 events about one object at once and one more every 300 s; of more than 10
events within 600 s that differ in their message only, the rest share one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

MAX_CACHED: Final = 4096
BURST: Final = 25
REFILL_SECONDS: Final = 300.0
SIMILAR_MAX: Final = 10
SIMILAR_SECONDS: Final = 600.0
COMBINED_PREFIX: Final = "(combined from similar events): "


class EventKey(NamedTuple):
    """What makes two events the same but for time and count."""

    uid: str
    namespace: str
    name: str
    kind: str
    field_path: str
    type: str
    reason: str
    message: str


@dataclass(slots=True)
class Sighting:
    """An event written before: `name` is its object's name, empty until the write succeeded."""

    name: str
    count: int
    first_seconds: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_seconds: float


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last_seconds: float = 0.0


class Correlator:
    """Remembers recent events, least recently used first to be forgotten; `now` is in seconds and never goes back."""

    def __init__(self, max_cached: int = MAX_CACHED) -> None:
        self._max_cached = max_cached
        self._seen: OrderedDict[EventKey, Sighting] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str, str, str], _Bucket] = OrderedDict()
        self._similar: OrderedDict[EventKey, _Similar] = OrderedDict()

    def correlate(self, key: EventKey, now: float) -> tuple[EventKey, Sighting] | None:
        """The event to write (its message may be a combined one) and what is known of it, counted; None to drop it."""
        if not self._allowed(key, now):
            return None
        message = key.message
        identity, shown = self._combined(key, now)
        sighting = self._seen.get(identity)
        if sighting is None:
            sighting = self._seen[identity] = Sighting("", 0, now)
            self._trim(self._seen)
        self._seen.move_to_end(identity)
        sighting.count += 1
        return (key._replace(message=COMBINED_PREFIX + message) if shown else key), sighting

    def _combined(self, key: EventKey, now: float) -> tuple[EventKey, bool]:
        group = key._replace(message="")
        similar = self._similar.get(group)
        if similar is None or now - similar.last_seconds > SIMILAR_SECONDS:
            similar = self._similar[group] = _Similar()
            self._trim(self._similar)
        similar.last_seconds = now
        self._similar.move_to_end(group)
        if len(similar.messages) < SIMILAR_MAX or key.message in similar.messages:
            similar.messages.add(key.message)
        if len(similar.messages) < SIMILAR_MAX:
            return key, False
        return group, True

    def _allowed(self, key: EventKey, now: float) -> bool:
        subject = (key.kind, key.namespace, key.name, key.uid)
        bucket = self._buckets.get(subject)
        if bucket is None:
            bucket = self._buckets[subject] = _Bucket(BURST, now)
            self._trim(self._buckets)
        self._buckets.move_to_end(subject)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at_seconds) / REFILL_SECONDS)
        bucket.at_seconds = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _trim(self, cache: OrderedDict[Any, Any]) -> None:
        while len(cache) > self._max_cached:
            cache.popitem(last=False)
