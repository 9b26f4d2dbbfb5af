"""What of a group's minResources is not free."""

from __future__ import annotations

import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.gangs.minimum_resources import lacking, read_minimum, said_of
from tiphys.scheduler.template import PodInfo, Templates


def a_cluster(nodes: list[Node], *pods: Pod) -> tuple[Cluster, list[PodInfo]]:
    """The pods are on the first node."""
    cluster, templates = Cluster(), Templates()
    for each in nodes:
        cluster.add_node(each)
    infos = [PodInfo(each, templates.of(each)) for each in pods]
    for info in infos:
        cluster.place(info, nodes[0].metadata.name or "")
    return cluster, infos


def test_the_sum_over_all_nodes_counts() -> None:
    cluster, _ = a_cluster([node("a", cpu="2"), node("b", cpu="500m", unschedulable=True)], pod("other", cpu="1"))
    assert lacking(read_minimum({"cpu": "1500m", "memory": "16Gi"}), (), cluster) == {}
    short = lacking(read_minimum({"cpu": 2, "memory": "17Gi"}), (), cluster)
    assert short == {"cpu": 500, "memory": 1 << 30}
    assert said_of(short).endswith("by 500m of cpu, 1Gi of memory")


def test_what_its_own_pods_hold_counts_as_free() -> None:
    cluster, (own, other) = a_cluster([node("a", cpu="4")], pod("own", cpu="2"), pod("other", cpu="1"))
    assert lacking(read_minimum({"cpu": 3}), [own], cluster) == {}
    assert lacking(read_minimum({"cpu": 4}), [own], cluster) == {"cpu": other.template.requests["cpu"]}


def test_a_node_with_more_on_it_than_it_has_takes_nothing_from_the_others() -> None:
    cluster, _ = a_cluster([node("a", cpu="1"), node("b", cpu="1")], pod("large", cpu="3"))
    assert lacking(read_minimum({"cpu": 1}), (), cluster) == {}


def test_no_node_has_ever_had_it() -> None:
    cluster, _ = a_cluster([node("a")])
    assert lacking(read_minimum({"example.com/gpu": 2}), (), cluster) == {"example.com/gpu": 2}


@pytest.mark.parametrize("value", [None, {}, "4", [1], {"cpu": None}, {"cpu": "many"}, {"cpu": True}, {"cpu": 0}])
def test_what_says_nothing(value: object) -> None:
    assert read_minimum(value) == ()
