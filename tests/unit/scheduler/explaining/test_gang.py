"""Pods that are placed together or not at all."""

from __future__ import annotations

from tests.unit.scheduler.explaining.clusters import model, on
from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.explaining.explanation import Verdict
from tiphys.scheduler.explaining.gang import Gang, explain_member


def members(number: int, cpu: str = "2") -> tuple[Pod, ...]:
    return tuple(pod(f"g{index}", cpu=cpu) for index in range(number))


def test_no_such_group() -> None:
    waiting = members(1)
    explanation = explain_member(waiting[0], Gang("g", None, waiting), model([node("n1")]))
    assert explanation.verdict is Verdict.WAITING
    assert explanation.summary == "It waits for its pod group g, which does not exist."


def test_too_few_pods() -> None:
    waiting = members(2)
    explanation = explain_member(waiting[0], Gang("g", 5, waiting, placed=1), model([node("n1")]))
    assert explanation.verdict is Verdict.WAITING
    assert explanation.summary == (
        "It waits for its pod group g, of which at least 5 are placed together: "
        "there are 3, and 2 more pods must be made."
    )


def test_not_room_for_enough() -> None:
    waiting, there = members(4), model([node("n1", cpu="4"), on("n1", pod("busy", cpu="1"))])
    explanation = explain_member(waiting[0], Gang("g", 4, waiting), there)
    assert (explanation.subject, explanation.verdict) == ("pod/g0", Verdict.UNSCHEDULABLE)
    assert explanation.summary == (
        "It waits for its pod group g, of which at least 4 are placed together: only 1 of 4 fit at the same time. "
        "pod/g1: The only node does not take it: not enough cpu."
    )
    add = next(remedy for remedy in explanation.remedies if remedy.kind == "AddNode")
    assert add.nodes_for_all == 2
    assert int(there.cluster.nodes.requested[:, 0].sum()) == 1000


def test_room_for_enough_though_not_for_all() -> None:
    waiting = members(4)
    assert explain_member(waiting[0], Gang("g", 2, waiting), model([node("n1")])).verdict is Verdict.SCHEDULABLE
    assert explain_member(waiting[0], Gang("g", 0, waiting), model([node("n1")])).verdict is Verdict.SCHEDULABLE
    large = members(1, cpu="9")
    alone = explain_member(large[0], Gang("g", 1, large, placed=1), model([node("n1")]))
    assert alone.summary == "The only node does not take it: not enough cpu."


def test_less_free_than_its_least_resources() -> None:
    waiting = members(2)
    explanation = explain_member(waiting[0], Gang("g", 2, waiting, lacks="by 2 of cpu"), model([node("n1")]))
    assert explanation.verdict is Verdict.WAITING
    assert explanation.summary == "It waits for its pod group g, of which at least 2 are placed together: by 2 of cpu."
    placed = explain_member(waiting[0], Gang("g", 2, waiting, placed=2, lacks="by 2 of cpu"), model([node("n1")]))
    assert placed.verdict is Verdict.SCHEDULABLE
