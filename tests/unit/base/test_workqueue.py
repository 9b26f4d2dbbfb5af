"""The work queue's promises: deduplication, exclusion, delay, rate limit, shutdown."""

from __future__ import annotations

import asyncio

import pytest

from tiphys.base.workqueue import ShutDown, WorkQueue


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_processed_waits_until_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0, "two workers would have the same key"
    queue.done(key)
    assert await queue.get() == "a"


async def test_get_waits_for_an_add() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_cancelled_get_does_not_swallow_a_wake_up() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_of_two_delays_the_earlier_holds() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 3600)
    queue.add_after("a", 0.001)
    queue.add_after("a", 1800)
    assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_rate_limit_grows_per_key_until_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(initial_seconds=100, maximum_seconds=350)
    assert [queue.add_rate_limited("a") for _ in range(4)] == [100, 200, 350, 350]
    assert queue.add_rate_limited("b") == 100
    assert queue.failures("a") == 4
    queue.forget("a")
    assert queue.add_rate_limited("a") == 100
    queue.shutdown()


async def test_shutdown_drains_then_tells_workers() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add_after("later", 3600)
    queue.shutdown()
    queue.add("refused")
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()


async def test_shutdown_wakes_waiting_workers() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.shutdown()
    for task in waiting:
        with pytest.raises(ShutDown):
            await task
