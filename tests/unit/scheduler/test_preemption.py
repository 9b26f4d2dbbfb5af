"""Whom to remove, and when nobody."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Pod, Taint
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Disruption, Trigger
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates


class Setup:
    def __init__(self) -> None:
        self.cluster = Cluster()
        self.templates = Templates()
        self.algorithm = Algorithm(self.cluster, default_profile(), random.Random(0))
        self.budgets: list[Disruption] = []

    def info(self, made: Pod) -> PodInfo:
        return PodInfo(made, self.templates.of(made))

    def place(self, name: str, node_name: str, **fields: Any) -> PodInfo:
        info = self.info(pod(name, **fields))
        self.cluster.place(info, node_name)
        return info

    def decide(self, made: Pod) -> Placed | Unplaceable:
        before = self.cluster.nodes.requested.copy()
        decision = self.algorithm.decide(self.info(made), lambda: self.budgets)
        assert (self.cluster.nodes.requested == before).all(), "a dry run leaves no trace"
        return decision

    def victims(self, made: Pod) -> tuple[str, list[str]]:
        decision = self.decide(made)
        assert isinstance(decision, Unplaceable)
        assert decision.preemption is not None, decision.message
        chosen = decision.preemption
        return self.cluster.nodes.names[chosen.row], [victim.key[1] for victim in chosen.victims]

    def refusal(self, made: Pod) -> str:
        decision = self.decide(made)
        assert isinstance(decision, Unplaceable)
        assert decision.preemption is None
        return decision.message


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_no_more_victims_than_needed_and_the_least_important(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="4"))
    for name, priority in (("low", 1), ("middle", 5), ("high", 9), ("higher", 20)):
        setup.place(name, "n1", cpu="1", priority=priority)
    assert setup.victims(pod("new", cpu="2", priority=10)) == ("n1", ["middle", "low"])


def test_of_equals_the_longest_running_stays(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    setup.place("older", "n1", cpu="1", start="2026-01-01T00:00:00Z")
    setup.place("younger", "n1", cpu="1", start="2026-01-02T00:00:00Z")
    assert setup.victims(pod("new", cpu="1", priority=1)) == ("n1", ["younger"])


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ([3], [2], "n2"),  # lowest highest priority
        ([2, 2], [2], "n2"),  # then the lowest sum: fewer pods
        ([2, 1], [2, 0], "n2"),
        ([1, 1], [2], "n1"),
    ],
)
def test_the_node_whose_victims_matter_least(setup: Setup, first: list[int], second: list[int], chosen: str) -> None:
    for name, priorities in (("n1", first), ("n2", second)):
        setup.cluster.add_node(node(name, cpu="4"))
        for index, priority in enumerate(priorities):
            setup.place(f"{name}-{index}", name, cpu=str(4 // len(priorities)), priority=priority)
    assert setup.victims(pod("new", cpu="4", priority=10))[0] == chosen


def test_of_equal_nodes_the_one_whose_victims_started_last(setup: Setup) -> None:
    for name, start in (("n1", "2026-01-01T00:00:00Z"), ("n2", "2026-01-03T00:00:00Z"), ("n3", "2026-01-02T00:00:00Z")):
        setup.cluster.add_node(node(name, cpu="1"))
        setup.place(f"on-{name}", name, cpu="1", start=start)
    assert setup.victims(pod("new", cpu="1", priority=1)) == ("n2", ["on-n2"])


def test_a_disruption_budget_is_respected_where_possible(setup: Setup) -> None:
    for name in ("n1", "n2"):
        setup.cluster.add_node(node(name, cpu="1"))
    setup.place("protected", "n1", cpu="1", priority=0, labels={"app": "db"})
    setup.place("plain", "n2", cpu="1", priority=5)
    setup.budgets = [Disruption(lambda info: info.template.labels.get("app") == "db", 0)]
    assert setup.victims(pod("new", cpu="1", priority=10)) == ("n2", ["plain"])
    setup.cluster.remove_node("n2")
    assert setup.victims(pod("new", cpu="1", priority=10)) == ("n1", ["protected"])


def test_refusals_are_worded_as_upstream(setup: Setup) -> None:
    assert setup.refusal(pod("new", cpu="1")) == "no nodes available to schedule pods"
    setup.cluster.add_node(node("small", cpu="1"))
    setup.cluster.add_node(node("full", cpu="4"))
    setup.cluster.add_node(node("tainted", cpu="4", taints=(Taint(key="k", effect="NoSchedule"),)))
    setup.place("same", "full", cpu="3")
    assert setup.refusal(pod("new", cpu="2")) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    assert setup.refusal(pod("new", cpu="2", priority=1, preemption_policy="Never")) == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "preemption: not eligible due to preemptionPolicy=Never."
    )


def test_several_shortages_of_one_node_are_all_said(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="1", memory="1Gi", pods="0"))
    assert setup.refusal(pod("new", cpu="2", memory="2Gi")).startswith(
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods. preemption: "
    )


def test_nobody_of_lower_priority_takes_the_room_made(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="1"))
    preemptor = setup.info(pod("preemptor", cpu="1", priority=10))
    setup.algorithm.nominations.set(preemptor, "n1")
    assert isinstance(setup.decide(pod("thief", cpu="1", priority=10)), Unplaceable)
    assert setup.decide(pod("king", cpu="1", priority=11)) == Placed("n1")
    assert setup.algorithm.decide(preemptor, list) == Placed("n1")


def test_the_nominated_node_is_taken_first(setup: Setup) -> None:
    setup.cluster.add_node(node("busy", cpu="4"))
    setup.cluster.add_node(node("idle", cpu="64"))
    setup.place("other", "busy", cpu="1")
    info = setup.info(pod("new", cpu="1"))
    setup.algorithm.nominations.set(info, "busy")
    assert setup.algorithm.decide(info, list) == Placed("busy")


def test_no_second_round_of_victims_while_the_first_terminates(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    victim = setup.place("victim", "n1", cpu="2")
    info = setup.info(pod("new", cpu="1", priority=1))
    setup.algorithm.nominations.set(info, "n1")
    setup.cluster.terminating(victim)
    decision = setup.algorithm.decide(info, list)
    assert isinstance(decision, Unplaceable)
    assert decision.preemption is None
    assert decision.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")


def test_an_event_is_judged_by_kind_and_then_by_asking(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="1"))
    occupant = setup.place("occupant", "n1", cpu="1")
    info = setup.info(pod("new", cpu="1"))
    refused = setup.algorithm.decide(info, list)
    assert isinstance(refused, Unplaceable)
    group = (info.template, refused.rejected_by)
    assert not setup.algorithm.concerns(group, Trigger.POD_PLACED)
    assert setup.algorithm.concerns(group, Trigger.POD_GONE)
    assert not setup.algorithm.helps(group, Trigger.POD_GONE)
    setup.cluster.remove(occupant)
    assert setup.algorithm.helps(group, Trigger.POD_GONE)
