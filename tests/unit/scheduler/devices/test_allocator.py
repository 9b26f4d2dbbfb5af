"""Which devices claims get."""

# ruff: noqa: E501 (a device a word)

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.scheduler.devices.making import DRIVER, claim, device, device_class, request, slice_of
from tiphys.api.types.resource_v1 import DeviceClass, ResourceClaim, ResourceSlice
from tiphys.scheduler.devices import Allocator, ClaimProblem, DeviceId, Inventory, Unsatisfiable, Usage, allocation
from tiphys.scheduler.devices.requests import resolve

MODEL = f'device.attributes["{DRIVER}"].model == "large"'


def given(
    claims: list[ResourceClaim],
    slices: list[ResourceSlice],
    *,
    classes: list[DeviceClass] | None = None,
    node: str = "n1",
    taken: set[DeviceId] = frozenset(),  # type: ignore[assignment]
) -> list[list[str]]:
    """By claim the names of the devices."""
    inventory = Inventory()
    for each in slices:
        inventory.observe(each)
    known = {c.metadata.name or "": c for c in classes or [device_class()]}
    asked = [resolve(each, known) for each in claims]
    grants = Allocator(inventory, Usage.of(taken)).allocate(asked, node, lambda selector: False)
    return [[offer.id[2] for _, offer in grant.chosen] for grant in grants]


def test_the_first_that_match() -> None:
    slices = [
        slice_of("a", device("d0", model="small"), device("d1", model="large"), device("d2", model="large"), node="n1")
    ]
    assert given([claim("c", request("r", 1, MODEL))], slices) == [["d1"]]
    assert given([claim("c", request("r", 2, MODEL))], slices) == [["d1", "d2"]]
    with pytest.raises(Unsatisfiable):
        given([claim("c", request("r", 3, MODEL))], slices)
    with pytest.raises(Unsatisfiable):
        given([claim("c", request("r", 1, MODEL))], slices, node="n2")


def test_what_is_taken_is_not_given_again() -> None:
    slices = [slice_of("a", device("d0"), device("d1"))]
    assert given([claim("c"), claim("d")], slices) == [["d0"], ["d1"]]
    assert given([claim("c")], slices, taken={(DRIVER, "a", "d0")}) == [["d1"]]
    admin = claim("c", request("r", 1, adminAccess=True))
    assert given([admin], slices, taken={(DRIVER, "a", "d0"), (DRIVER, "a", "d1")}) == [["d0"]]


def test_all_is_all_or_nothing() -> None:
    slices = [slice_of("a", device("d0"), device("d1"), node="n1")]
    everything = claim("c", request("r", allocationMode="All"))
    assert given([everything], slices) == [["d0", "d1"]]
    with pytest.raises(Unsatisfiable):
        given([everything], slices, taken={(DRIVER, "a", "d0")})
    with pytest.raises(Unsatisfiable):
        given([everything], slices, node="n2")


def test_an_earlier_choice_is_taken_back_for_a_later_request() -> None:
    slices = [slice_of("a", device("d0", model="large"), device("d1", model="small"))]
    both = claim("c", request("any"), request("large", 1, MODEL))
    assert given([both], slices) == [["d1", "d0"]]


def test_the_preferred_way_first() -> None:
    ways = [
        {"name": "big", "deviceClassName": "gpu", "count": 1, "selectors": [{"cel": {"expression": MODEL}}]},
        {"name": "two", "deviceClassName": "gpu", "count": 2},
    ]
    wish = claim("c", {"name": "r", "firstAvailable": ways})
    small, large = device("d0", model="small"), device("d1", model="large")
    assert given([wish], [slice_of("a", small, large)]) == [["d1"]]
    assert given([wish], [slice_of("a", small, device("d2", model="small"))]) == [["d0", "d2"]]


def test_constraints() -> None:
    slices = [slice_of("a", device("d0", numa=0), device("d1", numa=1), device("d2", numa=1), device("d3"))]
    same = {"matchAttribute": f"{DRIVER}/numa"}
    assert given([claim("c", request("r", 2), constraints=[same])], slices) == [["d1", "d2"]]
    apart = {"distinctAttribute": f"{DRIVER}/numa"}
    assert given([claim("c", request("r", 2), constraints=[apart])], slices) == [["d0", "d1"]]
    of_one = {"matchAttribute": f"{DRIVER}/numa", "requests": ["x"]}
    assert given([claim("c", request("x"), request("y", 3), constraints=[of_one])], slices) == [
        ["d0", "d1", "d2", "d3"]
    ]


def test_taints_and_capacity() -> None:
    taint = {"key": "broken", "value": "yes", "effect": "NoSchedule"}
    slices = [slice_of("a", device("d0", taints=[taint]), device("d1", capacity={"memory": {"value": "40Gi"}}))]
    assert given([claim("c")], slices) == [["d1"]]
    tolerant = request("r", 1, tolerations=[{"key": "broken", "operator": "Exists"}])
    assert given([claim("c", tolerant)], slices) == [["d0"]]
    assert given([claim("c", request("r", 1, capacity={"requests": {"memory": "30Gi"}}))], slices) == [["d1"]]
    enough = f'device.capacity["{DRIVER}"].memory.compareTo(quantity("40Gi")) >= 0'
    assert given([claim("c", request("r", 1, f'"memory" in device.capacity["{DRIVER}"] && {enough}'))], slices) == [
        ["d1"]
    ]


