"""What a process does when its work is over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tiphys.cmd.foreground import ProcessOver, Work, run_until_signal

done: list[str] = []


@contextlib.asynccontextmanager
async def part(name: str, work: Work) -> AsyncIterator[Work]:
    done.append(f"{name} made")
    yield work
    done.append(f"{name} undone")


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _begin() -> Iterator[None]:
    done.clear()
    yield
    gc.unfreeze()


async def test_work_that_is_over_ends_the_process_in_order() -> None:
    async def over() -> None:
        raise ProcessOver("the data was replaced")

    with pytest.raises(ProcessOver, match="the data was replaced"):
        async with asyncio.timeout(5):
            await run_until_signal([("a", part("a", for_ever)), ("b", part("b", over))])
    assert done == ["a made", "b made", "b undone", "a undone"]


async def test_a_signal_ends_it_without_an_error() -> None:
    async def signalled() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await run_until_signal([("a", part("a", signalled))])
    assert done == ["a made", "a undone"]
