"""Devices of which several claims have a part."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.scheduler.devices.making import DRIVER, claim, device, device_class, request, slice_of
from tiphys.api.types.resource_v1 import ResourceClaim
from tiphys.scheduler.devices import Allocator, Inventory, Unsatisfiable, Usage, allocation
from tiphys.scheduler.devices.requests import resolve

CLASSES = {"gpu": device_class()}
ID = (DRIVER, "a", "d0")


def shared(name: str, policy: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A device with 10 Gi of memory for all."""
    capacity = {"memory": {"value": "10Gi", **({"requestPolicy": policy} if policy else {})}}
    return {**device(name, capacity=capacity, **more), "allowMultipleAllocations": True}


def asking(name: str, memory: str = "", count: int = 1, **devices: Any) -> ResourceClaim:
    more = {"capacity": {"requests": {"memory": memory}}} if memory else {}
    return claim(name, request("r", count, **more), **devices)


class Room:
    """A node with these devices; what claims get is counted."""

    def __init__(self, *devices: dict[str, Any], **more: Any) -> None:
        self.inventory, self.usage = Inventory(), Usage()
        self.inventory.observe(slice_of("a", *devices, node="n1", **more))
        self.shares = 0

    def _id(self) -> str:
        self.shares += 1
        return f"share{self.shares}"

    def give(self, *claims: ResourceClaim) -> list[list[tuple[str, str | None, dict[str, str]]]]:
        """By claim (device, share, what it takes)."""
        allocator = Allocator(self.inventory, self.usage)
        grants = allocator.allocate([resolve(each, CLASSES) for each in claims], "n1", lambda selector: False)
        said = []
        for grant in grants:
            made = allocation(grant, "n1", CLASSES, "now", self._id)
            self.usage.count(made, 1)
            assert made.devices is not None
            results = made.devices.results
            said.append([(r.device, r.share_id, {k: str(v) for k, v in r.consumed_capacity.items()}) for r in results])
        return said


def test_parts_are_given_out_until_nothing_is_left() -> None:
    room = Room(shared("d0"))
    assert room.give(asking("a", "4Gi")) == [[("d0", "share1", {"memory": "4Gi"})]]
    assert room.give(asking("b", "3Gi"), asking("c", "3Gi")) == [
        [("d0", "share2", {"memory": "3Gi"})],
        [("d0", "share3", {"memory": "3Gi"})],
    ]
    assert room.usage.shares(ID) == {"memory": 10 * 1024**3 * 1000}
    with pytest.raises(Unsatisfiable):
        room.give(asking("d", "1"))


def test_what_is_given_back_can_be_had_again() -> None:
    room = Room(shared("d0"))
    allocator = Allocator(room.inventory, room.usage)
    (grant,) = allocator.allocate([resolve(asking("a", "10Gi"), CLASSES)], "n1", lambda selector: False)
    made = allocation(grant, "n1", CLASSES, "now", room._id)
    room.usage.count(made, 1)
    assert room.usage.is_used(ID)
    room.usage.count(made, -1)
    assert not room.usage.is_used(ID)
    assert room.give(asking("b", "10Gi"))


def test_who_asks_for_no_amount_gets_everything_or_the_default() -> None:
    assert Room(shared("d0")).give(asking("a")) == [[("d0", "share1", {"memory": "10Gi"})]]
    assert Room(shared("d0", {"default": "1Gi"})).give(asking("a")) == [[("d0", "share1", {"memory": "1Gi"})]]


@pytest.mark.parametrize(
    ("policy", "asked", "taken"),
    [
        ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "1Gi", "2Gi"),
        ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "5Gi", "6Gi"),
        ({"default": "2Gi", "validRange": {"min": "2Gi", "step": "2Gi", "max": "8Gi"}}, "9Gi", None),
        ({"default": "2Gi", "validRange": {"min": "2Gi"}}, "5Gi", "5Gi"),
        ({"default": "1Gi", "validValues": ["1Gi", "4Gi"]}, "2Gi", "4Gi"),
        ({"default": "1Gi", "validValues": ["1Gi", "4Gi"]}, "5Gi", None),
    ],
)
def test_amounts_are_rounded_up_to_what_the_device_knows(policy: dict[str, Any], asked: str, taken: str | None) -> None:
    room = Room(shared("d0", policy))
    if taken is None:
        with pytest.raises(Unsatisfiable):
            room.give(asking("a", asked))
    else:
        assert room.give(asking("a", asked)) == [[("d0", "share1", {"memory": taken})]]


def test_one_request_may_have_two_parts_unless_they_must_differ() -> None:
    found = Room(shared("d0", nr=0), shared("d1", nr=1)).give(asking("a", "2Gi", 2))
    assert [each[0] for each in found[0]] == ["d0", "d0"]
    apart = [{"distinctAttribute": f"{DRIVER}/nr"}]
    found = Room(shared("d0", nr=0), shared("d1", nr=1)).give(asking("a", "2Gi", 2, constraints=apart))
    assert [each[0] for each in found[0]] == ["d0", "d1"]


def test_a_device_of_ones_own_is_had_as_a_whole() -> None:
    own = device("d0", capacity={"memory": {"value": "10Gi"}})
    room = Room(own)
    with pytest.raises(Unsatisfiable):
        room.give(asking("a", "11Gi"))
    assert room.give(asking("b", "1Gi")) == [[("d0", None, {})]]
    with pytest.raises(Unsatisfiable):
        room.give(asking("c", "1Gi"))


def test_what_a_shared_device_consumes_is_consumed_once() -> None:
    consumes = [{"counterSet": "s", "counters": {"slots": {"value": "1"}}}]
    counters = [{"name": "s", "counters": {"slots": {"value": "1"}}}]
    room = Room(
        shared("d0", consumesCounters=consumes), shared("d1", consumesCounters=consumes), sharedCounters=counters
    )
    room.give(asking("a", "4Gi"))
    assert [each[0][0] for each in room.give(asking("b", "3Gi"), asking("c", "3Gi"))] == ["d0", "d0"]
    with pytest.raises(Unsatisfiable):
        room.give(asking("d", "1Gi"))


def test_an_unknown_capacity_is_not_to_be_had() -> None:
    wish = claim("a", request("r", 1, capacity={"requests": {"bandwidth": "1"}}))
    with pytest.raises(Unsatisfiable):
        Room(shared("d0")).give(wish)
    qualified = claim("a", request("r", 1, capacity={"requests": {f"{DRIVER}/memory": "1Gi"}}))
    assert Room(shared("d0")).give(qualified) == [[("d0", "share1", {"memory": "1Gi"})]]


def test_a_device_that_is_shared_no_more_has_no_new_owner_before_all_have_left() -> None:
    room = Room(shared("d0"))
    room.give(asking("a", "1Gi"))
    room.inventory.observe(slice_of("a", device("d0"), node="n1", generation=2))
    with pytest.raises(Unsatisfiable):
        room.give(claim("b"))
