"""The search for devices: claim by claim, request by request, way by way, device by device; the first hit is taken.

Of equal requests no order of the same devices is tried twice, and what can be seen not to suffice is not tried at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tiphys.api.quantity import Quantity
from tiphys.api.types.resource_v1 import DeviceConstraint
from tiphys.scheduler.devices.inventory import CounterId, DeviceId, Offer, Pool
from tiphys.scheduler.devices.requests import Asked, Wanted, concerns
from tiphys.scheduler.devices.usage import Usage

MAXIMUM_RESULTS: Final = 32
"""Devices of one claim; upstream's."""
CANNOT_ALLOCATE: Final = "cannot allocate all claims"
TOO_LONG: Final = "timed out trying to allocate devices"


class Unsatisfiable(Exception):
    """The node does not have what the claims ask for; the text is upstream's reason."""

    def __init__(self, reason: str = CANNOT_ALLOCATE) -> None:
        super().__init__(reason)


class Grant(NamedTuple):
    """What one claim gets."""

    asked: Asked
    chosen: tuple[tuple[Wanted, Offer], ...]


class Steps:
    """How many devices may still be tried, for a pod on one node and on all. A bound that, unlike time, is always the
    same."""

    def __init__(self, total: int, on_one_node: int) -> None:
        self.left = total
        self._on_one_node = on_one_node
        self._here = on_one_node

    def next_node(self) -> None:
        self._here = self._on_one_node

    def take(self) -> None:
        """One more. Raises Unsatisfiable when there is none."""
        if not self.left or not self._here:
            raise Unsatisfiable(TOO_LONG)
        self.left -= 1
        self._here -= 1


class Search:
    """On one node. `here`: the devices that can be used there."""

    def __init__(
        self, asked: Sequence[Asked], here: Sequence[tuple[Pool, Offer]], usage: Usage, used: Counters, steps: Steps
    ) -> None:
        self._asked = asked
        self._here = here
        self._usage = usage
        self._used = used
        self._own: dict[CounterId, int] = {}
        self._mine: set[DeviceId] = set()
        self._shares: dict[DeviceId, list[Mapping[str, Quantity]]] = {}
        self._chosen: list[list[tuple[Wanted, Offer]]] = [[] for _ in asked]
        self._candidates: dict[int, list[tuple[Pool, Offer]] | None] = {}
        self._steps = steps

    def run(self) -> list[Grant]:
        """One Grant a claim. Raises Unsatisfiable, and ClaimProblem if it is no node's fault."""
        for asked in self._asked:
            for wanted in (way for ways in asked.requests for way in ways if not way.number):
                self._check_whole(asked, wanted)
        if not self._claim(0):
            if any(pool.problem for pool, _ in self._here):
                raise Unsatisfiable("invalid resource pools were encountered")
            raise Unsatisfiable
        return [Grant(asked, tuple(chosen)) for asked, chosen in zip(self._asked, self._chosen, strict=True)]

    def _check_whole(self, asked: Asked, wanted: Wanted) -> None:
        for pool, _ in self._here:
            if not pool.is_complete or pool.problem:
                why = "is currently invalid" if pool.is_complete else "is currently being updated"
                meta, where = asked.claim.metadata, f"{pool.driver}/{pool.name}"
                raise Unsatisfiable(
                    f"claim {meta.namespace}/{meta.name}, request {wanted.short_name}: "
                    f"asks for all devices, but resource pool {where} {why}"
                )

    def _claim(self, number: int) -> bool:
        return number == len(self._asked) or self._request(number, 0)

    def _request(self, claim: int, request: int) -> bool:
        requests = self._asked[claim].requests
        if request == len(requests):
            return self._claim(claim + 1)
        for wanted in requests[request]:
            candidates = self._usable(wanted)
            if not candidates:
                continue
            missing = wanted.number or len(candidates)
            if len(self._chosen[claim]) + missing > MAXIMUM_RESULTS:
                continue
            if self._some(claim, request, wanted, candidates, 0, missing):
                return True
        return False

    def _usable(self, wanted: Wanted) -> list[tuple[Pool, Offer]] | None:
        """Which devices may be chosen; None if those cannot suffice. Asked once a way."""
        if id(wanted) in self._candidates:
            return self._candidates[id(wanted)]
        found: list[tuple[Pool, Offer]] | None
        if wanted.number:
            found = [pair for pair in self._here if self._is_free(wanted, *pair) and _is_wanted(wanted, pair[1])]
            enough = len(found) >= wanted.number or any(offer.is_shared for _, offer in found)
        else:
            # One that cannot be had is one too few.
            found = [pair for pair in self._here if wanted.matches(pair[1])]
            enough = all(self._is_free(wanted, *pair) and wanted.tolerates(pair[1]) for pair in found)
        self._candidates[id(wanted)] = found = found if enough else None
        return found

    def _is_free(self, wanted: Wanted, pool: Pool, offer: Offer) -> bool:
        if not pool.is_complete or pool.problem:
            return False
        # What was shared once is not given to one alone as long as somebody has a part of it.
        others = offer.id in self._usage if offer.is_shared else self._usage.is_used(offer.id)
        return wanted.admin_access or not others

    def _some(
        self,
        claim: int,
        request: int,
        wanted: Wanted,
        candidates: Sequence[tuple[Pool, Offer]],
        first: int,
        missing: int,
    ) -> bool:
        if not missing:
            return self._request(claim, request + 1)
        for index in range(first, len(candidates)):
            pool, offer = candidates[index]
            if not self._take(claim, wanted, pool, offer):
                continue
            # More than one part of a shared device may be had, but All is each of them once.
            following = index if offer.is_shared and wanted.number else index + 1
            if self._some(claim, request, wanted, candidates, following, missing - 1):
                return True
            self._give_back(claim, wanted, offer)
        return False

    def _take(self, claim: int, wanted: Wanted, pool: Pool, offer: Offer) -> bool:
        self._steps.take()
        chosen = self._chosen[claim]
        is_share = offer.is_shared and not wanted.admin_access
        if not is_share and any(offer is other for _, other in chosen):
            return False
        if not wanted.admin_access and not (self._has_room(wanted, offer) if is_share else offer.id not in self._mine):
            return False
        counters = [] if is_share and self._is_in_use(offer) else list(consumed(offer))
        if not all(self._has_left(pool, counter, amount) for counter, amount in counters):
            return False
        if not all(_agrees(each, wanted, offer, chosen) for each in self._asked[claim].constraints):
            return False
        chosen.append((wanted, offer))
        if is_share:
            self._shares.setdefault(offer.id, []).append(wanted.takes(offer) or {})
        elif not wanted.admin_access:
            self._mine.add(offer.id)
        for counter, amount in counters:
            self._own[counter] = self._own.get(counter, 0) + amount
        return True

    def _give_back(self, claim: int, wanted: Wanted, offer: Offer) -> None:
        self._chosen[claim].pop()
        is_share = offer.is_shared and not wanted.admin_access
        if is_share:
            self._shares[offer.id].pop()
        elif not wanted.admin_access:
            self._mine.discard(offer.id)
        if not is_share or not self._is_in_use(offer):
            for counter, amount in consumed(offer):
                self._own[counter] -= amount

    def _is_in_use(self, offer: Offer) -> bool:
        """Whether somebody has a share of it, or gets one now: then what it consumes is consumed."""
        return self._usage.is_used(offer.id) or bool(self._shares.get(offer.id))

    def _has_room(self, wanted: Wanted, offer: Offer) -> bool:
        """Whether the shared device has as much left as the request takes."""
        known, mine = self._usage.shares(offer.id), self._shares.get(offer.id, ())
        return all(
            known.get(name, 0) + sum(share[name].milli for share in mine) + amount.milli
            <= offer.device.capacity[name].value.milli
            for name, amount in (wanted.takes(offer) or {}).items()
        )

    def _has_left(self, pool: Pool, counter: CounterId, amount: int) -> bool:
        used = self._used.of(pool).get(counter, 0) + self._own.get(counter, 0)
        return used + amount <= pool.counters.get(counter[2:], 0)


