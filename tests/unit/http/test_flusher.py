"""When small writes leave together, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.base.http.server_stream import COALESCE_SECONDS, CREDIT_SECONDS, MANY_STREAMS, Flusher


class _Loop:
    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, work: Callable[[], None]) -> None:
        self.soon.append(work)

    def call_later(self, seconds: float, work: Callable[[], None]) -> None:
        self.later.append((self.now + seconds, work))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for work in soon:
            work()


class _Stream:
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def _flusher() -> tuple[Any, Any, _Loop]:
    loop = _Loop()
    loop_as_any: Any = loop
    return Flusher(loop_as_any), _Stream(), loop


def test_what_one_change_sets_off_is_seen_without_delay() -> None:
    flusher, stream, loop = _flusher()
    for _ in range(3):
        flusher.mark(stream)
        loop.turn()
        loop.now += 0.001
    assert stream.flushes == 3 and not loop.later


def test_a_busy_stream_is_flushed_at_intervals_and_lateness_saves_nothing() -> None:
    flusher, stream, loop = _flusher()
    allowed = round(CREDIT_SECONDS / COALESCE_SECONDS)
    for _ in range(allowed + 5):
        flusher.mark(stream)
        loop.turn()
    assert stream.flushes <= allowed + 1 and len(loop.later) == 1
    moment, work = loop.later.pop()
    assert 0 < moment - loop.now <= COALESCE_SECONDS
    loop.now = moment + 1.0  # the loop was busy with something else
    work()
    flusher.mark(stream)
    assert [at for at, _ in loop.later] == [loop.now + COALESCE_SECONDS] and not loop.soon


def test_what_goes_to_many_waits_for_company() -> None:
    flusher, stream, loop = _flusher()
    for _ in range(MANY_STREAMS + 1):
        flusher.mark(stream)
    loop.turn()
    flusher.mark(stream)
    assert [at for at, _ in loop.later] == [loop.now + COALESCE_SECONDS] and not loop.soon
