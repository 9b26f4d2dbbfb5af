"""Who answers for an address, and the answers themselves."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.proxy.cluster import endpoint, service, slice_of
from tiphys.proxy import arp
from tiphys.proxy.speakers import SILENT_SECONDS, Membership, candidates, holder

NAMES = st.sets(st.sampled_from([f"node-{n}" for n in range(9)]), min_size=1)
MAC = bytes.fromhex("025400000007")


@given(NAMES, st.integers(0, 255).map("192.0.2.{}".format))
def test_a_death_moves_only_what_the_dead_node_had(names: set[str], address: str) -> None:
    before = holder(address, names)
    for dead in names - {before}:
        assert holder(address, names - {dead}) == before
    assert holder(address, names - {before}) in (names - {before}) | {""}


def test_addresses_are_spread() -> None:
    counts = [holder(f"192.0.2.{n}", ["a", "b", "c"]) for n in range(200)]
    assert min(counts.count(name) for name in "abc") > 40


def test_with_local_only_nodes_with_endpoints_answer() -> None:
    one = service(externalTrafficPolicy="Local", type="LoadBalancer")
    slices = [slice_of(endpoint("10.244.0.2", node="a"), endpoint("10.244.1.2", node="b", ready=False, serving=False))]
    assert candidates(one, slices, ["a", "b", "c"]) == {"a"}
    assert candidates(service(type="LoadBalancer"), slices, ["a", "b"]) == {"a", "b"}


def test_a_silent_node_is_dead_until_it_is_heard_again() -> None:
    members = Membership()
    members.know(["a", "b"], 10.0)
    assert members.alive(10.0 + SILENT_SECONDS / 2) == {"a", "b"}
    assert members.heard("a", 11.5) is False
    assert members.alive(10.0 + SILENT_SECONDS) == {"a"}
    assert members.heard("b", 13.0) is True
    assert members.heard("stranger", 13.0) is False
    members.know(["b"], 13.0)
    assert members.alive(13.1) == {"b"}


def run_filter(program: list[tuple[int, int, int, int]], data: bytes) -> int:
    """The kernel's machine for such programs."""
    position, accumulator = 0, 0
    while True:
        code, yes, no, value = program[position]
        position += 1
        if code == 0x06:
            return value
        if code == 0x28:
            accumulator = int.from_bytes(data[value : value + 2])
        elif code == 0x20:
            accumulator = int.from_bytes(data[value : value + 4])
        else:
            position += yes if accumulator == value else no


def test_only_questions_for_our_addresses_pass_the_filter() -> None:
    program = arp.program([f"192.0.2.{n}" for n in range(200)])
    asked = arp.frame(arp.REQUEST, MAC, "192.0.2.250", arp.BROADCAST, "192.0.2.199")
    assert run_filter(program, asked)
    assert arp.question(asked) == (MAC, "192.0.2.250", "192.0.2.199")
    assert not run_filter(program, arp.frame(arp.REQUEST, MAC, "192.0.2.250", arp.BROADCAST, "192.0.2.201"))
    answered = arp.frame(arp.REPLY, MAC, "192.0.2.250", arp.BROADCAST, "192.0.2.199")
    assert not run_filter(program, answered)
    assert arp.question(answered) is None
    assert arp.question(asked[:20]) is None


def test_an_announcement_speaks_of_itself() -> None:
    for data in arp.announcements(MAC, "192.0.2.7"):
        assert data[:6] == arp.BROADCAST
        assert data[28:32] == data[38:42] == socket.inet_aton("192.0.2.7")
        assert data[22:28] == MAC
