"""Supervision: crashed loops run again, exit leaves nothing running."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tiphys.base.backoff import Backoff
from tiphys.base.tasks import Supervisor


async def test_a_crashed_loop_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("broken once")

    with caplog.at_level(logging.ERROR):
        async with Supervisor("test") as supervisor:
            supervisor.spawn(loop, "loop")
            await asyncio.wait_for(supervisor.wait(), 10)
    assert runs == 2
    assert "broken once" in caplog.text


async def test_leaving_the_block_cancels_and_waits() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Supervisor("test") as supervisor:
        supervisor.spawn(forever, "forever")
        await asyncio.sleep(0)
    assert ended.is_set()
    with pytest.raises(RuntimeError, match="closing"):
        supervisor.spawn(forever, "late")


def test_backoff_grows_to_its_bound_and_resets() -> None:
    backoff = Backoff(1, 2, 5, jitter=0.5, draw=lambda: 1.0)
    assert [backoff.next_seconds() for _ in range(4)] == [1.5, 3.0, 6.0, 7.5]
    backoff.reset()
    assert backoff.next_seconds() == 1.5
    backoff.failures = 10_000
    assert backoff.next_seconds() == 7.5
