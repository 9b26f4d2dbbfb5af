"""Which devices claims get on a node: a search with a bound, the same for the same cluster.

Claims are taken in order, their requests in order, of each the ways in order of preference, and devices in the order of
pools and slices: what is found first is taken, as upstream does. Of equal requests no order of the same devices is
tried twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tiphys.api.types.core_v1 import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.api.types.resource_v1 import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceClass,
    DeviceConstraint,
    DeviceRequestAllocationResult,
)
from tiphys.scheduler.devices.inventory import DeviceId, Inventory, Offer, Pool
from tiphys.scheduler.devices.requests import Asked, ClaimProblem, Wanted

MAXIMUM_RESULTS: Final = 32
"""Devices of one claim; upstream's."""
MAXIMUM_STEPS: Final = 20_000
"""Devices tried for one pod on one node."""
Selects = Callable[[NodeSelector], bool]
"""Whether the node at hand is selected."""


class Grant(NamedTuple):
    """What one claim gets."""

    asked: Asked
    chosen: tuple[tuple[Wanted, Offer], ...]


class Unsatisfiable(Exception):
    """The node does not have what the claims ask for."""


class Allocator:
    """Finds devices. `taken`: those that other claims have; they are free to administrators alone."""

    def __init__(self, inventory: Inventory, taken: Collection[DeviceId]) -> None:
        self._taken = taken
        self._pools: list[Pool] = list(inventory.pools())
        self._local: dict[str, list[tuple[Pool, Offer]]] = {}
        self._wide: list[tuple[Pool, Offer]] = []
        for pool in self._pools:
            for offer in pool.offers:
                place = self._local.setdefault(offer.reach.node_name, []) if offer.reach.node_name else self._wide
                place.append((pool, offer))

    def may_have(self, node_name: str) -> bool:
        """Whether there is any device at all for that node."""
        return bool(self._wide) or node_name in self._local

    def allocate(self, asked: Sequence[Asked], node_name: str, selects: Selects) -> list[Grant]:
        """One Grant a claim. Raises Unsatisfiable, and ClaimProblem if it is no node's fault."""
        here = [
            (pool, offer)
            for pool, offer in (*self._local.get(node_name, ()), *self._wide)
            if offer.reach.selector is None or selects(offer.reach.selector)
        ]
        search = _Search(asked, here, self._taken, self._used_counters())
        if not search.run():
            raise Unsatisfiable
        return search.grants()

    def _used_counters(self) -> dict[tuple[str, str, str, str], int]:
        used: dict[tuple[str, str, str, str], int] = {}
        for pool in self._pools:
            if pool.counters:
                for offer in pool.offers:
                    if offer.id in self._taken:
                        for counter, amount in _consumed(pool, offer):
                            used[counter] = used.get(counter, 0) + amount
        return used


def _consumed(pool: Pool, offer: Offer) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    for consumption in offer.device.consumes_counters:
        for name, counter in consumption.counters.items():
            yield (pool.driver, pool.name, consumption.counter_set, name), counter.value.milli


