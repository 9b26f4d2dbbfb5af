"""The one subscription to the store that keeps every resource's cache, and waiting for it to catch up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

from tiphys.api import errors
from tiphys.api.scheme import Resource
from tiphys.apiserver.watch_cache.cache import ResourceCache
from tiphys.apiserver.watch_cache.objects import ObjectFormat
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.store.backend import DELETE, Backend, Event, KeyValue, Unavailable

ROOT: Final = "/registry/"
_PAGE_ITEMS: Final = 5000
_logger = get_logger(__name__)


def prefix_of(resource: Resource) -> str:
    """Where the store keeps a resource's objects: ``/registry/apps/deployments/``."""
    return f"{ROOT}{resource.group or 'core'}/{resource.plural}/"


class WatchCache:
    """The caches of all stored resources, fed by one watch over the whole registry.

    `revision`: everything committed up to it is in the caches. It never exceeds what the store calls committed.
    """

    def __init__(self, backend: Backend, resources: Iterable[Resource], monotonic: Callable[[], float]) -> None:
        self._backend = backend
        self._monotonic = monotonic
        self._shared = backend.shared
        self.caches: dict[tuple[str, str], ResourceCache] = {}
        self._by_prefix: dict[str, ResourceCache] = {}
        for resource in resources:
            prefix = prefix_of(resource)
            cache = ResourceCache(resource, prefix, monotonic)
            self.caches[resource.group, resource.plural] = self._by_prefix[prefix] = cache
        self.revision = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the state and follow it; returns once everything committed so far is cached."""
        await self._load()
        self._task = asyncio.create_task(self._follow(), name="watch-cache")

    async def close(self) -> None:
        """Stop following; waiters are cancelled."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    async def add(
        self, resource: Resource, *, normalize: Callable[[bytes], bytes] | None = None, one_version: bool = True
    ) -> ResourceCache:
        """The cache of one more custom resource, loaded. It takes the place of one there is, whose watches end.

        normalize: what the resource's objects, kept before, look like now. one_version: see `ObjectFormat`.
        """
        prefix = prefix_of(resource)
        format_ = ObjectFormat(resource.kind, resource.api_version, one_version=one_version, typed=False)
        cache = ResourceCache(resource, prefix, self._monotonic, format_)
        while True:
            page = await self._backend.list(prefix)
            # Loaded in the same turn of the loop: an event over the page's revision comes after this.
            if page.revision >= self.revision:
                break
        items = _loaded(prefix, page.items)
        if normalize is not None:
            items = ((key, normalize(value), revision) for key, value, revision in items)
        cache.load(items, page.revision)
        before = self._by_prefix.get(prefix)
        self.caches[resource.group, resource.plural] = self._by_prefix[prefix] = cache
        if before is not None:
            before.watchers.end()
        return cache

    def remove(self, resource: Resource) -> None:
        """Forget a resource that is not served any more; its watches end."""
        cache = self.caches.pop((resource.group, resource.plural), None)
        if cache is not None:
            del self._by_prefix[cache.prefix]
            cache.watchers.end()

    @property
    def following(self) -> bool:
        """True from `start` to `close`."""
        return self._task is not None and not self._task.done()

    @property
    def fresh(self) -> bool:
        """True if everything committed is known to be cached: a consistent read needs no wait."""
        return not self._shared and self.revision >= self._backend.revision

    async def wait_for(self, revision: int, timeout_seconds: float | None = None) -> bool:
        """Wait until `revision` is cached; False if it is not within the timeout."""
        if self.revision >= revision:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        try:
            await asyncio.wait_for(future, timeout_seconds)
        except TimeoutError:
            return False
        return True

    async def wait_fresh(self) -> None:
        """Wait until everything that is committed now, through any apiserver, is cached. Raises ApiError (503)."""
        try:
            await self.wait_for(await self._backend.current_revision())
        except Unavailable as error:
            raise errors.service_unavailable(str(error)) from error

    async def _load(self) -> None:
        items: dict[str, list[KeyValue]] = {prefix: [] for prefix in self._by_prefix}
        revision, after = 0, ""
        while True:
            page = await self._backend.list(ROOT, revision=revision, limit=_PAGE_ITEMS, after=after)
            revision = page.revision
            for item in page.items:
                prefix, _ = _split(item.key)
                if prefix in items:
                    items[prefix].append(item)
                after = item.key
            if not page.remaining or not page.items:
                break
        for prefix, cache in self._by_prefix.items():
            cache.load(_loaded(prefix, items[prefix]), revision)
        self._advance(revision)

    async def _follow(self) -> None:
        backoff = Backoff(initial_seconds=0.1, maximum_seconds=5.0)
        while True:
            try:
                async for events in self._backend.watch(ROOT, self.revision):
                    self._apply(events)
                    backoff.reset()
            except Exception:
                _logger.exception("the store's watch broke; the caches are compared with the store", at=self.revision)
            await asyncio.sleep(backoff.next_seconds())
            try:
                await self._resync()
            except Exception:
                _logger.exception("the store cannot be listed")

    def _apply(self, events: Sequence[Event]) -> None:
        by_prefix = self._by_prefix
        for event in events:
            prefix, key = _split(event.key)
            cache = by_prefix.get(prefix)
            if cache is not None:
                cache.apply(key, None if event.type is DELETE else event.value, event.revision)
        self._advance(events[-1].revision)

    async def _resync(self) -> None:
        """Bring every cache to the store's state by applying the differences, in revision order."""
        page = await self._backend.list(ROOT)
        changes: list[tuple[int, str, bytes | None]] = []
        present: set[str] = set()
        for item in page.items:
            present.add(item.key)
            prefix, key = _split(item.key)
            cache = self._by_prefix.get(prefix)
            if cache is not None and getattr(cache.objects.get(key), "revision", 0) != item.mod_revision:
                changes.append((item.mod_revision, item.key, item.value))
        for prefix, cache in self._by_prefix.items():
            changes += [(page.revision, prefix + key, None) for key in cache.keys if prefix + key not in present]
        for revision, full_key, value in sorted(changes, key=lambda change: change[0]):
            prefix, key = _split(full_key)
            self._by_prefix[prefix].apply(key, value, revision)
        self._advance(page.revision)

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if not self._waiting:
            return
        still: list[tuple[int, asyncio.Future[None]]] = []
        for wanted, future in self._waiting:
            if future.done():
                continue
            if wanted <= self.revision:
                future.set_result(None)
            else:
                still.append((wanted, future))
        self._waiting = still


def _loaded(prefix: str, items: Iterable[KeyValue]) -> Iterator[tuple[str, bytes, int]]:
    return ((item.key[len(prefix) :], item.value, item.mod_revision) for item in items)


def _split(key: str) -> tuple[str, str]:
    """``/registry/core/pods/ns/name`` as its resource's prefix and the key in its cache."""
    _, _, group, plural, rest = key.split("/", 4)
    return f"{ROOT}{group}/{plural}/", rest