def _is_wanted(wanted: Wanted, offer: Offer) -> bool:
    return wanted.matches(offer) and wanted.tolerates(offer)


class Counters:
    """How much of what devices share is used up, by pool; summed when first asked for."""

    def __init__(self, usage: Usage) -> None:
        self._usage = usage
        self._by_pool: dict[tuple[str, str], Mapping[CounterId, int]] = {}

    def of(self, pool: Pool) -> Mapping[CounterId, int]:
        key = (pool.driver, pool.name)
        if key not in self._by_pool:
            used: dict[CounterId, int] = {}
            for offer in pool.offers:
                if offer.device.consumes_counters and self._usage.is_used(offer.id):
                    for counter, amount in consumed(offer):
                        used[counter] = used.get(counter, 0) + amount
            self._by_pool[key] = used
        return self._by_pool[key]


def consumed(offer: Offer) -> Iterator[tuple[CounterId, int]]:
    """What the device uses up of its pool's counters, in thousandths."""
    driver, pool, _ = offer.id
    for consumption in offer.device.consumes_counters:
        for name, counter in consumption.counters.items():
            yield (driver, pool, consumption.counter_set, name), counter.value.milli


def _agrees(constraint: DeviceConstraint, wanted: Wanted, offer: Offer, chosen: Sequence[tuple[Wanted, Offer]]) -> bool:
    if not concerns(constraint.requests, wanted.name):
        return True
    attribute = constraint.match_attribute or constraint.distinct_attribute
    if not attribute:
        return True
    value = offer.attribute(attribute)
    if value is None:
        return False
    others = (other.attribute(attribute) for way, other in chosen if concerns(constraint.requests, way.name))
    if constraint.match_attribute:
        return all(type(other) is type(value) and other == value for other in others)
    return all(type(other) is not type(value) or other != value for other in others)
