"""Assume, forget, observe, expire; and that the columns follow."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.template import PodInfo, Templates


class Setup:
    def __init__(self) -> None:
        self.cluster = Cluster()
        self.templates = Templates()
        self.cache = PodCache(self.cluster, self.templates, assumed_seconds=30)
        for name in ("n1", "n2"):
            self.cluster.add_node(node(name))

    def info(self, made: Pod) -> PodInfo:
        return PodInfo(made, self.templates.of(made))

    def used(self, name: str) -> list[int]:
        """(cpu thousandths, pods) requested on the node."""
        nodes = self.cluster.nodes
        return [int(nodes.requested[nodes.rows[name], column]) for column in (0, 3)]


@pytest.fixture
def setup() -> Setup:
    return Setup()


def on(made: Pod, name: str) -> Pod:
    return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, node_name=name))


def test_an_assumed_pod_counts_at_once_and_confirmation_changes_nothing(setup: Setup) -> None:
    made = pod("a", cpu="1")
    setup.cache.assume(setup.info(made), "n1")
    assert setup.used("n1") == [1000, 1]
    assert setup.cache.observe(on(made, "n1")) is False
    assert setup.used("n1") == [1000, 1]
    assert not setup.cache.is_assumed(("default", "a"))


def test_a_forgotten_pod_gives_its_room_back(setup: Setup) -> None:
    info = setup.info(pod("a", cpu="1"))
    setup.cache.assume(info, "n1")
    assert setup.cache.forget(info)
    assert setup.used("n1") == [0, 0]
    assert not setup.cache.forget(info)


def test_a_confirmed_pod_is_not_forgotten(setup: Setup) -> None:
    made = pod("a", cpu="1")
    info = setup.info(made)
    setup.cache.assume(info, "n1")
    setup.cache.observe(on(made, "n1"))
    assert not setup.cache.forget(info)
    assert setup.used("n1") == [1000, 1]


def test_a_pod_seen_elsewhere_moves_there(setup: Setup) -> None:
    made = pod("a", cpu="1")
    setup.cache.assume(setup.info(made), "n1")
    assert setup.cache.observe(on(made, "n2"))
    assert (setup.used("n1"), setup.used("n2")) == ([0, 0], [1000, 1])


def test_a_namesake_replaces_the_pod(setup: Setup) -> None:
    setup.cache.observe(on(pod("a", cpu="1", uid="old"), "n1"))
    setup.cache.observe(on(pod("a", cpu="2", uid="new"), "n1"))
    assert setup.used("n1") == [2000, 1]


def test_a_resize_in_place_counts(setup: Setup) -> None:
    setup.cache.observe(on(pod("a", cpu="1"), "n1"))
    assert setup.cache.observe(on(pod("a", cpu="3"), "n1"))
    assert setup.used("n1") == [3000, 1]


def test_only_bound_assumptions_expire(setup: Setup) -> None:
    waiting, bound = setup.info(pod("waiting")), setup.info(pod("bound"))
    for info in (waiting, bound):
        setup.cache.assume(info, "n1")
    setup.cache.bound(bound, now=10)
    assert setup.cache.next_expiry() == 40
    assert setup.cache.expire(39) == []
    assert setup.cache.expire(40) == [bound]
    assert setup.used("n1") == [0, 1]


def test_pods_of_an_unknown_node_count_when_it_appears(setup: Setup) -> None:
    setup.cache.observe(on(pod("a", cpu="1"), "n3"))
    setup.cluster.add_node(node("n3"))
    assert setup.used("n3") == [1000, 1]


def test_a_node_that_returns_has_its_pods_again(setup: Setup) -> None:
    setup.cache.observe(on(pod("a", cpu="1"), "n1"))
    setup.cache.observe(on(pod("b", cpu="1"), "n1"))
    setup.cluster.remove_node("n1")
    setup.cache.gone(("default", "b"))
    setup.cluster.add_node(node("n1"))
    assert setup.used("n1") == [1000, 1]


def test_rows_are_reused_and_the_table_grows(setup: Setup) -> None:
    for number in range(100):
        setup.cluster.add_node(node(f"more-{number}"))
    setup.cluster.remove_node("more-7")
    setup.cluster.add_node(node("late"))
    assert setup.cluster.nodes.count == 102
    assert setup.cluster.nodes.size == 128
    setup.cache.observe(on(pod("a", cpu="1"), "late"))
    assert setup.used("late") == [1000, 1]


def test_a_terminating_pod_still_takes_its_room(setup: Setup) -> None:
    setup.cache.observe(on(pod("a", cpu="1"), "n1"))
    setup.cache.observe(on(pod("a", cpu="1", deleted=True), "n1"))
    assert setup.used("n1") == [1000, 1]
    info = setup.cache.gone(("default", "a"))
    assert info is not None
    assert info.terminating
    assert setup.used("n1") == [0, 0]
