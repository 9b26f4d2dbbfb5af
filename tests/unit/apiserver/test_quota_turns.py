"""Whose turn it is to count against a namespace's quotas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tiphys.api.errors import ApiError
from tiphys.apiserver.admission import quota_turns
from tiphys.apiserver.admission.quota_turns import QuotaTurns
from tiphys.apiserver.watch_cache.feed import WatchCache
from tiphys.store.memory import MemoryBackend

KEY = "/registry/ranges/quotas/ns"


@pytest.fixture
async def store() -> AsyncIterator[MemoryBackend]:
    backend = MemoryBackend()
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture
async def feed(store: MemoryBackend) -> AsyncIterator[WatchCache]:
    cache = WatchCache(store, (), asyncio.get_running_loop().time)
    await cache.start()
    yield cache
    await cache.close()


async def gone(store: MemoryBackend) -> None:
    async with asyncio.timeout(5):
        while await store.get(KEY):  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_writes_of_one_apiserver_share_a_turn(store: MemoryBackend, feed: WatchCache) -> None:
    turns = QuotaTurns(store, feed)
    first, second = await asyncio.gather(turns.join("ns"), turns.join("ns"))
    held = await store.get(KEY)
    first()
    await asyncio.sleep(0)
    assert await store.get(KEY) == held
    second()
    await gone(store)


async def test_another_apiserver_waits(store: MemoryBackend, feed: WatchCache) -> None:
    one, two = QuotaTurns(store, feed), QuotaTurns(store, feed)
    leave = await one.join("ns")
    waiting = asyncio.ensure_future(two.join("ns"))
    (await two.join("other"))()
    assert not waiting.done()
    leave()
    async with asyncio.timeout(5):
        (await waiting)()
    await gone(store)


async def test_newcomers_wait_once_a_turn_is_closed(
    store: MemoryBackend, feed: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_turns, "OPEN_SECONDS", -1.0)
    turns = QuotaTurns(store, feed)
    leave = await turns.join("ns")
    before = await store.get(KEY)
    waiting = asyncio.ensure_future(turns.join("ns"))
    await asyncio.sleep(0)
    assert not waiting.done()
    leave()
    async with asyncio.timeout(5):
        leave = await waiting
    assert await store.get(KEY) != before
    leave()
    await gone(store)


async def test_a_cancelled_write_leaves_nothing(store: MemoryBackend, feed: WatchCache) -> None:
    turns = QuotaTurns(store, feed)
    waiting = asyncio.ensure_future(turns.join("ns"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await gone(store)
    (await turns.join("ns"))()
    await gone(store)


async def test_who_waits_too_long_is_asked_to_come_back(
    store: MemoryBackend, feed: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_turns, "WAIT_SECONDS", 0.0)
    leave = await QuotaTurns(store, feed).join("ns")
    with pytest.raises(ApiError) as caught:
        await QuotaTurns(store, feed).join("ns")
    assert caught.value.code == 429
    leave()
    await gone(store)


async def test_the_turn_of_a_dead_apiserver_ends(
    store: MemoryBackend, feed: WatchCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota_turns, "STALE_SECONDS", 0.0)
    await store.put(KEY, b"{", b"}", expected=0)
    (await QuotaTurns(store, feed).join("ns"))()
    await gone(store)
