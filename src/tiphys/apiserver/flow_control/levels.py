"""Priority levels while they work: seats, and queues for who finds none free.

    arrives ──a seat is free──────────────────────────────► has a seat ──► done: the seat goes to who waits
            ──none, the level queues──► waits in one queue ──►┘
            ──none, its queue is full, or it waited too long──► Rejected

A level has a share of the server's seats. What it lends (``lendablePercent``) others may take while it does not need
it; what it does not lend is free for it at any time, whatever the others do. The queues of a level take turns, and a
flow has a small hand of queues: one that floods the server fills its own hand only.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections import deque
from collections.abc import Iterable
from typing import Final

from tiphys.api.types.flowcontrol_v1 import PriorityLevelConfiguration

CONCURRENCY_LIMIT: Final = "concurrency-limit"
QUEUE_FULL: Final = "queue-full"
TIME_OUT: Final = "time-out"
_DEFAULT_LIMITED: Final = (30, 0)


class Rejected(Exception):
    """There is no place for the request; `reason` is upstream's word for why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Level:
    """One priority level. `seats` is its own share, `executing` how many requests have a seat.

    exempt levels have no limit. `hand` is 0 where nobody waits: without a seat a request is rejected.
    """

    __slots__ = (
        "dispatched", "executing", "exempt", "hand", "lendable", "name", "queue_length", "queues", "rejected", "seats",
        "shares", "turn", "uid", "waiting",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.shares = 0
        self.seats = self.lendable = self.hand = self.queue_length = 0
        self.queues: list[deque[asyncio.Future[None]]] = []
        self.turn = 0
        self.executing = self.waiting = self.dispatched = 0
        self.rejected: dict[str, int] = {}

    def configure(self, stored: PriorityLevelConfiguration, total_seats: int, total_shares: int) -> None:
        """Work by the stored object from now on. Who waits already keeps waiting."""
        self.uid = stored.metadata.uid or ""
        self.exempt = stored.spec.type == "Exempt"
        self.shares, lendable_percent = shares_of(stored)
        self.seats = math.ceil(total_seats * self.shares / total_shares) if total_shares else 0
        self.lendable = round(self.seats * lendable_percent / 100)
        limited = stored.spec.limited
        response = None if limited is None else limited.limit_response
        queuing = None if response is None or response.type != "Queue" else response.queuing
        if queuing is None:
            self.hand = 0
            return
        self.hand, self.queue_length = max(1, queuing.hand_size or 8), queuing.queue_length_limit or 50
        count = max(self.hand, queuing.queues or 64)
        self.queues += [deque() for _ in range(count - len(self.queues))]

    @property
    def kept(self) -> int:
        """How many seats are free for it at any time; one at least, or it might wait for ever."""
        return max(1, self.seats - self.lendable)

    def queue_for(self, flow: str) -> deque[asyncio.Future[None]]:
        """The shortest queue of the flow's hand."""
        count, hashed = len(self.queues), zlib.crc32(flow.encode()) * 0x9E3779B97F4A7C15
        hand: list[deque[asyncio.Future[None]]] = []
        for _ in range(self.hand):
            hashed, card = divmod(hashed, count)
            hand.append(self.queues[card])
        return min(hand, key=len)

    def next_waiting(self) -> asyncio.Future[None] | None:
        """Take who is next out of its queue: each queue in its turn."""
        for step in range(len(self.queues)):
            queue = self.queues[(self.turn + step) % len(self.queues)]
            while queue:
                found = queue.popleft()
                self.waiting -= 1
                if not found.done():
                    self.turn = (self.turn + step + 1) % len(self.queues)
                    return found
        return None

    def forget(self, waiting: asyncio.Future[None]) -> bool:
        """Take one that gives up out of its queue; False if it is in none any more."""
        for queue in self.queues:
            if waiting in queue:
                queue.remove(waiting)
                self.waiting -= 1
                return True
        return False


class Seats:
    """All levels over one server's seats. `levels` are those configured now."""

    def __init__(self, total: int, wait_seconds: float) -> None:
        self.total = total
        self.levels: dict[str, Level] = {}
        self._wait_seconds = wait_seconds

    def configure(self, stored: Iterable[PriorityLevelConfiguration]) -> None:
        """Have exactly these levels. One that is gone still gives its seats to who waits there."""
        objects = {one.metadata.name or "": one for one in stored}
        total_shares = sum(shares_of(one)[0] for one in objects.values())
        levels = {name: self.levels.get(name) or Level(name) for name in objects}
        for name, level in levels.items():
            level.configure(objects[name], self.total, total_shares)
        levels.update((name, left) for name, left in self.levels.items() if name not in levels and left.waiting)
        self.levels = levels

    def take(self, level: Level, flow: str) -> asyncio.Future[None] | None:
        """Take a seat: None if it is taken, else what to `wait` for. Raises Rejected. `give_back` must follow."""
        if level.exempt or (not level.waiting and self._free(level)):
            level.executing += 1
            level.dispatched += 1
            return None
        if not level.hand:
            raise self._rejected(level, CONCURRENCY_LIMIT)
        queue = level.queue_for(flow)
        if len(queue) >= level.queue_length:
            raise self._rejected(level, QUEUE_FULL)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(waiting)
        level.waiting += 1
        return waiting

    async def wait(self, level: Level, waiting: asyncio.Future[None]) -> None:
        """Return with a seat. Raises Rejected when it takes too long; cancelled, a seat just given goes on."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiting
        except TimeoutError:
            self._leave(level, waiting)
            raise self._rejected(level, TIME_OUT) from None
        except asyncio.CancelledError:
            self._leave(level, waiting)
            raise

    def give_back(self, level: Level) -> None:
        """A request is done: its seat is for who waits, first in its own level."""
        level.executing -= 1
        if level.waiting:
            self._dispatch(level)
        if self.borrowing:
            for other in self.levels.values():
                if other.waiting and other is not level:
                    self._dispatch(other)

    @property
    def borrowing(self) -> bool:
        """True if somebody waits anywhere."""
        return any(level.waiting for level in self.levels.values())

    def _leave(self, level: Level, waiting: asyncio.Future[None]) -> None:
        if not level.forget(waiting) and not waiting.cancelled():
            self.give_back(level)

    def _dispatch(self, level: Level) -> None:
        while level.waiting and self._free(level):
            waiting = level.next_waiting()
            if waiting is None:
                return
            level.executing += 1
            level.dispatched += 1
            waiting.set_result(None)

    def _free(self, level: Level) -> bool:
        """Whether the level may use one more seat: its own, or one that is lent."""
        if level.executing < level.kept:
            return True
        taken = 0
        for other in self.levels.values():
            if other is not level and not other.exempt:
                taken += max(other.executing, other.kept)
        return level.executing + taken < self.total

    @staticmethod
    def _rejected(level: Level, reason: str) -> Rejected:
        level.rejected[reason] = level.rejected.get(reason, 0) + 1
        return Rejected(reason)


def shares_of(stored: PriorityLevelConfiguration) -> tuple[int, int]:
    """A level's nominal shares and what percentage of its seats it lends."""
    if stored.spec.type == "Exempt":
        exempt = stored.spec.exempt
        return (0, 0) if exempt is None else (exempt.nominal_concurrency_shares or 0, exempt.lendable_percent or 0)
    limited = stored.spec.limited
    if limited is None:
        return _DEFAULT_LIMITED
    shares = limited.nominal_concurrency_shares
    return (_DEFAULT_LIMITED[0] if shares is None else shares), limited.lendable_percent or 0
