"""Where packets go for every sort of Service, traced through the items."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.proxy.cluster import CONFIG, endpoint, service, slice_of
from tests.unit.proxy.tracer import NODE, Outcome, Packet, Tracer
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointHints, EndpointSlice, ForNode, ForZone
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.ruleset import ELEMENT, Item
from tiphys.proxy.services import items_of, local_endpoint_count

POD, OUTSIDE = "10.244.0.9", "192.168.7.2"
HERE, THERE = endpoint("10.244.0.2"), endpoint("10.244.1.2", node="there")
HERE_TARGET, THERE_TARGET = "10.244.0.2:8080", "10.244.1.2:8080"


def trace(
    wanted: Service, *slices: EndpointSlice, source: str = POD, address: str = "10.96.0.7", port: int = 80
) -> Outcome:
    return Tracer(items_of(wanted, slices, CONFIG)).trace(Packet(source, address, port))


def ends(wanted: Service, *slices: EndpointSlice, **packet: Any) -> set[str]:
    return trace(wanted, *slices, **packet).verdicts


@pytest.mark.parametrize("spec", [{"type": "ExternalName", "externalName": "x.y"}, {"clusterIP": "None"}])
def test_services_without_an_address_are_left_alone(spec: dict[str, Any]) -> None:
    assert items_of(service(**spec), [slice_of(HERE)], CONFIG) == {}
    assert items_of(None, [slice_of(HERE)], CONFIG) == {}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([{"ready": True}, {"ready": False}], {"10.244.0.0:8080"}),
        ([{}, {"ready": False}], {"10.244.0.0:8080"}),
        ([{"ready": True}, {"ready": False, "serving": True, "terminating": True}], {"10.244.0.0:8080"}),
        ([{"ready": False, "serving": True, "terminating": True}, {"ready": False}], {"10.244.0.0:8080"}),
        ([{"ready": False, "serving": False, "terminating": True}], {"refused"}),
        ([{"ready": False, "serving": True, "terminating": False}], {"refused"}),
        ([], {"refused"}),
    ],
)
def test_ready_endpoints_else_those_that_serve_while_they_end(
    conditions: list[dict[str, bool]], expected: set[str]
) -> None:
    endpoints = [{**endpoint(f"10.244.0.{n}"), "conditions": c} for n, c in enumerate(conditions)]
    assert ends(service(), slice_of(*endpoints)) == expected


def test_slices_are_put_together_and_an_endpoint_counts_once() -> None:
    both = (slice_of(HERE), slice_of(HERE, THERE, name="web-2"))
    assert ends(service(), *both) == {HERE_TARGET, THERE_TARGET}
    assert Item(ELEMENT, "services", "10.96.0.7 . tcp . 80") in items_of(service(), both, CONFIG)
    assert items_of(service(), both, CONFIG)[Item(ELEMENT, "services", "10.96.0.7 . tcp . 80")] == "goto pick-2"


@pytest.mark.parametrize("other", [{"port_name": "p81"}, {"protocol": "UDP"}])
def test_a_port_is_matched_by_name_and_protocol(other: dict[str, Any]) -> None:
    assert ends(service(), slice_of(HERE, **other)) == {"refused"}


def test_addresses_of_another_family_are_anothers() -> None:
    six = slice_of(HERE)
    six.address_type = "IPv6"
    assert ends(service(), six) == {"refused"}


@pytest.mark.parametrize(("source", "masqueraded"), [(POD, False), (OUTSIDE, True)])
def test_only_outsiders_lose_their_address_to_reach_a_cluster_ip(source: str, masqueraded: bool) -> None:
    assert trace(service(), slice_of(HERE), source=source).masqueraded == {masqueraded}


@pytest.mark.parametrize("source", [POD, OUTSIDE, NODE])
def test_a_node_port_is_masqueraded_for_all(source: str) -> None:
    wanted = service(ports=((80, 30080),), type="NodePort")
    outcome = trace(wanted, slice_of(HERE, THERE), source=source, address=NODE, port=30080)
    assert (outcome.verdicts, outcome.masqueraded) == ({HERE_TARGET, THERE_TARGET}, {True})


@pytest.mark.parametrize(
    ("source", "verdicts", "masqueraded"),
    [
        (OUTSIDE, {HERE_TARGET}, {False}),
        (POD, {HERE_TARGET, THERE_TARGET}, {False}),
        (NODE, {HERE_TARGET, THERE_TARGET}, {True}),
    ],
)
def test_external_traffic_that_stays_keeps_its_address(source: str, verdicts: set[str], masqueraded: set[bool]) -> None:
    wanted = service(ports=((80, 30080),), type="NodePort", externalTrafficPolicy="Local")
    outcome = trace(wanted, slice_of(HERE, THERE), source=source, address=NODE, port=30080)
    assert (outcome.verdicts, outcome.masqueraded) == (verdicts, masqueraded)


def test_external_traffic_with_no_endpoint_here_is_dropped_and_with_none_at_all_refused() -> None:
    wanted = service(ports=((80, 30080),), type="NodePort", externalTrafficPolicy="Local")
    there = {"source": OUTSIDE, "address": NODE, "port": 30080}
    assert ends(wanted, slice_of(THERE), **there) == {"dropped"}
    assert ends(wanted, slice_of(), **there) == {"refused"}
    assert ends(wanted, slice_of(THERE), source=POD, address=NODE, port=30080) == {THERE_TARGET}


def test_internal_traffic_that_stays() -> None:
    wanted = service(internalTrafficPolicy="Local")
    assert ends(wanted, slice_of(HERE, THERE)) == {HERE_TARGET}
    assert ends(wanted, slice_of(THERE)) == {"dropped"}
    assert ends(wanted, slice_of()) == {"refused"}


def test_unknown_ports_are_refused_unknown_services_dropped_and_the_world_left_alone() -> None:
    assert ends(service(), slice_of(HERE), port=81) == {"refused"}
    assert ends(service(), slice_of(HERE), address="10.96.0.8") == {"dropped"}
    assert ends(service(), slice_of(HERE), address="203.0.113.1") == {"untouched"}


BALANCED = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"ip": "203.0.113.10", "ipMode": "Proxy"}]}}


@pytest.mark.parametrize(
    ("address", "source", "verdicts"),
    [
        ("203.0.113.9", OUTSIDE, {HERE_TARGET}),
        ("203.0.113.9", "192.168.8.1", {"dropped"}),
        ("203.0.113.10", OUTSIDE, {"untouched"}),
        ("198.51.100.3", "192.168.8.1", {HERE_TARGET}),
    ],
)
def test_a_balancers_address_is_for_its_source_ranges(address: str, source: str, verdicts: set[str]) -> None:
    wanted = service(
        type="LoadBalancer",
        externalIPs=["198.51.100.3"],
        loadBalancerSourceRanges=[" 192.168.7.0/24", "fd00::/8"],
        status=BALANCED,
    )
    assert ends(wanted, slice_of(HERE), source=source, address=address) == verdicts


def test_a_client_with_affinity_goes_where_it_went() -> None:
    wanted = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 7}})
    items = items_of(wanted, [slice_of(HERE, THERE)], CONFIG)
    fresh = Tracer(items)
    assert fresh.trace(Packet(POD, "10.96.0.7", 80)).verdicts == {HERE_TARGET, THERE_TARGET}
    assert len(fresh.sets) == 2
    assert all(name.endswith("-7") for name in fresh.sets)
    for clients in fresh.sets:
        assert len(Tracer(items, {clients: {POD}}).trace(Packet(POD, "10.96.0.7", 80)).verdicts) == 1


def test_hints_are_followed_when_all_endpoints_have_them() -> None:
    config = ProxyConfig("x", "here", "10.244.0.0/16", "10.96.0.0/12", zone="a")
    packet = Packet(POD, "10.96.0.7", 80)

    def hinted(*hints: EndpointHints | None) -> set[str]:
        pieces = slice_of(HERE, THERE)
        for one, hint in zip(pieces.endpoints, hints, strict=True):
            one.hints = hint
        return Tracer(items_of(service(), [pieces], config)).trace(packet).verdicts

    zone_a, zone_b = EndpointHints(for_zones=(ForZone(name="a"),)), EndpointHints(for_zones=(ForZone(name="b"),))
    assert hinted(zone_b, zone_a) == {THERE_TARGET}
    assert hinted(zone_b, None) == {HERE_TARGET, THERE_TARGET}
    assert hinted(zone_b, zone_b) == {HERE_TARGET, THERE_TARGET}
    here = EndpointHints(for_nodes=(ForNode(name="here"),))
    assert hinted(here, EndpointHints(for_nodes=(ForNode(name="there"),))) == {HERE_TARGET}


def test_health_checks_count_the_endpoints_here() -> None:
    assert local_endpoint_count(service(), [slice_of(HERE, THERE)], CONFIG) == 1


@given(
    numbers=st.sets(st.integers(1, 40), max_size=12),
    policy=st.sampled_from(["Cluster", "Local"]),
    affinity=st.sampled_from(["None", "ClientIP"]),
)
def test_every_usable_endpoint_is_reached_and_nothing_else(numbers: set[int], policy: str, affinity: str) -> None:
    endpoints = [endpoint(f"10.244.0.{n}", node="here" if n % 2 else "there") for n in sorted(numbers)]
    wanted = service(internalTrafficPolicy=policy, sessionAffinity=affinity)
    usable = {f"10.244.0.{n}:8080" for n in numbers if policy == "Cluster" or n % 2}
    assert ends(wanted, slice_of(*endpoints)) == (usable or {"dropped" if numbers else "refused"})
