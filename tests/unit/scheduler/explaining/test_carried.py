"""What an unschedulable pod carries, by itself and through a real apiserver."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.explaining.clusters import model, on
from tests.unit.scheduler.gangs.groups import add_group, add_members, install
from tests.unit.scheduler.objects import node, pod
from tests.unit.scheduler.test_scheduler import add_node, add_pod, node_of, scheduling, until
from tiphys.api.types.core_v1 import Pod, PodCondition, Taint
from tiphys.scheduler.algorithm import EXTENDER
from tiphys.scheduler.explaining.carried import FRESH_SECONDS, MAXIMUM_BYTES, CarriedReasons
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import Verdict
from tiphys.scheduler.explaining.told import told
from tiphys.scheduler.explaining.words import render
from tiphys.scheduler.messages import WHY_ANNOTATION
from tiphys.scheduler.template import PodInfo
from tiphys.testing.control_plane import ControlPlane

ZONE = "topology.kubernetes.io/zone"


def test_reasons_and_groups_in_one_line() -> None:
    taint = Taint(key="dedicated", value="x", effect="NoSchedule")
    there = model([node("n1", zone="a"), node("n2", zone="b", taints=(taint,)), node("n3", zone="b", taints=(taint,))])
    carried = CarriedReasons(there.cluster, there.plugins)
    assert json.loads(carried.of(there.template_of(pod("p", cpu="9")), 0.0)) == {
        "nodes": 3,
        "reasons": [
            {"plugin": "NodeResourcesFit", "reason": "Insufficient cpu", "nodes": 3},
            {"plugin": "TaintToleration", "reason": "node(s) had untolerated taint(s)", "nodes": 2},
        ],
        "groups": [
            {
                "nodes": 2,
                "reasons": [1, 0],
                "taints": "dedicated=x:NoSchedule",
                "labels": {ZONE: ["b"]},
                "example": "n2",
            },
            {"nodes": 1, "reasons": [0], "labels": {ZONE: ["a"]}, "example": "n1"},
        ],
    }


def test_it_is_made_once_for_all_pods_of_a_template_and_again_when_the_cluster_changed() -> None:
    there = model([node("n1", cpu="1")])
    carried = CarriedReasons(there.cluster, there.plugins)
    template = there.template_of(pod("p", cpu="2", memory="6Gi"))
    first = carried.of(template, 0.0)
    assert carried.of(template, 9.0) is first
    there.cluster.place(PodInfo(on("n1", busy := pod("b", memory="4Gi")), there.template_of(busy)), "n1")
    assert carried.of(template, FRESH_SECONDS / 2) is first
    assert "Insufficient memory" in carried.of(template, FRESH_SECONDS)


def test_room_that_is_promised() -> None:
    there = model([node("n1", cpu="1"), node("n2", cpu="4")])
    text = CarriedReasons(there.cluster, there.plugins).of(
        there.template_of(pod("p", cpu="2")), 0.0, [there.cluster.nodes.rows["n2"]]
    )
    assert [(reason["reason"], reason["nodes"]) for reason in json.loads(text)["reasons"]] == [
        ("Insufficient cpu", 1),
        ("Insufficient resources for nominated pods", 1),
    ]


def test_what_no_filter_says() -> None:
    there = model([node("n1", cpu="1")])
    carried = CarriedReasons(there.cluster, there.plugins)
    template = there.template_of(pod("p", cpu="2"))
    alone = carried.of(template, 0.0)
    text = carried.of(template, 0.0, (), ("GangScheduling", 'pod group "g": only 1 of at least 2 pods fit.'))
    assert json.loads(text)["reasons"] == [
        {"plugin": "GangScheduling", "reason": 'pod group "g": only 1 of at least 2 pods fit.'},
        {"plugin": "NodeResourcesFit", "reason": "Insufficient cpu", "nodes": 1},
    ]
    assert json.loads(text)["groups"][0]["reasons"] == [1]
    assert carried.of(template, 0.0) is alone


def test_told_by_the_pod_alone() -> None:
    taint = Taint(key="dedicated", value="x", effect="NoSchedule")
    there = model([node("n1", zone="a"), node("n2", zone="b", taints=(taint,))])
    waiting = pod("p", cpu="9")
    value = CarriedReasons(there.cluster, there.plugins).of(there.template_of(waiting), 0.0)
    said = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message="0/2 nodes are available")
    marked = replace(
        waiting,
        metadata=replace(waiting.metadata, annotations={WHY_ANNOTATION: value}),
        status=replace(waiting.status, conditions=(said,)),
    )
    explanation = told(marked)
    assert (explanation.verdict, explanation.summary) == (Verdict.UNSCHEDULABLE, "0/2 nodes are available")
    assert [(group.nodes, group.examples) for group in explanation.groups] == [(1, ("n1",)), (1, ("n2",))]
    assert explanation.groups[1].reasons[0].detail == "dedicated=x:NoSchedule"
    assert render(explanation).endswith("so nothing could be tried.")
    # Of another scheduler's pod there are only the words; of one that none has looked at, not even these.
    foreign = told(replace(marked, metadata=waiting.metadata))
    assert (foreign.summary, foreign.reasons) == ("0/2 nodes are available", ())
    assert told(waiting).summary == "It waits for default-scheduler, which has said nothing about it yet."


def test_it_is_bounded() -> None:
    nodes = []
    for index in range(300):
        taint = Taint(key=f"owner.example.com/{'x' * 40}-{index}", value="y" * 60, effect="NoSchedule")
        nodes.append(node(f"node-{'n' * 200}-{index}", zone=f"zone-{'z' * 50}-{index}", taints=(taint,)))
    there = model(nodes)
    text = CarriedReasons(there.cluster, there.plugins).of(there.template_of(pod("p", cpu="9")), 0.0)
    carried = json.loads(text)
    assert len(text) <= MAXIMUM_BYTES
    assert len(carried["groups"]) + carried["leftOut"] == 300 and carried["reasons"][0]["nodes"] == 300


async def test_the_pod_carries_it_until_it_has_a_node(plane: ControlPlane) -> None:
    await add_node(plane, "small", cpu="1")
    async with scheduling(plane.client_as("system:kube-scheduler")):
        await add_pod(plane, "big", cpu="2")

        async def carried() -> Any:
            return (await plane.client.get(Pod, "big", "default")).metadata.annotations.get(WHY_ANNOTATION)

        value = json.loads(await until(carried))
        assert value["reasons"] == [{"plugin": "NodeResourcesFit", "reason": "Insufficient cpu", "nodes": 1}]
        await add_node(plane, "large", cpu="4")
        assert await until(lambda: node_of(plane, "big")) == "large"
        assert await carried() == ""


async def test_the_pods_of_a_gang_carry_that_it_does_not_fit(plane: ControlPlane) -> None:
    await install(plane)
    await add_node(plane, "n1", cpu="2")
    await add_group(plane, "train", 3)
    async with scheduling(plane.client):
        names = await add_members(plane, "train", 3, cpu="1")

        async def carried() -> Any:
            return (await plane.client.get(Pod, names[2], "default")).metadata.annotations.get(WHY_ANNOTATION)

        first = json.loads(await until(carried))["reasons"][0]
        assert first["plugin"] == "GangScheduling"
        assert first["reason"] == 'pod group "train": the nodes have room for at most 2 of at least 3 pods'


def test_what_an_extender_said_is_not_passed_over() -> None:
    there = model([node("n1", cpu="4")])
    waiting = pod("p", cpu="2")
    words = "0/1 nodes are available: 1 no licence."
    value = CarriedReasons(there.cluster, there.plugins).of(there.template_of(waiting), 0.0, (), (EXTENDER, words))
    said = PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=words)
    marked = replace(
        waiting,
        metadata=replace(waiting.metadata, annotations={WHY_ANNOTATION: value}),
        status=replace(waiting.status, conditions=(said,)),
    )
    explanation = explain(marked, there)
    assert (explanation.verdict, explanation.reported) == (Verdict.WAITING, words)
    assert "An extender said something else" in explanation.summary
    assert words in render(explanation)
    assert explain(waiting, there).verdict is Verdict.SCHEDULABLE
