"""The ConfigMaps and Secrets that the node's pods use: read once, then watched one by one while anyone uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, Secret
from tiphys.base.backoff import Backoff
from tiphys.base.clock import Clock
from tiphys.base.logging import get_logger
from tiphys.client.client import Client

KINDS: Final[dict[str, type[ConfigMap] | type[Secret]]] = {"ConfigMap": ConfigMap, "Secret": Secret}
WATCH_SECONDS: Final = 600
_logger = get_logger(__name__)


class ObjectKey(NamedTuple):
    kind: str
    namespace: str
    name: str


class _Entry:
    def __init__(self) -> None:
        self.users: set[str] = set()
        self.value: ConfigMap | Secret | None = None
        self.first: asyncio.Future[None] | None = None
        self.known = False
        self.task: asyncio.Task[None] | None = None


class ReferencedObjects:
    """Objects by key, shared by pods. `on_change(key, users)` is called when one that is in use changes."""

    def __init__(self, client: Client, clock: Clock, on_change: Callable[[ObjectKey, frozenset[str]], None]) -> None:
        self._client = client
        self._clock = clock
        self._on_change = on_change
        self._entries: dict[ObjectKey, _Entry] = {}

    async def get(self, user: str, key: ObjectKey) -> ConfigMap | Secret | None:
        """The object as it is now, kept up to date for `user` until `release`. None when there is none.

        Raises ApiError when the API refuses.
        """
        entry = self._entries.setdefault(key, _Entry())
        entry.users.add(user)
        if not entry.known:
            await self._read(key, entry)
        if entry.task is None and not (entry.value is not None and entry.value.immutable):
            entry.task = asyncio.get_running_loop().create_task(self._follow(key, entry), name=f"object/{key.name}")
        return entry.value

    async def _read(self, key: ObjectKey, entry: _Entry) -> None:
        if entry.first is not None:
            await asyncio.shield(entry.first)
            return
        entry.first = asyncio.get_running_loop().create_future()
        try:
            entry.value = await self._fetch(key)
            entry.known = True
            entry.first.set_result(None)
        except BaseException as error:
            if isinstance(error, Exception):
                entry.first.set_exception(error)
                # Whoever waits sees it; if nobody does, it was raised here all the same.
                entry.first.exception()
            else:
                entry.first.cancel()
            raise
        finally:
            entry.first = None

    async def _fetch(self, key: ObjectKey) -> ConfigMap | Secret | None:
        try:
            return await self._client.get(KINDS[key.kind], key.name, key.namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def release(self, user: str) -> None:
        """Forget a user; objects nobody uses are watched no more."""
        for key in [k for k, entry in self._entries.items() if user in entry.users]:
            entry = self._entries[key]
            entry.users.discard(user)
            if not entry.users:
                del self._entries[key]
                if entry.task is not None:
                    entry.task.cancel()

    async def close(self) -> None:
        """Stop all watches."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        self._entries.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, key: ObjectKey, entry: _Entry) -> None:
        backoff = Backoff(0.5, 2.0, 30.0)
        fresh = True
        while True:
            try:
                if not fresh:
                    self._take(key, entry, await self._fetch(key))
                fresh = False
                version = (entry.value.metadata.resource_version or "") if entry.value is not None else ""
                await self._watch(key, entry, version)
                backoff.reset()
                continue
            except ApiError as error:
                _logger.debug("watch of an object failed", kind=key.kind, name=key.name, error=error.message)
            except (OSError, TimeoutError, EOFError) as error:
                _logger.debug("watch of an object failed", kind=key.kind, name=key.name, error=repr(error))
            await self._clock.sleep(backoff.next_seconds())

    async def _watch(self, key: ObjectKey, entry: _Entry, version: str) -> None:
        kind: Any = KINDS[key.kind]
        events = self._client.watch(
            kind,
            key.namespace,
            field_selector=f"metadata.name={key.name}",
            resource_version=version,
            timeout_seconds=WATCH_SECONDS,
        )
        async for event in events:
            if event.type in ("ADDED", "MODIFIED"):
                self._take(key, entry, event.object)
            elif event.type == "DELETED":
                self._take(key, entry, None)

    def _take(self, key: ObjectKey, entry: _Entry, value: Any) -> None:
        old = entry.value
        same = (
            old is not None and value is not None and old.metadata.resource_version == value.metadata.resource_version
        )
        if same or (old is None and value is None):
            return
        entry.value = value
        self._on_change(key, frozenset(entry.users))
