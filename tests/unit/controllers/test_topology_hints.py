"""Endpoints spread over zones as these have CPUs."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Node
from tiphys.controllers.endpointslice.topology import OVERLOAD, allocate, zone_cpus
from tiphys.testing import builders

ZONES = ("a", "b", "c")


def test_an_endpoint_is_for_its_own_zone_where_all_have_enough() -> None:
    endpoints = {"1": "a", "2": "b", "3": "c"}
    assert allocate(dict.fromkeys(ZONES, 4000), endpoints) == endpoints


def test_a_zone_with_too_few_gets_some_of_others() -> None:
    found = allocate({"a": 4000, "b": 4000}, {str(n): "a" for n in range(4)})
    assert sorted(found.values()) == ["a", "a", "b", "b"]


def test_no_hints_where_they_would_do_harm() -> None:
    assert allocate({"a": 4000}, {"1": "a", "2": "a"}) == {}, "one zone"
    assert allocate({"a": 4000, "b": 4000}, {"1": "a", "2": ""}) == {}, "an endpoint in no zone"
    assert allocate(dict.fromkeys(ZONES, 4000), {"1": "a", "2": "b"}) == {}, "fewer endpoints than zones"


def test_zones_are_of_ready_workers_that_all_say_where_they_are() -> None:
    zone = "topology.kubernetes.io/zone"
    nodes = [
        sized("1", labels={zone: "a"}),
        sized("2", labels={zone: "b"}),
        sized("3", labels={zone: "b"}, ready="False"),
        sized("4", labels={zone: "c", "node-role.kubernetes.io/control-plane": ""}),
    ]
    assert zone_cpus(nodes) == {"a": 2000, "b": 2000}
    assert zone_cpus([*nodes, sized("5")]) == {}


def sized(name: str, **more: Any) -> Node:
    made = builders.node(name, **more)
    made.status.allocatable = {"cpu": Quantity("2")}
    return made


@given(
    st.dictionaries(st.sampled_from(ZONES), st.integers(1, 64).map(lambda n: n * 1000)),
    st.dictionaries(st.text("xyz", min_size=1, max_size=4), st.sampled_from((*ZONES, "")), max_size=30),
)
def test_every_zone_gets_its_share_or_nobody_a_hint(cpus: dict[str, int], endpoints: dict[str, str]) -> None:
    found = allocate(cpus, endpoints)
    if not found:
        return
    assert found.keys() == endpoints.keys()
    for zone, cpu in cpus.items():
        share = cpu / sum(cpus.values()) * len(endpoints)
        assert list(found.values()).count(zone) >= math.ceil(share / (1 + OVERLOAD))
