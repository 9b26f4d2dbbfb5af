"""The allocator against the reference: something is found exactly if there is a way, the best way first."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.property.devices.reference import COUNTER, LARGE, NODES, Case, Choice, Part, Way, where
from tests.unit.scheduler.devices.making import DRIVER, device, device_class
from tiphys.api import codec
from tiphys.api.types.core_v1 import NodeSelector
from tiphys.api.types.resource_v1 import ResourceClaim, ResourceSlice
from tiphys.scheduler.devices import Allocator, DeviceId, Inventory, Unsatisfiable, Usage
from tiphys.scheduler.devices.requests import Asked, resolve
from tiphys.scheduler.devices.search import TOO_LONG

CLASSES = {"gpu": device_class(), "large": device_class("large", LARGE)}


def inventory_of(case: Case, order: random.Random) -> Inventory:
    """The pools as slices, come in any order."""
    made = [(pool, n, part) for pool, parts in case.pools.items() for n, part in enumerate(parts)]
    order.shuffle(made)
    inventory = Inventory()
    for pool, number, part in made:
        inventory.observe(_slice(pool, number, part))
    return inventory


def _slice(pool: str, number: int, part: Part) -> ResourceSlice:
    devices = []
    for gadget in part.gadgets:
        more: dict[str, Any] = {} if gadget.numa is None else {"numa": gadget.numa}
        if gadget.taint:
            more["taints"] = [{"key": "t", "value": "v", "effect": gadget.taint}]
        if gadget.consumes:
            more["consumesCounters"] = [{"counterSet": "s", "counters": {"c": {"value": str(gadget.consumes)}}}]
        place = where(gadget.place) if part.place == "each" else {}
        devices.append({**device(gadget.name, model=gadget.model, **more), **place})
    spec = {
        "driver": DRIVER,
        "pool": {"name": pool, "generation": part.generation, "resourceSliceCount": part.slices},
        "devices": devices,
        "sharedCounters": [{"name": "s", "counters": {"c": {"value": str(COUNTER)}}}],
        **where(part.place),
    }
    return codec.from_dict(ResourceSlice, {"metadata": {"name": f"{pool}-{number}"}, "spec": spec})


def claims_of(case: Case) -> list[Asked]:
    return [resolve(_claim(case, number), CLASSES) for number in range(len(case.wishes))]


def _claim(case: Case, number: int) -> ResourceClaim:
    wish = case.wishes[number]
    requests: list[dict[str, Any]] = []
    for index, ways in enumerate(wish.requests):
        if len(ways) == 1:
            exactly = {**_way(ways[0]), **({"adminAccess": True} if ways[0].admin else {})}
            requests.append({"name": f"r{index}", "exactly": exactly})
        else:
            listed = [{"name": f"w{n}", **_way(way)} for n, way in enumerate(ways)]
            requests.append({"name": f"r{index}", "firstAvailable": listed})
    constraints = []
    if wish.constraint is not None:
        constraints.append({wish.constraint[0]: f"{DRIVER}/numa", "requests": list(wish.constraint[1])})
    meta = {"name": f"c{number}", "namespace": "default", "uid": f"u{number}"}
    body = {"metadata": meta, "spec": {"devices": {"requests": requests, "constraints": constraints}}}
    return codec.from_dict(ResourceClaim, body)


def _way(way: Way) -> dict[str, Any]:
    mode = {"allocationMode": "ExactCount", "count": way.number} if way.number else {"allocationMode": "All"}
    return {
        "deviceClassName": "large" if way.large_class else "gpu",
        "selectors": [{"cel": {"expression": LARGE}}] if way.large else [],
        "tolerations": [{"key": "t", "operator": "Equal", "value": "v"}] if way.tolerates else [],
        **mode,
    }


def selects(selector: NodeSelector, node: str) -> bool:
    """Those selectors that `where` makes."""
    return NODES[node] in selector.node_selector_terms[0].match_expressions[0].values


def found_by(case: Case, node: str, order: random.Random) -> list[Choice] | None:
    taken: set[DeviceId] = {(DRIVER, pool, name) for pool, name in case.taken}
    allocator = Allocator(inventory_of(case, order), Usage.of(taken))
    try:
        grants = allocator.allocate(claims_of(case), node, lambda selector: selects(selector, node))
    except Unsatisfiable as problem:
        assert str(problem) != TOO_LONG
        return None
    return [
        (number, *_indices(wanted.name), offer.id[1], offer.id[2])
        for number, grant in enumerate(grants)
        for wanted, offer in grant.chosen
    ]


def _indices(name: str) -> tuple[int, int]:
    request, _, way = name.partition("/")
    return int(request[1:]), int(way[1:] or 0)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32), node=st.sampled_from(sorted(NODES)))
def test_something_is_found_exactly_if_there_is_a_way(seed: int, node: str) -> None:
    case = Case(random.Random(seed))
    assume(not case.is_undecided(node))
    found = found_by(case, node, random.Random(seed))
    exists = next(case.ways(node), None) is not None
    assert (found is not None) == exists
    if found is None:
        return
    assert case.is_allowed(found)
    there = {(pool, gadget.name) for pool, gadget in case.gadgets(node) if case.is_whole(pool)}
    assert {(pool, name) for *_, pool, name in found} <= there
    # After what earlier requests got, each has the most wanted of its ways that are possible.
    requests = [(c, r) for c, wish in enumerate(case.wishes) for r in range(len(wish.requests))]
    for number, (claim, request) in enumerate(requests):
        before = {each for each in found if (each[0], each[1]) in requests[:number]}
        possible = [taken[number] for taken, choice in case.ways(node) if before <= set(choice)]
        assert next(way for c, r, way, *_ in found if (c, r) == (claim, request)) == min(possible)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_the_order_in_which_slices_came_does_not_matter(seed: int) -> None:
    case = Case(random.Random(seed))
    for node in NODES:
        assert found_by(case, node, random.Random(1)) == found_by(case, node, random.Random(2))
