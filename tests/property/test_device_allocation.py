"""Devices of claims: found exactly if there is a way, by trying everything; and never given twice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.devices.making import DRIVER, claim, device, device_class, request, slice_of
from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.scheduler.devices import Allocator, DeviceId, Grant, Inventory, Unsatisfiable, Usage
from tiphys.scheduler.devices.requests import Asked, Wanted, resolve

CAPACITY = 4


class Case:
    """Devices on a node, some of them taken, and claims."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.devices: dict[str, dict[str, Any]] = {}
        self.uses: dict[str, int] = {}
        for number in range(rng.randint(1, 6)):
            name = f"d{number}"
            attributes: dict[str, Any] = {"numa": rng.randint(0, 2)} if rng.random() < 0.8 else {}
            attributes["model"] = rng.choice(("small", "large"))
            if rng.random() < 0.5:
                self.uses[name] = rng.randint(1, 3)
                consumed = {"counterSet": "shared", "counters": {"slots": {"value": str(self.uses[name])}}}
                attributes["consumesCounters"] = [consumed]
            self.devices[name] = device(name, **attributes)
        counters = [{"name": "shared", "counters": {"slots": {"value": str(CAPACITY)}}}]
        self.inventory = Inventory()
        self.inventory.observe(slice_of("pool", *self.devices.values(), node="n1", sharedCounters=counters))
        self.taken: set[str] = set()
        for name in self.devices:
            if rng.random() < 0.2 and self._slots(self.taken | {name}) <= CAPACITY:
                self.taken.add(name)
        self.claims = [self._claim(f"c{number}") for number in range(rng.randint(1, 2))]

    def _slots(self, names: set[str]) -> int:
        return sum(self.uses.get(name, 0) for name in names)

    def _claim(self, name: str) -> ResourceClaim:
        rng = self.rng
        requests = []
        for number in range(rng.randint(1, 2)):
            expressions = rng.choice(((), ('device.attributes["gpu.example.com"].model == "large"',)))
            if rng.random() < 0.15:
                requests.append(request(f"r{number}", 1, *expressions, allocationMode="All"))
            else:
                requests.append(request(f"r{number}", rng.randint(1, 2), *expressions))
        constraints = []
        if rng.random() < 0.5:
            kind = rng.choice(("matchAttribute", "distinctAttribute"))
            of = {} if rng.random() < 0.5 else {"requests": ["r0"]}
            constraints.append({kind: f"{DRIVER}/numa", **of})
        return claim(name, *requests, constraints=constraints)

    def asked(self) -> list[Asked]:
        return [resolve(each, {"gpu": device_class()}) for each in self.claims]

    def matching(self, wanted: Wanted) -> list[str]:
        large = any("large" in expression for expression in wanted.selectors)
        return [n for n, d in self.devices.items() if not large or d["attributes"]["model"]["string"] == "large"]

    def ways(self) -> Iterator[list[tuple[int, str, str]]]:
        """Every choice of (claim, request, device) that is allowed, found by trying all."""
        slots = []
        for number, asked in enumerate(self.asked()):
            for (wanted,) in asked.requests:
                options = self.matching(wanted)
                sets = [tuple(options)] if not wanted.number else list(itertools.combinations(options, wanted.number))
                slots.append([(number, wanted.name, chosen) for chosen in sets if chosen])
        for combination in itertools.product(*slots):
            flat = [(number, name, d) for number, name, chosen in combination for d in chosen]
            if self.is_allowed(flat):
                yield flat

    def is_allowed(self, flat: list[tuple[int, str, str]]) -> bool:
        given_away = [d for _, _, d in flat]
        if len(set(given_away)) < len(given_away) or self.taken & set(given_away):
            return False
        if any(d in self.uses for d in given_away) and self._slots(self.taken | set(given_away)) > CAPACITY:
            return False
        for number, asked in enumerate(self.asked()):
            for constraint in asked.constraints:
                concerned = [
                    d for c, name, d in flat if c == number and (not constraint.requests or name in constraint.requests)
                ]
                values = [self.devices[d]["attributes"].get("numa") for d in concerned]
                if None in values:
                    return False
                different = len({value["int"] for value in values})
                if constraint.match_attribute and different > 1:
                    return False
                if constraint.distinct_attribute and different < len(values):
                    return False
        return True


def chosen_of(grants: list[Grant]) -> list[tuple[int, str, str]]:
    return [(number, w.name, o.id[2]) for number, grant in enumerate(grants) for w, o in grant.chosen]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32))
def test_devices_are_found_exactly_if_there_is_a_way(seed: int) -> None:
    case = Case(random.Random(seed))
    taken: set[DeviceId] = {(DRIVER, "pool", name) for name in case.taken}
    exists = next(case.ways(), None) is not None
    try:
        grants = Allocator(case.inventory, Usage.of(taken)).allocate(case.asked(), "n1", lambda selector: False)
    except Unsatisfiable:
        assert not exists
        return
    found = chosen_of(grants)
    assert exists
    assert case.is_allowed(found)
    for number, asked in enumerate(case.asked()):
        for (wanted,) in asked.requests:
            mine = [d for c, name, d in found if (c, name) == (number, wanted.name)]
            assert set(mine) <= set(case.matching(wanted))
            assert len(mine) == (wanted.number or len(case.matching(wanted)))
