"""Whatever comes and goes: no seat is given twice, none is idle while somebody may have it, and everybody is served."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.types.flowcontrol_v1 import PriorityLevelConfiguration
from tiphys.apiserver.bootstrap import flow_control as built_in
from tiphys.apiserver.flow_control.levels import Level, Rejected, Seats

LEVELS = [one for one in built_in.objects() if isinstance(one, PriorityLevelConfiguration)]
NAMES = sorted(one.metadata.name or "" for one in LEVELS)

steps = st.lists(
    st.tuples(st.sampled_from(["take", "take", "take", "give", "leave"]), st.sampled_from(NAMES), st.integers(0, 3)),
    max_size=120,
)


class _World:
    """The levels, who waits, and how many seats each level should have given."""

    def __init__(self, total: int) -> None:
        self.seats = Seats(total, 60)
        self.seats.configure(LEVELS)
        self.waiting: dict[str, list[asyncio.Future[None]]] = {name: [] for name in NAMES}
        self.held = dict.fromkeys(NAMES, 0)

    def step(self, action: str, name: str, number: int) -> None:
        level = self.seats.levels[name]
        if action == "take":
            self._take(level, f"flow-{number}")
        elif action == "give" and level.executing:
            self.held[name] -= 1
            self.seats.give_back(level)
        elif action == "leave" and self.waiting[name]:
            place = self.waiting[name][number % len(self.waiting[name])]
            if not place.done():
                place.cancel()
                assert level.forget(place)
        self._collect()
        self._check()

    def _take(self, level: Level, flow: str) -> None:
        try:
            place = self.seats.take(level, flow)
        except Rejected:
            assert not level.exempt
            return
        if place is None:
            self.held[level.name] += 1
        else:
            self.waiting[level.name].append(place)

    def _collect(self) -> None:
        for name, places in self.waiting.items():
            self.held[name] += sum(place.done() and not place.cancelled() for place in places)
            self.waiting[name] = [place for place in places if not place.done()]

    def _check(self) -> None:
        limited = [level for level in self.seats.levels.values() if not level.exempt]
        guaranteed = sum(level.kept for level in limited)
        assert sum(level.executing for level in limited) <= max(self.seats.total, guaranteed)
        for name, level in self.seats.levels.items():
            assert level.executing == self.held[name]
            assert level.waiting == len(self.waiting[name]) == sum(map(len, level.queues))
            assert not (level.waiting and self.seats._free(level)), "a seat is idle while somebody waits for it"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), steps)
def test_seats_are_given_once_and_never_idle(total: int, taken: list[tuple[str, str, int]]) -> None:
    async def run() -> None:
        world = _World(total)
        for action, name, number in taken:
            world.step(action, name, number)
        while any(world.held.values()):
            for name in NAMES:
                world.step("give", name, 0)
        assert not any(world.waiting.values()), "everybody is served in the end"

    asyncio.run(run())
