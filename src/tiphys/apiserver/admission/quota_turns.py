"""Apiservers of one store take turns in a namespace with quotas: what one counted, no other changes before it wrote.

    first write ──makes the namespace's key──► turn: local writes join it ──last one shown──► the key is deleted
    other apiservers: wait for its deletion; one left by an apiserver that died is removed after STALE_SECONDS

Within one apiserver writes need no turns, since each counts the others' claims. So they share one, and a turn is
closed to newcomers after OPEN_SECONDS lest the other apiservers wait for ever.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Final

from tiphys.api import errors
from tiphys.apiserver.watch_cache.feed import ROOT, WatchCache
from tiphys.store.backend import Backend, KeyValue, RevisionMismatch, StoreError

OPEN_SECONDS: Final = 0.5
WAIT_SECONDS: Final = 10.0
"""How long a write waits for its turn before the client is asked to come back."""
STALE_SECONDS: Final = 25.0
"""A key unchanged for so long is of a dead apiserver: longer than OPEN_SECONDS and any write."""
_KEPT_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.005


class _Turn:
    """One hold of a namespace's key: `held` ends with its revision, `over` when the key is gone again."""

    __slots__ = ("closed_at", "held", "over", "users")

    def __init__(self, held: asyncio.Task[int]) -> None:
        self.users = 0
        self.held = held
        self.over = asyncio.Event()
        self.closed_at = float("inf")


class QuotaTurns:
    """The turns of one apiserver, by namespace."""

    def __init__(self, backend: Backend, feed: WatchCache) -> None:
        self._backend = backend
        self._feed = feed
        self._turns: dict[str, _Turn] = {}
        # The key another apiserver holds: its revision, and since when this one knows it.
        self._others: dict[str, tuple[int, float]] = {}
        self._releases: set[asyncio.Task[None]] = set()

    @property
    def needed(self) -> bool:
        """Whether there can be other apiservers."""
        return self._backend.shared

    async def join(self, namespace: str) -> Callable[[], None]:
        """Wait for this apiserver's turn and for all that others wrote; the result ends the caller's part in it.

        Raises ApiError: 429 when others did not make room in WAIT_SECONDS, 503 when the store does not answer.
        """
        loop = asyncio.get_running_loop()
        while (turn := self._turns.get(namespace)) is not None and (turn.over.is_set() or loop.time() > turn.closed_at):
            await turn.over.wait()
            await asyncio.sleep(_PAUSE_SECONDS)
        if turn is None:
            turn = self._turns[namespace] = _Turn(loop.create_task(self._take(namespace)))
        turn.users += 1
        try:
            await asyncio.shield(turn.held)
            if turn.closed_at == float("inf"):
                turn.closed_at = loop.time() + OPEN_SECONDS
            await self._feed.wait_fresh()
        except StoreError as error:
            self._leave(namespace, turn)
            raise errors.service_unavailable(str(error)) from error
        except BaseException:
            self._leave(namespace, turn)
            raise
        return partial(self._leave, namespace, turn)

    def _leave(self, namespace: str, turn: _Turn) -> None:
        turn.users -= 1
        if turn.users == 0:
            turn.closed_at = 0.0
            task = asyncio.get_running_loop().create_task(self._release(namespace, turn))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    async def _release(self, namespace: str, turn: _Turn) -> None:
        try:
            revision = await turn.held
            await self._backend.delete(_key(namespace), expected=revision)
        except (StoreError, errors.ApiError):
            # Not taken, or taken from us, or etcd is away: then it expires.
            pass
        finally:
            del self._turns[namespace]
            turn.over.set()

    async def _take(self, namespace: str) -> int:
        head = b'{"holder":"%s","resourceVersion":"' % uuid.uuid4().hex.encode()
        until = asyncio.get_running_loop().time() + WAIT_SECONDS
        while True:
            try:
                kept = await self._backend.put(_key(namespace), head, b'"}', expected=0, ttl_seconds=_KEPT_SECONDS)
            except RevisionMismatch as error:
                if error.current is not None:
                    await self._wait(namespace, error.current, until)
                continue
            self._others.pop(namespace, None)
            return kept.mod_revision

    async def _wait(self, namespace: str, found: KeyValue, until: float) -> None:
        """Until the key found is another's or gone. Raises ApiError (429) at `until`."""
        now = asyncio.get_running_loop().time()
        known = self._others.get(namespace)
        if known is None or known[0] != found.mod_revision:
            known = self._others[namespace] = (found.mod_revision, now)
        stale_at = known[1] + STALE_SECONDS
        if now >= stale_at:
            try:
                await self._backend.delete(found.key, expected=found.mod_revision)
            except RevisionMismatch:
                pass
            return
        if now >= until:
            raise errors.too_many_requests(
                f"other writes to namespace {namespace} are being counted against its quotas; please try again", 1
            )
        changes = self._backend.watch(found.key, found.mod_revision)
        try:
            async with asyncio.timeout_at(min(until, stale_at)):
                await anext(changes, None)
        except TimeoutError:
            pass
        finally:
            await changes.aclose()  # type: ignore[attr-defined]


def _key(namespace: str) -> str:
    return f"{ROOT}ranges/quotas/{namespace}"
