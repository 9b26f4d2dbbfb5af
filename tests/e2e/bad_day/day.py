"""The day itself: load from its beginning to its end, one fault after another, and the accounts of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.e2e.bad_day.faults import FAULTS
from tests.e2e.bad_day.load import Load, Writer, get
from tests.e2e.bad_day.place import NAMESPACE, Place
from tests.e2e.cluster import eventually

CALM_SECONDS = 2.0
"""Between a fault's end and the next: what it did to clients is counted to it."""
WRITERS = 2
LOAD_BALANCER, NODE_PORT, WRITES = "LoadBalancer", "NodePort", "API writes"


@dataclass
class Chapter:
    """One fault: how long it was there, how long until all was well, and what clients had of it."""

    fault: str
    lasted_seconds: float = 0.0
    converged_seconds: float | None = None
    """From the repair; None when it did not converge."""
    trouble: str = ""
    failed: dict[str, int] = field(default_factory=dict)
    longest_outage_seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Record:
    """What became of the day."""

    chapters: list[Chapter] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)
    """How many were sent, by account; `failed` likewise."""
    failed: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        return all(chapter.converged_seconds is not None for chapter in self.chapters)


def live(place: Place, minutes: float, tell: Callable[[Chapter], None], faults: Iterable[str] = FAULTS) -> Record:
    """Live through each of `faults`, and again from the first while there is time; every fault comes at least once."""
    record = Record()
    writers = [Writer(place.cluster.kubeconfig, NAMESPACE, f"writer-{number}") for number in range(WRITERS)]
    load = Load()
    names = list(faults)
    until = time.monotonic() + 60 * minutes
    try:
        load.add(LOAD_BALANCER, get(place.address, 80), 2)
        # By the one host that nothing happens to; what a dead host's own address does needs no test.
        load.add(NODE_PORT, get(place.cluster.address(place.workers[0]), place.node_port), 2)
        load.add_writers(WRITES, writers)
        time.sleep(CALM_SECONDS)
        while len(record.chapters) < len(names) or time.monotonic() < until:
            chapter = _chapter(place, load, names[len(record.chapters) % len(names)])
            record.chapters.append(chapter)
            tell(chapter)
            if chapter.converged_seconds is None:
                break
    finally:
        load.close()
        for writer in writers:
            writer.close()
    record.requests = {one.name: len(one.answered) + len(one.failed) for one in load.accounts}
    record.failed = {one.name: len(one.failed) for one in load.accounts}
    stored = eventually(place.stored, "the writes can be read", 30)
    record.acknowledged = sum(len(writer.acknowledged) for writer in writers)
    record.lost = [name for writer in writers for name in writer.lost(stored)]
    return record


def _chapter(place: Place, load: Load, name: str) -> Chapter:
    chapter = Chapter(name)
    place.spread()
    began = time.monotonic()
    try:
        FAULTS[name](place)
        repaired = time.monotonic()
        chapter.lasted_seconds = repaired - began
        place.converge()
        chapter.converged_seconds = time.monotonic() - repaired
    except AssertionError as error:
        chapter.trouble = str(error)
    time.sleep(CALM_SECONDS)
    now = time.monotonic()
    for account in load.accounts:
        chapter.failed[account.name] = account.failures(began, now)
        chapter.longest_outage_seconds[account.name] = account.longest_outage_seconds(began, now)
    return chapter
