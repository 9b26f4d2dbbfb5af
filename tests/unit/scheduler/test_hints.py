"""What plugins say of an event: whether pods that they rejected may pass now."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import (
    Affinity,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    Taint,
    Toleration,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.algorithm import Algorithm
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.events import MAXIMUM_EVENTS, MAXIMUM_QUESTIONS, Events
from tiphys.scheduler.framework import Trigger
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.queue import Group
from tiphys.scheduler.template import Templates

ADDED, CHANGED = Trigger.NODE_ADDED, Trigger.NODE_CHANGED
PLACED, GONE = Trigger.POD_PLACED, Trigger.POD_GONE
TAINT = (Taint(key="k", effect="NoSchedule"),)
NEAR = PodAffinityTerm(topology_key="zone", label_selector=LabelSelector(match_labels={"app": "x"}))
AWAY = Affinity(pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=(NEAR,)))


def may_help(plugin: str, waiting: Pod, trigger: Trigger, old: Any, new: Any) -> bool:
    algorithm = Algorithm(Cluster(), default_profile(), random.Random(0))
    events = Events()
    events.add(trigger, old, new)
    return algorithm.concerns(Group(Templates().of(waiting), frozenset({plugin})), events)


@pytest.mark.parametrize(
    ("plugin", "waiting", "trigger", "old", "new", "helps"),
    [
        ("NodeResourcesFit", pod("p", cpu="2"), ADDED, None, node("n", cpu="1"), False),
        ("NodeResourcesFit", pod("p", cpu="2"), ADDED, None, node("n", cpu="2"), True),
        ("NodeResourcesFit", pod("p", cpu="2"), CHANGED, node("n", cpu="1"), node("n", cpu="1", zone="z"), False),
        ("NodeResourcesFit", pod("p", cpu="2"), CHANGED, node("n", cpu="2", taints=TAINT), node("n", cpu="2"), True),
        ("NodeResourcesFit", pod("p", cpu="2"), CHANGED, node("n", cpu="2"), node("n", cpu="3"), True),
        ("NodeResourcesFit", pod("p", cpu="2"), GONE, pod("q", cpu="1"), None, True),
        ("NodeResourcesFit", pod("p", cpu="2"), PLACED, None, pod("q"), False),
        ("TaintToleration", pod("p"), ADDED, None, node("n", taints=TAINT), False),
        ("TaintToleration", pod("p"), CHANGED, node("n", taints=TAINT), node("n"), True),
        ("TaintToleration", pod("p", tolerations=(Toleration(operator="Exists"),)), ADDED, None, node("n"), True),
        ("NodeUnschedulable", pod("p"), ADDED, None, node("n", unschedulable=True), False),
        ("NodeUnschedulable", pod("p"), CHANGED, node("n", unschedulable=True), node("n"), True),
        ("InterPodAffinity", pod("p", affinity=AWAY), PLACED, None, pod("q"), False),
        ("InterPodAffinity", pod("p", affinity=AWAY), GONE, pod("q"), None, True),
        ("InterPodAffinity", pod("p"), GONE, pod("q"), None, False),
        ("InterPodAffinity", pod("p"), GONE, pod("q", affinity=AWAY), None, True),
    ],
)
def test_hints(plugin: str, waiting: Pod, trigger: Trigger, old: Any, new: Any, helps: bool) -> None:
    assert may_help(plugin, waiting, trigger, old, new) is helps


def test_an_event_without_an_object_may_be_any() -> None:
    assert may_help("NodeResourcesFit", pod("p", cpu="2"), ADDED, None, None)


def test_too_many_events_count_by_kind_alone() -> None:
    events = Events()
    small = node("n", cpu="1")
    for _ in range(MAXIMUM_EVENTS):
        events.add(ADDED, None, small)
    found = events.of(ADDED, groups=1)
    assert found is not None
    assert len(list(found)) == MAXIMUM_EVENTS
    assert events.of(ADDED, groups=MAXIMUM_QUESTIONS // MAXIMUM_EVENTS + 1) is None
    events.add(ADDED, None, small)
    assert events.of(ADDED, groups=1) is None
    assert events.trigger == ADDED
    assert list(events.of(GONE, groups=1) or ()) == []
