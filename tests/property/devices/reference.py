"""What devices a node can give to claims, said plainly: every choice is tried. Knows nothing of the allocator.

Clusters are made small, so that all choices can be tried; what they are made of is everything that upstream's stable
allocator looks at.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.unit.scheduler.devices.making import DRIVER

NODES: Final = {"n1": "a", "n2": "b"}
"""Nodes and their zones."""
COUNTER: Final = 4
"""How much each pool has to share."""
LARGE: Final = f'device.attributes["{DRIVER}"].model == "large"'


@dataclass
class Gadget:
    """A device."""

    name: str
    model: str
    numa: int | None
    taint: str = ""
    consumes: int = 0
    place: str = ""
    """As `Part.place`, if its part says "each"."""


@dataclass
class Part:
    """A ResourceSlice. `place`: a node, "zone-X", "all" or "each" (its devices say it)."""

    generation: int
    slices: int
    place: str
    gadgets: list[Gadget] = field(default_factory=list)


@dataclass
class Way:
    """One way to satisfy a request. `number` 0: all."""

    large_class: bool
    large: bool
    number: int
    tolerates: bool
    admin: bool = False


@dataclass
class Wish:
    """A claim: requests, each with its ways, most wanted first (one: `exactly`)."""

    requests: list[list[Way]]
    constraint: tuple[str, tuple[str, ...]] | None
    """(matchAttribute or distinctAttribute, requests)."""


Choice = tuple[int, int, int, str, str]
"""(claim, request, way, pool, device)."""


class Case:
    """Pools by name, devices that others have, and the claims of one pod."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.pools = {f"p{number}": self._pool(number) for number in range(rng.randint(1, 3))}
        ids = {(pool, gadget.name) for pool, parts in self.pools.items() for part in parts for gadget in part.gadgets}
        self.taken = {each for each in sorted(ids) if rng.random() < 0.15}
        self.wishes = [self._wish() for _ in range(rng.choice((1, 1, 2)))]

    def _pool(self, number: int) -> list[Part]:
        rng = self._rng
        slices = rng.choice((1, 1, 2))
        generations = [1] * rng.choice((0, 0, 1)) + [2] * (slices if rng.random() < 0.85 else 1)
        names = iter(range(10))
        parts = []
        for generation in generations:
            place = rng.choice(("n1", "n1", "n2", "zone-a", "zone-b", "all", "each"))
            part = Part(generation, slices, place)
            part.gadgets = [self._gadget(f"d{next(names)}", place == "each") for _ in range(rng.randint(1, 3))]
            parts.append(part)
        if rng.random() < 0.05:
            parts[-1].gadgets.append(Gadget(parts[-1].gadgets[0].name, "small", None, place="all"))
        return parts

    def _gadget(self, name: str, is_placed: bool) -> Gadget:
        rng = self._rng
        return Gadget(
            name,
            rng.choice(("small", "large")),
            rng.choice((None, 0, 0, 1, 1)),
            rng.choice(("", "", "", "NoSchedule", "NoExecute", "None")),
            rng.choice((0, 0, 1, 2, 3)),
            rng.choice(("n1", "n2", "zone-a", "all")) if is_placed else "",
        )

    def _wish(self) -> Wish:
        rng = self._rng
        requests = []
        for _ in range(rng.choice((1, 1, 2))):
            ways = [self._way() for _ in range(rng.choice((1, 1, 2)))]
            if len(ways) == 1:
                ways[0].admin = rng.random() < 0.15
            requests.append(ways)
        kind = rng.choice(("", "", "matchAttribute", "distinctAttribute"))
        return Wish(requests, (kind, rng.choice(((), ("r0",), ("r0/w1",)))) if kind else None)

    def _way(self) -> Way:
        rng = self._rng
        number = 0 if rng.random() < 0.15 else rng.choice((1, 1, 2))
        return Way(rng.random() < 0.3, rng.random() < 0.3, number, rng.random() < 0.4)

    def newest(self, pool: str) -> list[Part]:
        """Only the newest generation counts."""
        generation = max(part.generation for part in self.pools[pool])
        return [part for part in self.pools[pool] if part.generation == generation]

    def is_whole(self, pool: str) -> bool:
        """All slices are there and no device twice."""
        parts = self.newest(pool)
        names = [gadget.name for part in parts for gadget in part.gadgets]
        return len(parts) == parts[0].slices and len(set(names)) == len(names)

    def gadgets(self, node: str) -> list[tuple[str, Gadget]]:
        """Those that can be used on the node, whole pool or not."""
        return [
            (pool, gadget)
            for pool in self.pools
            for part in self.newest(pool)
            for gadget in part.gadgets
            if _reaches(gadget.place if part.place == "each" else part.place, node)
        ]

    def is_undecided(self, node: str) -> bool:
        """Whether "all" cannot be told, as a pool is not whole."""
        asks_all = any(not way.number for wish in self.wishes for ways in wish.requests for way in ways)
        return asks_all and any(not self.is_whole(pool) for pool, _ in self.gadgets(node))

    def ways(self, node: str) -> Iterator[tuple[tuple[int, ...], list[Choice]]]:
        """Every allowed choice, those of preferred ways first, with the ways that it takes."""
        requests = [(c, r, ways) for c, wish in enumerate(self.wishes) for r, ways in enumerate(wish.requests)]
        for taken in itertools.product(*(range(len(ways)) for _, _, ways in requests)):
            options = [
                [[(c, r, way, *each) for each in chosen] for chosen in self._sets(ways[way], node)]
                for (c, r, ways), way in zip(requests, taken, strict=True)
            ]
            for combination in itertools.product(*options):
                choice = [each for chosen in combination for each in chosen]
                if self.is_allowed(choice):
                    yield taken, choice

    def _sets(self, way: Way, node: str) -> list[list[tuple[str, str]]]:
        fitting = [(p, g.name) for p, g in self.gadgets(node) if self.is_whole(p) and fits(way, g)]
        if way.number:
            return [list(chosen) for chosen in itertools.combinations(fitting, way.number)]
        return [fitting] if fitting else []

    def gadget(self, pool: str, name: str) -> Gadget:
        return next(g for part in self.newest(pool) for g in part.gadgets if g.name == name)

    def is_allowed(self, choice: list[Choice]) -> bool:
        """Whether the devices may be given out together, next to those that others have."""
        return (
            self._are_free(choice)
            and self._are_tolerated(choice)
            and self._have_counters(choice)
            and all(self._keeps(wish, number, choice) for number, wish in enumerate(self.wishes))
        )

    def way(self, choice: Choice) -> Way:
        return self.wishes[choice[0]].requests[choice[1]][choice[2]]

    def _are_free(self, choice: list[Choice]) -> bool:
        if any(count > 1 for count in Counter((c, pool, name) for c, _, _, pool, name in choice).values()):
            return False
        own = [(each[3], each[4]) for each in choice if not self.way(each).admin]
        return len(set(own)) == len(own) and not self.taken & set(own)

    def _are_tolerated(self, choice: list[Choice]) -> bool:
        return all(
            self.way(each).tolerates or self.gadget(each[3], each[4]).taint not in ("NoSchedule", "NoExecute")
            for each in choice
        )

    def _have_counters(self, choice: list[Choice]) -> bool:
        for pool in {each[3] for each in choice}:
            asked = [self.gadget(pool, each[4]).consumes for each in choice if each[3] == pool]
            gone = sum(self.gadget(p, name).consumes for p, name in self._known_taken() if p == pool)
            if any(asked) and gone + sum(asked) > COUNTER:
                return False
        return True

    def _known_taken(self) -> Iterator[tuple[str, str]]:
        for pool, name in self.taken:
            if any(g.name == name for part in self.newest(pool) for g in part.gadgets):
                yield pool, name

    def _keeps(self, wish: Wish, number: int, choice: list[Choice]) -> bool:
        if wish.constraint is None:
            return True
        kind, names = wish.constraint
        values = [
            self.gadget(pool, name).numa
            for c, request, way, pool, name in choice
            if c == number and (not names or {f"r{request}", self._name(wish, request, way)} & set(names))
        ]
        if None in values:
            return False
        return len(set(values)) <= 1 if kind == "matchAttribute" else len(set(values)) == len(values)

    def _name(self, wish: Wish, request: int, way: int) -> str:
        return f"r{request}/w{way}" if len(wish.requests[request]) > 1 else f"r{request}"


def _reaches(place: str, node: str) -> bool:
    return place in (node, "all", f"zone-{NODES[node]}")


def fits(way: Way, gadget: Gadget) -> bool:
    return not (way.large_class or way.large) or gadget.model == "large"


def where(place: str) -> dict[str, Any]:
    """As a slice or a device says it."""
    if place == "each":
        return {"perDeviceNodeSelection": True}
    if place == "all":
        return {"allNodes": True}
    if place.startswith("zone-"):
        rule = {"key": "zone", "operator": "In", "values": [place.removeprefix("zone-")]}
        return {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}
    return {"nodeName": place}
