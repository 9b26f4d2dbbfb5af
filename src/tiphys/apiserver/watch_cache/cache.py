"""The cached state of one resource: objects by key, in key order, with indexes, history and watchers."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

from tiphys.api import codec
from tiphys.api.scheme import Resource
from tiphys.apiserver.watch_cache.fields import FieldReader
from tiphys.apiserver.watch_cache.filters import Filter
from tiphys.apiserver.watch_cache.history import CacheEvent, History
from tiphys.apiserver.watch_cache.labels import LabelIndex
from tiphys.apiserver.watch_cache.objects import CachedObject, ObjectFormat
from tiphys.apiserver.watch_cache.watchers import Watchers
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
T = TypeVar("T")
Listener = Callable[[CacheEvent], None]
_SCANNED_A_TURN: Final = 500
_DECODED_LIMIT: Final = 1024


class ResourceCache:
    """All committed objects of one resource.

    Changed only by `load` and `apply`, on the loop's thread. `objects` and `keys` always agree; `keys` is sorted.
    """

    def __init__(
        self, resource: Resource, prefix: str, monotonic: Callable[[], float], format_: ObjectFormat | None = None
    ) -> None:
        self.resource = resource
        self.prefix = prefix
        self.format = format_ or ObjectFormat(resource.kind, resource.api_version, index_node_name=_is_pods(resource))
        self.fields = FieldReader(resource)
        self.objects: dict[str, CachedObject] = {}
        self.keys: list[str] = []
        self.watchers = Watchers(self.format)
        self.history = History(0)
        self._labels = LabelIndex()
        self._triggers: dict[str, dict[str, CachedObject]] = {}
        self._listeners: list[Listener] = []
        self._monotonic = monotonic
        self._decoded: dict[str, tuple[int, Any]] = {}

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each loaded object and each later change, before watchers hear of it."""
        self._listeners.append(listener)

    def load(self, items: Iterable[tuple[str, bytes, int]], revision: int) -> None:
        """Start with (key, value, revision) items in key order, being the state at `revision`."""
        self.history = History(revision)
        for key, value, object_revision in items:
            obj = self.format.cached(key, value, object_revision)
            self.objects[key] = obj
            self.keys.append(key)
            self._index(None, obj)
            self._tell(CacheEvent(object_revision, obj, None, 0.0))

    def apply(self, key: str, value: bytes | None, revision: int) -> None:
        """Follow one committed change (None: deletion) and tell watchers. What was loaded already is passed over."""
        if revision <= self.history.complete_after:
            return
        previous = self.objects.get(key)
        current: CachedObject | None = None
        if value is not None:
            current = self.objects[key] = self.format.cached(key, value, revision)
            if previous is None:
                insort(self.keys, key)
        elif previous is None:
            return
        else:
            del self.objects[key]
            del self.keys[bisect_left(self.keys, key)]
            self._decoded.pop(key, None)
        self._index(previous, current)
        event = CacheEvent(revision, current, previous, self._monotonic())
        self.history.append(event)
        self._tell(event)
        self.watchers.deliver(event)

    def _tell(self, event: CacheEvent) -> None:
        """A listener that fails must not keep events from everybody else."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _logger.exception("a change was not understood", resource=self.resource.qualified, at=event.revision)

    def get(self, key: str) -> bytes | None:
        """The object's full JSON, or None."""
        obj = self.objects.get(key)
        return None if obj is None else obj.value

    def decoded(self, kind: type[T], key: str) -> T | None:
        """The object as a struct that must not be changed; the last thousand are remembered. For small, hot kinds."""
        obj = self.objects.get(key)
        if obj is None:
            return None
        known = self._decoded.get(key)
        if known is not None and known[0] == obj.revision:
            return known[1]  # type: ignore[no-any-return]
        struct = codec.decode(kind, obj.value)
        if len(self._decoded) >= _DECODED_LIMIT:
            self._decoded.clear()
        self._decoded[key] = (obj.revision, struct)
        return struct

    def in_namespace(self, namespace: str, after: str = "") -> Iterator[CachedObject]:
        """The namespace's objects (all, for "") in key order, those after the key `after`."""
        objects = self.objects
        for key in self._range(namespace, after):
            yield objects[key]

    def page(self, filter_: Filter, after: str, limit: int) -> tuple[list[CachedObject], int]:
        """The first `limit` matching objects after a key, and how many more there are (1 for "some" with selectors)."""
        if filter_.everything:
            keys = self._range(filter_.namespace, after)
            return [self.objects[key] for key in keys[:limit]], max(0, len(keys) - limit)
        found = list(islice(self._narrowed(filter_, after), limit + 1))
        return found[:limit], len(found[limit:])

    def triggered(self, value: str) -> list[CachedObject]:
        """The objects whose indexed field (a pod's spec.nodeName) has that value."""
        return list(self._triggers.get(value, {}).values())

    def select(self, filter_: Filter, after: str = "") -> Iterator[CachedObject]:
        """The matching objects after the key `after`, in key order, by the narrowest index there is."""
        if filter_.everything:
            return self.in_namespace(filter_.namespace, after)
        return self._narrowed(filter_, after)

    async def scan(self, filter_: Filter, after: str, limit: int) -> tuple[list[CachedObject], int]:
        """As `page` (`limit` 0: all), for selectors that read every object: others are served in between.

        The objects are those there are at the call.
        """
        objects, found = list(self.in_namespace(filter_.namespace, after)), []
        for at in range(0, len(objects), _SCANNED_A_TURN):
            found += [obj for obj in objects[at : at + _SCANNED_A_TURN] if filter_.matches(obj)]
            if limit and len(found) > limit:
                break
            await asyncio.sleep(0)
        return (found[:limit], len(found[limit : limit + 1])) if limit else (found, 0)

    def _narrowed(self, filter_: Filter, after: str) -> Iterator[CachedObject]:
        objects = self.objects
        keys: Iterable[str] | None
        if filter_.name and (filter_.namespace or not self.resource.namespaced):
            keys = (f"{filter_.namespace}/{filter_.name}" if filter_.namespace else filter_.name,)
        elif filter_.trigger:
            keys = sorted(self._triggers.get(filter_.trigger, ()))
        else:
            candidates = self._labels.candidates(filter_.label_demands, objects)
            keys = self._range(filter_.namespace, after) if candidates is None else sorted(candidates)
        for key in keys:
            obj = objects.get(key)
            if obj is not None and key > after and filter_.matches(obj):
                yield obj

    def _range(self, namespace: str, after: str) -> list[str]:
        keys = self.keys
        if not namespace and not after:
            return keys.copy()
        start = bisect_left(keys, after + "\0") if after else 0
        if not namespace:
            return keys[start:]
        start = max(start, bisect_left(keys, namespace + "/"))
        return keys[start : bisect_left(keys, namespace + "0")]

    def _index(self, previous: CachedObject | None, current: CachedObject | None) -> None:
        self._labels.replace(previous, current)
        if previous is not None and previous.trigger:
            bucket = self._triggers.get(previous.trigger, {})
            bucket.pop(previous.key, None)
            if not bucket:
                self._triggers.pop(previous.trigger, None)
        if current is not None and current.trigger:
            self._triggers.setdefault(current.trigger, {})[current.key] = current


def _is_pods(resource: Resource) -> bool:
    return resource.plural == "pods" and not resource.group
