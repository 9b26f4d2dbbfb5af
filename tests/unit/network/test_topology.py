"""What the kernel must know of other nodes, and the commands that tell it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.network.hosts import node
from tiphys.network.link_watch import concerns
from tiphys.network.topology import (
    FORWARDING,
    NEIGHBOUR,
    ROUTE,
    Entry,
    Peer,
    Underlay,
    commands,
    mac_of,
    peers,
    vni_of,
    wanted,
)

BELOW = Underlay("eth0", "172.20.0.0/24", 1500)


def want(*others: Peer, own_cidr: str = "10.244.1.0/24", backend: str = "vxlan"):
    return wanted(others, own_cidr, "172.20.0.1", BELOW, backend=backend, device_name="t0", vni=7, port=8472)


def test_peers_are_nodes_with_a_range_and_an_address() -> None:
    nodes = [
        node("me", "10.244.1.0/24", "172.20.0.1"),
        node("b", "10.244.2.0/24", "172.20.0.2"),
        node("no-range", "", "172.20.0.3"),
        node("no-address", "10.244.4.0/24", ""),
    ]
    assert peers(nodes, "me") == [Peer("10.244.2.0/24", "172.20.0.2")]


def test_the_younger_node_has_a_range_that_two_claim() -> None:
    old = node("z", "10.244.2.0/24", "172.20.0.2", "2026-01-01T00:00:00Z")
    young = node("a", "10.244.2.0/24", "172.20.0.3", "2026-01-02T00:00:00Z")
    assert peers([young, old], "me") == [Peer("10.244.2.0/24", "172.20.0.3")]


def test_a_tunnel_needs_three_entries_a_node_and_has_room_for_its_header() -> None:
    made = want(Peer("10.244.2.0/24", "192.168.9.2"))
    assert made.device is not None
    assert (made.device.mtu_bytes, made.device.address, made.device.mac) == (1450, "10.244.1.0", "02:54:0a:f4:01:00")
    assert made.entries == {
        Entry(ROUTE, "10.244.2.0/24", "via 10.244.2.0 dev t0"),
        Entry(NEIGHBOUR, "10.244.2.0", "02:54:0a:f4:02:00"),
        Entry(FORWARDING, "02:54:0a:f4:02:00", "192.168.9.2"),
    }


def test_direct_routes_are_for_nodes_on_the_same_link() -> None:
    near, far = Peer("10.244.2.0/24", "172.20.0.2"), Peer("10.244.3.0/24", "192.168.9.3")
    made = want(near, far, backend="routes")
    assert made.device is None
    assert made.entries == {Entry(ROUTE, "10.244.2.0/24", "via 172.20.0.2 dev eth0")}
    assert made.unreachable == (far,)


def test_a_host_without_pods_goes_directly_where_it_can() -> None:
    near, far = Peer("10.244.2.0/24", "172.20.0.2"), Peer("10.244.3.0/24", "192.168.9.3")
    assert want(near, own_cidr="").device is None
    made = want(near, far, own_cidr="")
    assert made.device is not None
    assert made.device.address == ""
    assert Entry(ROUTE, "10.244.3.0/24", "via 10.244.3.0 dev t0 src 172.20.0.1") in made.entries


def test_a_moved_range_changes_one_entry() -> None:
    before = want(Peer("10.244.2.0/24", "172.20.0.2")).entries
    after = want(Peer("10.244.2.0/24", "172.20.0.9")).entries
    bridge, ip = commands(before, after, "t0", 84)
    assert bridge == ["fdb replace 02:54:0a:f4:02:00 dev t0 dst 172.20.0.9 self permanent"]
    assert ip == []


def test_names_are_the_same_on_all_nodes() -> None:
    assert mac_of("10.244.2.0/24") == "02:54:0a:f4:02:00"
    assert vni_of("10.244.0.0/16") == vni_of("10.244.0.0/16") != vni_of("10.245.0.0/16")


PEERS = st.lists(st.integers(2, 9), unique=True).flatmap(
    lambda numbers: st.tuples(
        *(st.builds(Peer, st.just(f"10.244.{n}.0/24"), st.integers(2, 9).map("172.20.0.{}".format)) for n in numbers)
    )
)


@given(PEERS, PEERS)
def test_commands_lead_from_any_state_to_any_other(first: tuple[Peer, ...], second: tuple[Peer, ...]) -> None:
    """Played on a model of the kernel's tables, in which a key has one value."""
    before, after = want(*first).entries, want(*second).entries
    tables = {(entry.kind, entry.key): entry.value for entry in before}
    bridge, ip = commands(before, after, "t0", 84)
    for line in [*bridge, *ip]:
        what, verb, key, *rest = line.split()
        kind = {"route": ROUTE, "neigh": NEIGHBOUR, "fdb": FORWARDING}[what]
        if verb == "del":
            del tables[kind, key]
        else:
            value = " ".join(rest[:4]) if kind == ROUTE else rest[1] if kind == NEIGHBOUR else rest[3]
            tables[kind, key] = value
    assert tables == {(entry.kind, entry.key): entry.value for entry in after}
    assert commands(after, after, "t0", 84) == ([], [])


def message(kind: int, payload: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload


def test_announcements_that_matter() -> None:
    neighbour = message(29, struct.pack("=BxxxiHBB", 2, 5, 0, 0, 0))
    other = message(29, struct.pack("=BxxxiHBB", 2, 6, 0, 0, 0))
    ours = message(25, struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 84, 0, 1, 0))
    others = message(25, struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 4, 0, 1, 0))
    assert concerns(other + neighbour, {5}, 84)
    assert concerns(others + ours, set(), 84)
    assert not concerns(other + others, {5}, 84)
    assert not concerns(b"\0" * 40, {5}, 84)
