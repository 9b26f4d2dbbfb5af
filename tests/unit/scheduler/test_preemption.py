"""Whom to remove, and when nobody."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Affinity, Pod, PodAffinityTerm, PodAntiAffinity, PodCondition, Taint
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from tiphys.scheduler.algorithm import Algorithm, Placed, Unplaceable
from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.disruption_budgets import DisruptionBudgets
from tiphys.scheduler.events import Events
from tiphys.scheduler.framework import Disruption, NodeFilter, Plugin, Trigger
from tiphys.scheduler.plugins.default_preemption import DefaultPreemption
from tiphys.scheduler.plugins.node_resources import NodeResourcesFit
from tiphys.scheduler.profiles import Profile, default_profile
from tiphys.scheduler.queue import Group
from tiphys.scheduler.template import PodInfo, Template, Templates


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


def test_the_room_of_nominated_pods_is_spoken_of_as_taken(setup: Setup) -> None:
    for name in ("n1", "n2", "n3"):
        setup.cluster.add_node(node(name, cpu="1"))
        if name != "n3":
            setup.algorithm.nominations.set(setup.info(pod(f"waits-for-{name}", cpu="1", priority=10)), name)
    # Kept for somebody and full besides: it is spoken of once.
    setup.place("there", "n2", cpu="1", priority=20)
    setup.place("also", "n3", cpu="1", priority=20)
    setup.cluster.add_node(node("n4", cpu="1", taints=(Taint(key="a", effect="NoSchedule"),)))
    said = setup.refusal(pod("late", cpu="1"))
    assert said.startswith("0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient cpu. "), said


def test_who_is_kept_off_by_a_nominated_pod_s_wishes_is_told_so(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="8"))
    alone = PodAffinityTerm(
        topology_key="kubernetes.io/hostname", label_selector=LabelSelector(match_labels={"app": "noisy"})
    )
    apart = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(alone,))
    hermit = pod("hermit", priority=5, affinity=Affinity(pod_anti_affinity=apart))
    setup.algorithm.nominations.set(setup.info(hermit), "n1")
    said = setup.refusal(pod("noisy", cpu="1", labels={"app": "noisy"}))
    words = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules. "
    assert said.startswith(words), said


def test_the_nominated_node_is_taken_first(setup: Setup) -> None:
    setup.cluster.add_node(node("busy", cpu="4"))
    setup.cluster.add_node(node("idle", cpu="64"))
    setup.place("other", "busy", cpu="1")
    info = setup.info(pod("new", cpu="1"))
    setup.algorithm.nominations.set(info, "busy")
    assert setup.algorithm.decide(info, list) == Placed("busy")


def _refused(setup: Setup, info: PodInfo) -> Unplaceable:
    decision = setup.algorithm.decide(info, lambda: setup.budgets)
    assert isinstance(decision, Unplaceable)
    return decision


@pytest.mark.parametrize("how", ["asked to go", "going", "going since before a restart"])
def test_no_second_round_of_victims_while_the_first_goes(setup: Setup, how: str) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    setup.cluster.add_node(node("n2", cpu="2"))
    setup.place("other", "n2", cpu="2")
    victim = setup.place("victim", "n1", cpu="2")
    info = setup.info(pod("new", cpu="1", priority=1))
    setup.algorithm.nominations.set(info, "n1", [] if how.endswith("restart") else [victim.uid])
    if how != "asked to go":
        victim.pod.status.conditions = (
            PodCondition(type="DisruptionTarget", status="True", reason="PreemptionByScheduler"),
        )
        setup.cluster.terminating(victim)
    decision = _refused(setup, info)
    assert decision.preemption is None
    assert not decision.ends_nomination
    assert decision.message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")


def test_a_victim_that_does_not_go_is_not_waited_for(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    victim = setup.place("victim", "n1", cpu="2")
    info = setup.info(pod("new", cpu="1", priority=1))
    setup.algorithm.nominations.set(info, "n1", [victim.uid])
    setup.algorithm.nominations.spare(info.key, victim.uid)
    assert _refused(setup, info).preemption is not None


def test_pods_that_go_for_other_reasons_are_not_waited_for(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    victim = setup.place("deleted by a user", "n1", cpu="2")
    info = setup.info(pod("new", cpu="1", priority=1))
    setup.algorithm.nominations.set(info, "n1")
    setup.cluster.terminating(victim)
    assert _refused(setup, info).preemption is not None


def test_victims_are_not_waited_for_where_they_cannot_help_any_more(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    setup.cluster.add_node(node("n2", cpu="2"))
    setup.place("other", "n2", cpu="2")
    victim = setup.place("victim", "n1", cpu="2")
    info = setup.info(pod("new", cpu="1", priority=1))
    setup.algorithm.nominations.set(info, "n1", [victim.uid])
    setup.cluster.update_node(node("n1", cpu="2", unschedulable=True))
    chosen = _refused(setup, info).preemption
    assert chosen is not None
    assert setup.cluster.nodes.names[chosen.row] == "n2"
    setup.cluster.remove_node("n1")
    assert _refused(setup, info).preemption is not None


def test_where_nothing_helps_no_node_is_kept(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    setup.place("equal", "n1", cpu="2", priority=1)
    assert _refused(setup, setup.info(pod("new", cpu="1", priority=1))).ends_nomination
    never = setup.info(pod("never", cpu="1", priority=2, preemption_policy="Never"))
    assert not _refused(setup, never).ends_nomination


def test_a_node_that_others_rule_out_is_not_emptied(setup: Setup) -> None:
    """It lacks room, which is said first, but its zone is wrong for the pod's volume, too."""
    setup.cluster.add_node(node("n1", cpu="2", zone="a"))
    setup.cluster.add_node(node("n2", cpu="2", zone="b"))
    for name in ("n1", "n2"):
        setup.place(f"on-{name}", name, cpu="2")
    setup.algorithm = Algorithm(
        setup.cluster,
        Profile.of("default-scheduler", [(NodeResourcesFit(), 1), (_OnlyInB(), 0), (DefaultPreemption(), 0)]),
        random.Random(0),
    )
    assert setup.victims(pod("new", cpu="1", priority=1)) == ("n2", ["on-n2"])
    setup.cluster.remove_node("n2")
    assert setup.refusal(pod("new", cpu="1", priority=1)).endswith(
        "preemption: 0/1 nodes are available: 1 node(s) were in the wrong zone."
    )


