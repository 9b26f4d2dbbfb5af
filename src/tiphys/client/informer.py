"""A local copy of one resource, kept true by list and watch, with handlers that hear every change.

    list ──► watch ──(stream ends, connection lost)──► watch from the last revision, after a delay if it failed
      ▲        │
      └────────┘ 410: the revision is compacted, list again; handlers hear the difference

Nothing is asked of the server while nothing changes, but a new watch every 5 to 10 minutes.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource
from tiphys.api.selectors import Selector
from tiphys.base.backoff import Backoff
from tiphys.base.chance import CHANCE
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.logging import get_logger
from tiphys.client.cache import Indexer, ObjectCache, ObjectKey, key_of
from tiphys.client.client import Client
from tiphys.client.view import View, view_of
from tiphys.client.watch import ADDED, BOOKMARK, DELETED, MODIFIED, WatchEvent

T = TypeVar("T")

PAGE_LIMIT: Final = 500
"""Objects a LIST page: bounds how long decoding one answer keeps the event loop."""
WATCH_SECONDS: Final = 300
"""The least time after which the server is asked to end a watch; up to twice that, so that watches spread out."""
REFUSED_SECONDS_MAX: Final = 30.0
"""Between tries while the server answers with errors."""
UNANSWERED_SECONDS_MAX: Final = 1.0
"""Between tries while there is no server: it is noticed soon after it is back."""
_STALLED_SECONDS: Final = 30.0
_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Handler(Generic[T]):
    on_add: Callable[[T], None] | None
    on_update: Callable[[T, T], None] | None
    on_delete: Callable[[T], None] | None


class Informer(Generic[T]):
    """Keeps the objects of one kind (of one namespace, of some selectors) and tells handlers what changes.

    Objects are shared and must not be changed. `transform` runs on each object before it is shared and returns what
    is kept (it may change the fresh object it gets, for example to drop what nobody reads). Handlers are called on the
    event loop, in order of the changes, and must not block; one that raises is logged and the others still run.
    """

    def __init__(
        self,
        client: Client,
        kind: type[T] | View[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, Indexer[T]] | None = None,
        transform: Callable[[T], T] | None = None,
        clock: Clock | None = None,
        draw: Callable[[], float] = CHANCE.random,
    ) -> None:
        self.view = view_of(kind)
        self.cache: ObjectCache[T] = ObjectCache(indexes)
        self.resource_version = ""
        self.connected_since: float | None = None
        """Since when (monotonic) the cache follows the server without a failure; None while it does not."""
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._clock = clock or SystemClock()
        self._draw = draw
        self._handlers: list[_Handler[T]] = []
        self._synced = asyncio.Event()
        self._failing = False

    def add_handler(
        self,
        *,
        on_add: Callable[[T], None] | None = None,
        on_update: Callable[[T, T], None] | None = None,
        on_delete: Callable[[T], None] | None = None,
    ) -> None:
        """Hear of changes from now on; objects already known are handed to `on_add` at once."""
        handler = _Handler(on_add, on_update, on_delete)
        self._handlers.append(handler)
        if on_add is not None:
            for obj in self.cache:
                self._call(on_add, obj)

    def add_index(self, name: str, indexer: Indexer[T]) -> None:
        """Index objects by `indexer`; asking for the same index again is fine."""
        self.cache.add_index(name, indexer)

    def get(self, name: str, namespace: str = "") -> T | None:
        """The object as last seen, or None."""
        return self.cache.get(name, namespace)

    def list(self, namespace: str | None = None, selector: Selector | None = None) -> builtins.list[T]:
        """The objects of `namespace` (None: all) that match `selector`, in no order."""
        return self.cache.list(namespace, selector)

    def by_index(self, index: str, key: str) -> builtins.list[T]:
        """The objects that `index` files under `key`."""
        return self.cache.by_index(index, key)

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return once the first list has arrived."""
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch until cancelled; every failure is retried with a growing delay."""
        refused = Backoff(0.1, 2.0, REFUSED_SECONDS_MAX, jitter=1.0, draw=self._draw)
        unanswered = Backoff(0.1, 2.0, UNANSWERED_SECONDS_MAX, jitter=1.0, draw=self._draw)
        listed = False
        while True:
            backoff = unanswered
            try:
                if not listed:
                    await self._list()
                    listed = True
                if await self._watch():
                    refused.reset()
                    unanswered.reset()
                    continue
            except ApiError as error:
                backoff = refused
                if error.code == 410:
                    listed = False
                self._log(error)
            except (OSError, TimeoutError, EOFError) as error:
                self._log(error)
            await self._clock.sleep(backoff.next_seconds())

    async def _list(self) -> None:
        found: dict[ObjectKey, T] = {}
        continue_ = ""
        while True:
            page = await self._client.list(
                self.view,
                self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=PAGE_LIMIT,
                continue_=continue_,
            )
            for obj in page.items:
                kept = self._prepare(obj)
                found[key_of(kept)] = kept
            continue_ = page.metadata.continue_ or ""
            if not continue_:
                break
        for key in self.cache.keys():  # noqa: SIM118 (iterating gives objects)
            if key not in found:
                self._removed(key, None)
        for obj in found.values():
            self._stored(obj)
        self.resource_version = page.metadata.resource_version or ""
        self._synced.set()

    async def _watch(self) -> bool:
        """Follow changes until the stream ends; whether it brought anything or ended at the time it should."""
        timeout_seconds = int(WATCH_SECONDS * (1 + self._draw()))
        started = self._clock.monotonic()
        heard = False
        batches = self._client.watch_batches(
            self.view,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self.resource_version,
            allow_bookmarks=True,
            timeout_seconds=timeout_seconds,
        )
        # A server that dies without a word would otherwise be listened to for ever.
        async with asyncio.timeout(timeout_seconds + _STALLED_SECONDS), aclosing(batches):  # type: ignore[type-var]
            async for batch in batches:
                if self.connected_since is None:
                    self.connected_since = self._clock.monotonic()
                    self._failing = False
                heard = heard or bool(batch)
                for event in batch:
                    self._apply(event)
        return heard or self._clock.monotonic() - started >= 1.0

    def _apply(self, event: WatchEvent[T]) -> None:
        obj = event.object
        meta: Any = obj.metadata  # type: ignore[attr-defined]
        if event.type == ADDED or event.type == MODIFIED:
            self._stored(self._prepare(obj))
        elif event.type == DELETED:
            self._removed(key_of(obj), self._prepare(obj))
        elif event.type != BOOKMARK:
            _logger.warning("watch event of an unknown type", type=event.type, resource=self.view.resource.qualified)
            return
        self.resource_version = meta.resource_version or self.resource_version

    def _prepare(self, obj: T) -> T:
        if isinstance(obj, dict):
            raise TypeError("informers keep structs; use a View with one")
        if not obj.kind:  # type: ignore[attr-defined]
            # Items of a list carry no kind of their own.
            obj.kind, obj.api_version = self.view.resource.kind, self.view.resource.api_version  # type: ignore[attr-defined]
        return self._transform(obj) if self._transform else obj

    def _stored(self, obj: T) -> None:
        old = self.cache.get(obj.metadata.name or "", obj.metadata.namespace or "")  # type: ignore[attr-defined]
        if old is not None and _same_version(old, obj):
            return
        if old is not None and old.metadata.uid != obj.metadata.uid:  # type: ignore[attr-defined]
            # Deleted and made again between two lists: handlers must not take it for the same object.
            self._removed(key_of(old), None)
            old = None
        self.cache.set(obj)
        for handler in self._handlers:
            if old is None:
                self._call(handler.on_add, obj)
            else:
                self._call(handler.on_update, old, obj)

    def _removed(self, key: ObjectKey, last: T | None) -> None:
        old = self.cache.remove(key)
        if old is None:
            return
        gone = last if last is not None else old
        for handler in self._handlers:
            self._call(handler.on_delete, gone)

    def _call(self, function: Callable[..., None] | None, *objects: T) -> None:
        if function is None:
            return
        try:
            function(*objects)
        except Exception:
            _logger.exception("informer handler failed", resource=self.view.resource.qualified)

    def _log(self, error: Exception) -> None:
        # Of a row of failures the first is news.
        log = _logger.debug if self._failing else _logger.info
        self._failing = True
        self.connected_since = None
        log("list or watch failed", resource=self.view.resource.qualified, error=str(error) or repr(error))


def _same_version(old: Any, new: Any) -> bool:
    return bool(old.metadata.resource_version) and old.metadata.resource_version == new.metadata.resource_version


class SharedInformers:
    """One informer a kind for all loops of a process: ask for them first, then `run` (or `start`) them together."""

    def __init__(self, client: Client, *, clock: Clock | None = None) -> None:
        self.client = client
        self._clock = clock
        self._informers: dict[Any, Informer[Any]] = {}

    def of(
        self, kind: type[T] | View[T], *, namespace: str = "", transform: Callable[[T], T] | None = None
    ) -> Informer[T]:
        """The informer of `kind` (in one namespace, if given); the first to ask decides on `transform`."""
        view = view_of(kind)
        found = self._informers.get((view, namespace))
        if found is None:
            found = Informer(
                self.client,
                view,
                namespace=namespace,
                transform=transform or without_managed_fields,
                clock=self._clock,
            )
            self._informers[view, namespace] = found
        return found

    def of_resource(self, resource: Resource) -> Informer[Any] | None:
        """An informer of all the resource's objects that somebody asked for already, or None."""
        for (view, namespace), informer in self._informers.items():
            if not namespace and view.resource == resource:
                return informer
        return None

    def all(self) -> Iterable[Informer[Any]]:
        """Every informer asked for so far."""
        return list(self._informers.values())

    async def wait_synced(self) -> None:
        """Return once each has listed."""
        for informer in self.all():
            await informer.wait_synced()


def without_managed_fields(obj: T) -> T:
    """Drop who owns which field: bulky, and an update without it leaves it as it is."""
    meta: Any = obj.metadata  # type: ignore[attr-defined]
    if getattr(meta, "managed_fields", None):
        meta.managed_fields = ()
    return obj
