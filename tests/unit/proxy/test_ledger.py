"""What changed since the kernel was told; and that changes and a whole table come to the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.proxy.cluster import CONFIG, endpoint, service, slice_of
from tiphys.proxy.conntrack import Flow, affinity_flows, stale_flows
from tiphys.proxy.ledger import Ledger
from tiphys.proxy.ruleset import CHAIN, ELEMENT, SET, Item, changes_script
from tiphys.proxy.services import items_of

ONE, TWO = ("default", "one"), ("default", "two")
SHARED, OWN = Item(CHAIN, "pick-1"), Item(ELEMENT, "services", "10.96.0.7 . tcp . 80")


def test_a_shared_item_goes_with_its_last_owner() -> None:
    ledger = Ledger()
    ledger.replace(ONE, {SHARED: "goto slot-0"})
    ledger.replace(TWO, {SHARED: "goto slot-0"})
    ledger.accept()
    ledger.replace(ONE, {})
    assert ledger.changes() == {}
    ledger.replace(TWO, {})
    assert ledger.changes() == {SHARED: ("goto slot-0", None)}


def test_who_claims_an_address_first_has_it() -> None:
    ledger = Ledger()
    ledger.replace(TWO, {OWN: "goto b"})
    ledger.replace(ONE, {OWN: "goto a"})
    assert ledger.state() == {OWN: "goto b"}
    ledger.accept()
    ledger.replace(TWO, {})
    assert ledger.changes() == {OWN: ("goto b", "goto a")}


def test_a_change_and_its_reverse_are_nothing() -> None:
    ledger = Ledger()
    ledger.replace(ONE, {OWN: "goto a"})
    ledger.accept()
    ledger.replace(ONE, {OWN: "goto b"})
    ledger.replace(ONE, {OWN: "goto a"})
    assert ledger.changes() == {}
    assert changes_script("t", ledger.changes()) == ""


def test_a_refused_transaction_is_still_to_be_told() -> None:
    ledger = Ledger()
    ledger.replace(ONE, {OWN: "goto a"})
    assert ledger.changes() == ledger.changes() == {OWN: (None, "goto a")}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.dictionaries(st.integers(0, 5), st.just("v"))), max_size=20))
def test_changes_always_lead_to_the_state(steps: list[tuple[str, dict[int, str]]]) -> None:
    ledger, kernel = Ledger(), dict[Item, str]()
    for owner, wanted in steps:
        ledger.replace(("n", owner), {Item(ELEMENT, "m", str(key)): value for key, value in wanted.items()})
        for item, (before, after) in ledger.changes().items():
            assert kernel.get(item) == before
            if after is None:
                del kernel[item]
            else:
                kernel[item] = after
        ledger.accept()
        assert kernel == ledger.state()


def test_what_is_referred_to_is_made_before_and_removed_after() -> None:
    changes = {
        OWN: ("goto old", "goto new"),
        Item(CHAIN, "new"): (None, "ip saddr @clients drop"),
        Item(SET, "clients"): (None, "type ipv4_addr;"),
        Item(CHAIN, "old"): ("accept", None),
        Item(SET, "former"): ("type ipv4_addr;", None),
    }
    assert changes_script("t", changes).splitlines() == [
        "add chain ip t new",
        "add set ip t clients { type ipv4_addr; }",
        "delete element ip t services { 10.96.0.7 . tcp . 80 }",
        "add rule ip t new ip saddr @clients drop",
        "flush chain ip t old",
        "add element ip t services { 10.96.0.7 . tcp . 80 : goto new }",
        "delete chain ip t old",
        "delete set ip t former",
    ]


def flows_of_change(before: tuple[str, ...], after: tuple[str, ...], protocol: str = "UDP") -> list[Flow]:
    ledger, flows = Ledger(), []
    for addresses in (before, after):
        pieces = slice_of(*(endpoint(a) for a in addresses), protocol=protocol)
        ledger.replace(ONE, items_of(service(protocol=protocol), [pieces], CONFIG))
        flows = stale_flows(ledger.changes())
        ledger.accept()
    return flows


def test_udp_flows_to_an_endpoint_that_is_gone_are_forgotten() -> None:
    assert flows_of_change(("10.244.0.2", "10.244.0.3"), ("10.244.0.2",)) == [Flow("10.96.0.7", 80, "10.244.0.3")]
    # It moved from the second place to the first, which is no reason to cut its flows.
    assert flows_of_change(("10.244.0.2", "10.244.0.3"), ("10.244.0.3",)) == [Flow("10.96.0.7", 80, "10.244.0.2")]
    assert flows_of_change(("10.244.0.2",), ("10.244.0.2", "10.244.0.3")) == []


def test_udp_flows_begun_without_an_endpoint_are_forgotten_when_there_is_one() -> None:
    assert flows_of_change((), ("10.244.0.2",)) == [Flow("10.96.0.7", 80, "")]


def test_tcp_needs_no_forgetting() -> None:
    assert flows_of_change(("10.244.0.2",), (), "TCP") == []


def test_affinity_does_not_hide_an_endpoint_that_is_gone() -> None:
    wanted = service(protocol="UDP", sessionAffinity="ClientIP")
    before = items_of(wanted, [slice_of(endpoint("10.244.0.2"), endpoint("10.244.0.3"), protocol="UDP")], CONFIG)
    after = items_of(wanted, [slice_of(endpoint("10.244.0.3"), protocol="UDP")], CONFIG)
    assert affinity_flows(before, after) == [Flow("10.96.0.7", 80, "10.244.0.2")]


def test_a_flow_in_conntracks_words() -> None:
    assert Flow("10.96.0.7", 53, "10.244.0.2").arguments()[-4:] == [
        "--orig-dst",
        "10.96.0.7",
        "--dst-nat",
        "10.244.0.2",
    ]
    assert "--orig-dst" not in Flow("", 30053, "10.244.0.2").arguments()