def test_partitions_share_what_their_device_has() -> None:
    def part(name: str, memory: int) -> dict[str, Any]:
        consumes = [{"counterSet": "gpu0", "counters": {"memory": {"value": f"{memory}Gi"}}}]
        return device(name, consumesCounters=consumes)

    shared = [{"name": "gpu0", "counters": {"memory": {"value": "40Gi"}}}]
    slices = [slice_of("a", part("whole", 40), part("half0", 20), part("half1", 20), sharedCounters=shared)]
    assert given([claim("c", request("r", 2))], slices) == [["half0", "half1"]]
    assert given([claim("c")], slices, taken={(DRIVER, "a", "half0")}) == [["half1"]]
    with pytest.raises(Unsatisfiable):
        given([claim("c")], slices, taken={(DRIVER, "a", "whole")})


def test_only_the_newest_whole_pool_counts() -> None:
    old = slice_of("old", device("d0"), pool="p", generation=1)
    new = slice_of("new", device("d1"), pool="p", generation=2, slices=2)
    more = slice_of("more", device("d2"), pool="p", generation=2, slices=2)
    with pytest.raises(Unsatisfiable):
        given([claim("c")], [old, new])
    with pytest.raises(
        Unsatisfiable, match=f"asks for all devices, but resource pool {DRIVER}/p is currently being upd"
    ):
        given([claim("c", request("r", allocationMode="All"))], [old, new])
    assert given([claim("c", request("r", 2))], [old, new, more]) == [["d2", "d1"]]
    twice = slice_of("x", device("d1"), device("d1"))
    with pytest.raises(Unsatisfiable, match=f"resource pool {DRIVER}/x is currently invalid"):
        given([claim("c", request("r", allocationMode="All"))], [twice])
    with pytest.raises(Unsatisfiable, match="invalid resource pools were encountered"):
        given([claim("c")], [twice])


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (claim("c", request("r", 1, deviceClassName="none")), "request r: device class none does not exist"),
        (claim("c", request("r", 1, 'device.attributes["gpu.example.com"].nothing == 1')), "CEL runtime error: .*nothing"),
    ],
)  # fmt: skip
def test_what_is_nobodys_fault_is_said(wish: ResourceClaim, words: str) -> None:
    with pytest.raises(ClaimProblem, match=words):
        given([wish], [slice_of("a", device("d0"))])


def test_an_unknown_domain_is_empty() -> None:
    unknown = request("r", 1, '!("x" in device.attributes["other.example.com"])')
    assert given([claim("c", unknown)], [slice_of("a", device("d0"))]) == [["d0"]]


def test_configuration_says_whose_it_is_unless_it_is_all_the_claims() -> None:
    def opaque(mode: str) -> dict[str, Any]:
        return {"opaque": {"driver": DRIVER, "parameters": {"mode": mode}}}

    classes = {
        "gpu": device_class("gpu", config=[opaque("gpu")]),
        "fast": device_class("fast", config=[opaque("fast")]),
    }
    requests = [request("a"), request("b"), request("c", 1, deviceClassName="fast")]
    wish = claim("x", *requests, config=[opaque("all"), {**opaque("two"), "requests": ["c", "a"]}])
    inventory = Inventory()
    inventory.observe(slice_of("a", device("d0"), device("d1"), device("d2")))
    (grant,) = Allocator(inventory, Usage()).allocate([resolve(wish, classes)], "n1", lambda selector: False)
    made = allocation(grant, "n1", classes, "2026-01-01T00:00:00Z", str)
    assert made.devices is not None
    assert [(c.requests, c.opaque.parameters["mode"]) for c in made.devices.config if c.opaque is not None] == [
        (("a", "b"), "gpu"),
        (("c",), "fast"),
        ((), "all"),
        (("c", "a"), "two"),
    ]
    assert made.node_selector is None


def test_what_is_written_down() -> None:
    opaque = {"driver": DRIVER, "parameters": {"mode": "shared"}}
    gpu = device_class("gpu", config=[{"opaque": opaque}])
    wish = claim(
        "c", request("r"), config=[{"opaque": opaque, "requests": ["r"]}, {"opaque": opaque, "requests": ["s"]}]
    )
    inventory = Inventory()
    inventory.observe(slice_of("a", device("d0"), node="n1"))
    (grant,) = Allocator(inventory, Usage()).allocate([resolve(wish, {"gpu": gpu})], "n1", lambda selector: False)
    made = allocation(grant, "n1", {"gpu": gpu}, "2026-01-01T00:00:00Z", str)
    assert made.devices is not None
    assert [(r.request, r.driver, r.pool, r.device) for r in made.devices.results] == [("r", DRIVER, "a", "d0")]
    assert [(c.source, c.requests) for c in made.devices.config] == [("FromClass", ()), ("FromClaim", ())]
    assert made.node_selector is not None
    (field,) = made.node_selector.node_selector_terms[0].match_fields
    assert (field.key, field.values) == ("metadata.name", ("n1",))