class _OnlyInB(Plugin):
    name = "OnlyInB"

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter:
        return _InB(cluster)


class _InB(NodeFilter):
    reason = "node(s) were in the wrong zone"

    def __init__(self, cluster: Cluster) -> None:
        zones = cluster.nodes.labels("topology.kubernetes.io/zone")
        self._there = zones.column == zones.ids.get("b", -2)

    def passes(self, rows: Rows) -> Bools:
        return self._there[rows]


def test_a_nominated_pod_that_wants_to_be_alone_is_left_alone(setup: Setup) -> None:
    for name in ("n1", "n2"):
        setup.cluster.add_node(node(name, cpu="8"))
    term = PodAffinityTerm(
        topology_key="kubernetes.io/hostname", label_selector=LabelSelector(match_labels={"app": "noisy"})
    )
    hermit = setup.info(
        pod(
            "hermit",
            priority=5,
            affinity=Affinity(
                pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,))
            ),
        )
    )
    setup.algorithm.nominations.set(hermit, "n1")
    noisy = pod("noisy", cpu="1", labels={"app": "noisy"})
    for _ in range(8):
        assert setup.decide(noisy) == Placed("n2")
    noisy.status.nominated_node_name = "n1"
    assert setup.decide(noisy) == Placed("n2")
    important = pod("important", cpu="1", priority=6, labels={"app": "noisy"})
    assert {setup.decide(important) for _ in range(16)} == {Placed("n1"), Placed("n2")}


def test_of_candidates_at_least_one_without_a_violated_budget_is_looked_for(setup: Setup) -> None:
    for index in range(300):
        setup.cluster.add_node(node(f"n{index}", cpu="1"))
        setup.place(f"p{index}", f"n{index}", cpu="1", labels={"app": "plain" if index == 299 else "db"})
    setup.budgets = [Disruption(lambda info: info.template.labels["app"] == "db", 0)]
    assert setup.victims(pod("new", cpu="1", priority=10)) == ("n299", ["p299"])


def test_pods_that_are_already_counted_as_gone_cost_the_budget_nothing(setup: Setup) -> None:
    for name in ("n1", "n2"):
        setup.cluster.add_node(node(name, cpu="1"))
    setup.place("leaving", "n1", cpu="1", labels={"app": "db"}, priority=3)
    setup.place("staying", "n2", cpu="1", labels={"app": "db"})
    setup.budgets = [Disruption(lambda info: True, 0, frozenset({"leaving"}))]
    assert setup.victims(pod("new", cpu="1", priority=10)) == ("n1", ["leaving"])


def test_pods_that_have_not_started_go_first(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="2"))
    setup.place("starting", "n1", cpu="1")
    setup.place("running", "n1", cpu="1", start="2026-01-02T00:00:00Z")
    assert setup.victims(pod("new", cpu="1", priority=1)) == ("n1", ["starting"])


def test_upstream_takes_no_notice_of_a_budget_for_everybody() -> None:
    def budget(name: str, selector: LabelSelector | None) -> PodDisruptionBudget:
        return PodDisruptionBudget(
            metadata=ObjectMeta(name=name, namespace="default"),
            spec=PodDisruptionBudgetSpec(selector=selector),
            status=PodDisruptionBudgetStatus(disruptions_allowed=2, disrupted_pods={"gone": "2026-01-01T00:00:00Z"}),
        )

    known = DisruptionBudgets()
    some = budget("some", LabelSelector(match_labels={"app": "db"}))
    (made,) = known.of([budget("none", None), budget("all", LabelSelector()), some])
    assert (made.allowed, made.excused) == (2, frozenset({"gone"}))
    assert known.of([some]) == [made]
    assert known.of([msgspec.structs.replace(some)]) != [made]


def test_an_event_is_judged_by_kind_and_then_by_asking(setup: Setup) -> None:
    setup.cluster.add_node(node("n1", cpu="1"))
    occupant = setup.place("occupant", "n1", cpu="1")
    info = setup.info(pod("new", cpu="1"))
    refused = setup.algorithm.decide(info, list)
    assert isinstance(refused, Unplaceable)
    group, placed, gone = Group(info.template, refused.rejected_by), Events(), Events()
    placed.add(Trigger.POD_PLACED, None, occupant.pod)
    gone.add(Trigger.POD_GONE, occupant.pod, None)
    assert not setup.algorithm.concerns(group, placed)
    assert setup.algorithm.concerns(group, gone)
    assert not setup.algorithm.helps(group, gone)
    setup.cluster.remove(occupant)
    assert setup.algorithm.helps(group, gone)
