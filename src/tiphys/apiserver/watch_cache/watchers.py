"""Delivery of events: watchers with equal questions form a group, which decides and renders once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Protocol

from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.watch_cache.objects import CachedObject, ObjectFormat
from tiphys.base.http.messages import Chunk

Sink = Callable[[Chunk], object]
GroupKey = tuple[str, ...]


class Renderer(Protocol):
    """Turns an object into the framed bytes of a watch event. Equal renderers are the same object."""

    def event(self, kind: str, full: bytes) -> Chunk:
        """The frame of an event of type `kind` (``ADDED`` …) about the object with JSON `full`."""
        ...

    def bookmark(self, revision: int, *, initial_events_end: bool) -> Chunk:
        """The frame of a bookmark."""
        ...


class ComparingRenderer(ABC):
    """A renderer that decides by itself what a change is to its watch: it is shown both versions of the object."""

    @abstractmethod
    def change(self, full: bytes, previous: bytes) -> Chunk:
        """The frame of a MODIFIED event; `previous` is what the object was, with the event's revision."""


class Watcher:
    """One watch: where its frames go, whether it asked for bookmarks, and how it is ended before its time."""

    __slots__ = ("bookmarks", "end", "send")

    def __init__(self, send: Sink, *, bookmarks: bool, end: Callable[[], object] | None = None) -> None:
        self.send = send
        self.bookmarks = bookmarks
        self.end = end


class WatchGroup:
    """Watchers with one filter and one representation."""

    __slots__ = ("filter", "key", "renderer", "watchers")

    def __init__(self, key: GroupKey, filter_: Filter, renderer: Renderer) -> None:
        self.key = key
        self.filter = filter_
        self.renderer = renderer
        self.watchers: set[Watcher] = set()

    def transition(self, event: CacheEvent) -> str:
        """The event's type as this group sees it, "" if it is none of its business."""
        matches = self.filter.matches
        now = event.current is not None and matches(event.current)
        before = event.previous is not None and matches(event.previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""


class Rendering:
    """An event's frames, each built at first use and shared by all groups with that renderer."""

    __slots__ = ("_event", "_format", "_frames")

    def __init__(self, event: CacheEvent, format_: ObjectFormat) -> None:
        self._event = event
        self._format = format_
        self._frames: dict[tuple[int, str], Chunk] = {}

    def frame(self, renderer: Renderer, kind: str) -> Chunk:
        """The frame for a transition; DELETED carries the last matching state with the event's revision."""
        found = self._frames.get((id(renderer), kind))
        if found is None:
            if kind == "MODIFIED" and isinstance(renderer, ComparingRenderer):
                found = renderer.change(self._full(kind), self._full("DELETED"))
            else:
                found = renderer.event(kind, self._full(kind))
            self._frames[id(renderer), kind] = found
        return found

    def _full(self, kind: str) -> bytes:
        event = self._event
        if kind != "DELETED":
            assert event.current is not None
            return event.current.value
        assert event.previous is not None
        return self._format.deleted(event.previous, event.revision)


class Watchers:
    """All watch groups of one resource, reachable from what an event touches."""

    __slots__ = ("_by_name", "_by_namespace", "_by_trigger", "_format", "_groups", "_unscoped")

    def __init__(self, format_: ObjectFormat) -> None:
        self._format = format_
        self._groups: dict[GroupKey, WatchGroup] = {}
        self._unscoped: dict[GroupKey, WatchGroup] = {}
        self._by_namespace: dict[str, dict[GroupKey, WatchGroup]] = {}
        self._by_name: dict[str, dict[GroupKey, WatchGroup]] = {}
        self._by_trigger: dict[str, dict[GroupKey, WatchGroup]] = {}

    def __len__(self) -> int:
        return sum(len(group.watchers) for group in self._groups.values())

    def groups(self) -> list[WatchGroup]:
        return list(self._groups.values())

    def add(self, key: GroupKey, filter_: Filter, renderer: Renderer, watcher: Watcher) -> None:
        """Deliver later events to `watcher` as well. Groups with equal keys must have equal filters and renderers."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = WatchGroup(key, filter_, renderer)
            self._shelf(filter_)[key] = group
        group.watchers.add(watcher)

    def remove(self, key: GroupKey, watcher: Watcher) -> None:
        """Deliver nothing more to `watcher`; unknown ones are ignored."""
        group = self._groups.get(key)
        if group is None:
            return
        group.watchers.discard(watcher)
        if not group.watchers:
            del self._groups[key]
            self._shelf(group.filter).pop(key, None)
            self._drop_empty(group.filter)

    def end(self) -> None:
        """End all watches: what they follow is served in another way from now on."""
        for group in self.groups():
            for watcher in tuple(group.watchers):
                if watcher.end is not None:
                    watcher.end()

    def deliver(self, event: CacheEvent) -> None:
        """Send `event` to every watcher it concerns. A sink must not raise and must not block."""
        if not self._groups:
            return
        rendering: Rendering | None = None
        for group in self._concerned(event):
            kind = group.transition(event)
            if kind:
                rendering = rendering or Rendering(event, self._format)
                frame = rendering.frame(group.renderer, kind)
                for watcher in tuple(group.watchers):
                    watcher.send(frame)

    def _concerned(self, event: CacheEvent) -> Iterator[WatchGroup]:
        current, previous = event.current, event.previous
        obj = current or previous
        assert obj is not None
        yield from tuple(self._unscoped.values())
        if self._by_namespace:
            yield from tuple(self._by_namespace.get(obj.namespace, {}).values())
        if self._by_name:
            yield from tuple(self._by_name.get(obj.key, {}).values())
        if self._by_trigger:
            for trigger in _triggers(current, previous):
                yield from tuple(self._by_trigger.get(trigger, {}).values())

    def _shelf(self, filter_: Filter) -> dict[GroupKey, WatchGroup]:
        if filter_.trigger:
            return self._by_trigger.setdefault(filter_.trigger, {})
        if filter_.name and filter_.namespace:
            return self._by_name.setdefault(f"{filter_.namespace}/{filter_.name}", {})
        if filter_.namespace:
            return self._by_namespace.setdefault(filter_.namespace, {})
        return self._unscoped

    def _drop_empty(self, filter_: Filter) -> None:
        for shelf, key in (
            (self._by_trigger, filter_.trigger or ""),
            (self._by_name, f"{filter_.namespace}/{filter_.name}"),
            (self._by_namespace, filter_.namespace),
        ):
            if key in shelf and not shelf[key]:
                del shelf[key]


def _triggers(current: CachedObject | None, previous: CachedObject | None) -> set[str]:
    return {obj.trigger for obj in (current, previous) if obj is not None and obj.trigger}