class _Search:
    def __init__(
        self,
        asked: Sequence[Asked],
        here: Sequence[tuple[Pool, Offer]],
        taken: Collection[DeviceId],
        used: Mapping[tuple[str, str, str, str], int],
    ) -> None:
        self._asked = asked
        self._here = here
        self._taken = taken
        self._used = dict(used)
        self._mine: set[DeviceId] = set()
        self._chosen: list[list[tuple[Wanted, Offer]]] = [[] for _ in asked]
        self._candidates: dict[int, list[tuple[Pool, Offer]]] = {}
        self._steps = 0

    def run(self) -> bool:
        return self._claim(0)

    def grants(self) -> list[Grant]:
        return [Grant(asked, tuple(chosen)) for asked, chosen in zip(self._asked, self._chosen, strict=True)]

    def _claim(self, number: int) -> bool:
        return number == len(self._asked) or self._request(number, 0)

    def _request(self, claim: int, request: int) -> bool:
        requests = self._asked[claim].requests
        if request == len(requests):
            return self._claim(claim + 1)
        for wanted in requests[request]:
            candidates = self._matching(wanted)
            if wanted.number:
                if self._some(claim, request, wanted, candidates, 0, wanted.number):
                    return True
            elif self._all(claim, request, wanted, candidates):
                return True
        return False

    def _matching(self, wanted: Wanted) -> list[tuple[Pool, Offer]]:
        found = self._candidates.get(id(wanted))
        if found is None:
            found = self._candidates[id(wanted)] = [pair for pair in self._here if wanted.matches(pair[1])]
        return found

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
        for index in range(first, len(candidates) - missing + 1):
            pool, offer = candidates[index]
            if not pool.is_complete or pool.problem or not self._take(claim, wanted, pool, offer):
                continue
            if self._some(claim, request, wanted, candidates, index + 1, missing - 1):
                return True
            self._give_back(claim, wanted, pool, offer)
        return False

    def _all(self, claim: int, request: int, wanted: Wanted, candidates: Sequence[tuple[Pool, Offer]]) -> bool:
        for pool, _ in candidates:
            if not pool.is_complete or pool.problem:
                why = pool.problem or "is currently being updated"
                raise ClaimProblem(f"request {wanted.name}: asks for all devices, but resource pool {pool.name} {why}")
        done: list[tuple[Pool, Offer]] = []
        for pool, offer in candidates:
            if not self._take(claim, wanted, pool, offer):
                break
            done.append((pool, offer))
        else:
            if done and self._request(claim, request + 1):
                return True
        for pool, offer in reversed(done):
            self._give_back(claim, wanted, pool, offer)
        return False

    def _take(self, claim: int, wanted: Wanted, pool: Pool, offer: Offer) -> bool:
        self._steps += 1
        if self._steps > MAXIMUM_STEPS:
            raise ClaimProblem(f"no devices were found in {MAXIMUM_STEPS} steps: the claims are too intricate")
        chosen = self._chosen[claim]
        if len(chosen) == MAXIMUM_RESULTS or any(offer is other for _, other in chosen):
            return False
        if not wanted.admin_access:
            if offer.id in self._taken or offer.id in self._mine:
                return False
            for counter, amount in _consumed(pool, offer):
                if self._used.get(counter, 0) + amount > pool.counters.get(counter[2:], 0):
                    return False
        if not all(_agrees(each, wanted, offer, chosen) for each in self._asked[claim].constraints):
            return False
        chosen.append((wanted, offer))
        if not wanted.admin_access:
            self._mine.add(offer.id)
            for counter, amount in _consumed(pool, offer):
                self._used[counter] = self._used.get(counter, 0) + amount
        return True

    def _give_back(self, claim: int, wanted: Wanted, pool: Pool, offer: Offer) -> None:
        self._chosen[claim].pop()
        if not wanted.admin_access:
            self._mine.discard(offer.id)
            for counter, amount in _consumed(pool, offer):
                self._used[counter] -= amount


def concerns(requests: Collection[str], name: str) -> bool:
    """Whether a list of requests (empty: all) has that one; a request stands for all its subrequests."""
    return not requests or name in requests or name.partition("/")[0] in requests


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
    return all(other != value for other in others)


def allocation(grant: Grant, node_name: str, classes: Mapping[str, DeviceClass], now: str) -> AllocationResult:
    """What is written into the claim's status."""
    claim = grant.asked.claim
    results = tuple(
        DeviceRequestAllocationResult(
            request=wanted.name,
            driver=offer.id[0],
            pool=offer.id[1],
            device=offer.id[2],
            admin_access=True if wanted.admin_access else None,
            tolerations=wanted.tolerations,
        )
        for wanted, offer in grant.chosen
    )
    ways = list({wanted.name: wanted for wanted, _ in grant.chosen}.values())
    configured = [
        DeviceAllocationConfiguration(source="FromClass", requests=(wanted.name,), opaque=config.opaque)
        for wanted in ways
        for config in (classes[wanted.class_name].spec.config if wanted.class_name in classes else ())
    ]
    configured += [
        DeviceAllocationConfiguration(source="FromClaim", requests=config.requests, opaque=config.opaque)
        for config in (claim.spec.devices.config if claim.spec.devices is not None else ())
        if any(concerns(config.requests, wanted.name) for wanted in ways)
    ]
    return AllocationResult(
        devices=DeviceAllocationResult(results=results, config=tuple(configured)),
        node_selector=_reach(grant, node_name),
        allocation_timestamp=now,
    )


def _reach(grant: Grant, node_name: str) -> NodeSelector | None:
    """On which nodes these devices can be used together; None: on all."""
    if any(offer.reach.node_name for _, offer in grant.chosen):
        field = NodeSelectorRequirement(key="metadata.name", operator="In", values=(node_name,))
        return NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(field,)),))
    expressions: dict[str, NodeSelectorRequirement] = {}
    fields: dict[str, NodeSelectorRequirement] = {}
    for _, offer in grant.chosen:
        for term in offer.reach.selector.node_selector_terms if offer.reach.selector is not None else ():
            expressions |= {repr(each): each for each in term.match_expressions}
            fields |= {repr(each): each for each in term.match_fields}
    if not expressions and not fields:
        return None
    term = NodeSelectorTerm(match_expressions=tuple(expressions.values()), match_fields=tuple(fields.values()))
    return NodeSelector(node_selector_terms=(term,))
