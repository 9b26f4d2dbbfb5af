"""Workers on demand: all work is done in its order, never by more than the limit, and none is left in between."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.base.workers import Workers


class Owner:
    """Numbers to do; each takes some turns of the event loop."""

    def __init__(self, limit: int = 1, turns: int = 1) -> None:
        self.waiting: deque[int] = deque()
        self.done: list[int] = []
        self.now = self.most = 0
        self.turns = turns
        self.failing: set[int] = set()
        self.workers = Workers("owner", self.waiting.__len__, self._step, limit=limit)

    def give(self, number: int) -> None:
        self.waiting.append(number)
        self.workers.wake()

    async def _step(self) -> None:
        number = self.waiting.popleft()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await turns(self.turns)
            if number in self.failing:
                raise ValueError(f"{number} is broken")
            self.done.append(number)
        finally:
            self.now -= 1


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def after_turns(count: int, act: Callable[[], object]) -> None:
    """Call `act` in that turn of the loop, from no task: where a task's end is told, too."""
    loop = asyncio.get_running_loop()
    if count:
        loop.call_soon(after_turns, count - 1, act)
    else:
        act()


def tasks_of(name: str) -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == name]


async def test_all_is_done_in_order_and_no_task_stays() -> None:
    owner = Owner()
    for number in range(5):
        owner.give(number)
    assert len(owner.workers) == 1
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [0, 1, 2, 3, 4]
    assert owner.most == 1
    assert not owner.workers
    assert not tasks_of("owner")


async def test_as_many_work_as_may_and_as_have_something() -> None:
    owner = Owner(limit=3)
    owner.give(0)
    assert len(owner.workers) == 1
    for number in range(1, 10):
        owner.give(number)
    assert len(owner.workers) == 3
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert sorted(owner.done) == list(range(10))
    assert owner.most == 3


@pytest.mark.parametrize("turn", range(12))
@pytest.mark.parametrize("limit", [1, 2])
async def test_work_that_comes_in_any_turn_while_a_worker_ends_is_done(turn: int, limit: int) -> None:
    owner = Owner(limit, turns=3)
    came = asyncio.Event()

    def comes() -> None:
        owner.give(1)
        came.set()

    owner.give(0)
    after_turns(turn, comes)
    await asyncio.wait_for(came.wait(), 10)
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [0, 1]


async def test_work_that_comes_before_it_is_told_that_the_worker_is_over_is_done() -> None:
    owner = Owner()

    def ends() -> None:
        assert all(task.done() for task in working)
        owner.give(1)

    owner.give(0)
    working = tasks_of("owner")
    # Comes right after the worker's last look, before what was asked to be told of its end.
    step = owner.workers._step

    async def last() -> None:
        await step()
        if not owner.waiting and owner.done == [0]:
            asyncio.get_running_loop().call_soon(ends)

    owner.workers._step = last
    await asyncio.wait_for(asyncio.wait(working), 10)
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [0, 1]


@given(
    arrivals=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    limit=st.integers(1, 3),
    length=st.integers(0, 4),
    failing=st.sets(st.integers(0, 11), max_size=3),
)
def test_none_is_lost_however_they_come(arrivals: list[int], limit: int, length: int, failing: set[int]) -> None:
    async def run() -> Owner:
        owner = Owner(limit, turns=length)
        owner.failing = failing
        for number, turn in enumerate(arrivals):
            after_turns(turn, lambda number=number: owner.give(number))  # type: ignore[misc]
        await turns(max(arrivals) + 2)
        await asyncio.wait_for(owner.workers.wait_idle(), 10)
        return owner

    logging.disable(logging.CRITICAL)
    try:
        owner = asyncio.run(run())
    finally:
        logging.disable(logging.NOTSET)
    assert sorted(owner.done) == [number for number in range(len(arrivals)) if number not in failing]
    assert owner.most <= limit
    assert not owner.workers
    assert not owner.waiting


async def test_a_step_that_fails_is_logged_and_the_next_is_made(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    owner.failing = {0}
    with caplog.at_level(logging.ERROR):
        owner.give(0)
        owner.give(1)
        await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [1]
    assert "0 is broken" in caplog.text


async def test_closing_cancels_and_leaves_the_rest_to_the_owner() -> None:
    owner = Owner(limit=2, turns=1_000_000)
    for number in range(3):
        owner.give(number)
    await turns(2)
    await asyncio.wait_for(owner.workers.close(), 10)
    assert not owner.workers
    assert owner.now == 0
    assert list(owner.waiting) == [2]
    owner.turns = 1
    owner.give(3)
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [2, 3]


async def test_closing_lets_them_finish_in_the_time_they_have() -> None:
    owner = Owner(turns=5)
    owner.give(0)
    owner.give(1)
    await owner.workers.close(grace_seconds=10)
    assert owner.done == [0, 1]


async def test_one_that_is_cancelled_before_it_begins_does_not_count() -> None:
    owner = Owner()
    owner.give(0)
    async with asyncio.timeout(10):
        await owner.workers.close()
    assert not owner.workers
    assert owner.done == []
    owner.give(1)
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [0, 1]


async def test_who_waits_for_the_end_may_stop_waiting() -> None:
    owner = Owner(turns=50)
    owner.give(0)
    waiting = asyncio.ensure_future(owner.workers.wait_idle())
    await turns(2)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert owner.workers
    await asyncio.wait_for(owner.workers.wait_idle(), 10)
    assert owner.done == [0]
