"""The bound that saves trying: never too low."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from tests.unit.scheduler.objects import node, pod
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Affinity, Node, Pod, PodAffinity, PodAffinityTerm
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.algorithm import Algorithm
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.gangs.room import room_for
from tiphys.scheduler.plugin_args import NodeResourcesFitArgs
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates


def room(nodes: list[Node], pods: list[Pod], args: dict[str, Any] | None = None, placed: int = 0) -> int:
    """What the bound is for `pods` once the first `placed` have a node."""
    cluster, templates = Cluster(), Templates()
    for each in nodes:
        cluster.add_node(each)
    algorithm = Algorithm(cluster, default_profile(args=args), random.Random(0))
    for number in range(placed):
        cluster.place(PodInfo(pods[number], templates.of(pods[number])), nodes[0].metadata.name or "")
    return room_for(((templates.of(each), algorithm.evaluations) for each in pods[placed:]), cluster)


def test_as_many_as_the_scarcest_resource_of_each_node_allows() -> None:
    nodes = [node("a", cpu="4", memory="8Gi"), node("b", cpu="1"), node("c", cpu="500m")]
    assert room(nodes, [pod(f"p{n}", cpu="1", memory="3Gi") for n in range(9)]) == 2 + 1
    assert room(nodes, [pod(f"p{n}", cpu="1", memory="3Gi") for n in range(2)]) == 2
    assert room(nodes, [pod(f"p{n}", cpu="1") for n in range(9)], placed=2) == 2 + 1


def test_kinds_are_counted_apart_and_closed_nodes_are_not() -> None:
    nodes = [node("a", cpu="4"), node("b", cpu="4", unschedulable=True)]
    assert room(nodes, [*(pod(f"s{n}", cpu="1") for n in range(9)), *(pod(f"l{n}", cpu="2") for n in range(9))]) == 6
    assert room([], [pod("p")]) == 0


def test_what_is_ignored_is_no_limit() -> None:
    nodes = [node("a", cpu="4")]
    wants = pod("p")
    container = wants.spec.containers[0]
    resources = msgspec.structs.replace(container.resources, requests={"example.com/gpu": Quantity("1")})
    spec = msgspec.structs.replace(wants.spec, containers=(msgspec.structs.replace(container, resources=resources),))
    wants = msgspec.structs.replace(wants, spec=spec)
    assert room(nodes, [wants] * 3) == 0
    ignoring = {"NodeResourcesFit": NodeResourcesFitArgs(ignored_resources=("example.com/gpu",))}
    assert room(nodes, [wants] * 3, ignoring) == 3


def test_who_wants_company_of_the_gang_itself_is_not_ruled_out() -> None:
    term = PodAffinityTerm(
        topology_key="topology.kubernetes.io/zone", label_selector=LabelSelector(match_labels={"role": "leader"})
    )
    near = Affinity(pod_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=(term,)))
    assert room([node("a", cpu="4", zone="z")], [pod(f"p{n}", cpu="1", affinity=near) for n in range(3)]) == 3
