"""What is offered: the smallest change that works, and only what works."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.explaining.clusters import on, placed_by, texts, why
from tests.unit.scheduler.objects import container, node, pod
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Affinity,
    ContainerPort,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSchedulingGate,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector, OwnerReference
from tiphys.scheduler.explaining.explanation import Verdict

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


def all_work(waiting: Any, *objects: Any) -> list[str]:
    """The remedies' texts, after each was applied to the objects."""
    explanation = why(waiting, *objects)
    for remedy in explanation.remedies:
        assert placed_by(waiting, objects, remedy), remedy.text
    return texts(explanation)


def test_lower_the_request_to_what_the_best_node_has() -> None:
    nodes = [node("n1", cpu="4"), node("n2", cpu="4")]
    busy = [on("n1", pod("a", cpu="1")), on("n2", pod("b", cpu="500m"))]
    found = all_work(pod("big", cpu="8"), *nodes, *busy)
    assert found[0] == "lower the cpu request from 8 to 3500m"


def test_two_resources_are_lowered_together_where_least_is_lost() -> None:
    nodes = [node("n1", cpu="4", memory="4Gi"), node("n2", cpu="3", memory="6Gi")]
    found = all_work(pod("big", cpu="8", memory="8Gi"), *nodes)
    assert found == [
        "lower the cpu request from 8 to 4 and lower the memory request from 8Gi to 4Gi",
        "add a node like n1, but with 8 cpu and 8Gi memory",
    ]


def test_the_hungriest_containers_give_way() -> None:
    waiting = pod("big", containers=(container("a", cpu="3"), container("b", cpu="2")))
    assert all_work(waiting, node("n1", cpu="4"))[0] == "lower the cpu request from 5 to 4 (a from 3 to 2)"
    assert all_work(waiting, node("n1", cpu="3"))[0] == (
        "lower the cpu request from 5 to 3 (a from 3 to 1500m; b from 2 to 1500m)"
    )


def test_what_only_starts_the_pod_gives_way_for_itself() -> None:
    starting = (container("i", cpu="6"), container("s", cpu="1", restart_policy="Always"))
    waiting = pod("big", containers=(container("a", cpu="3"),), init_containers=starting)
    assert all_work(waiting, node("n1", cpu="4"))[0] == "lower the cpu request from 6 to 4 (i from 6 to 4)"
    assert all_work(waiting, node("n1", cpu="2"))[0] == (
        "lower the cpu request from 6 to 2 (a from 3 to 1; i from 6 to 2)"
    )


def test_requests_of_the_pod_as_a_whole() -> None:
    whole = ResourceRequirements(requests={"cpu": Quantity("6")})
    waiting = pod("big", containers=(container("a", cpu="5"),), resources=whole, overhead={"cpu": Quantity("1")})
    explanation = why(waiting, node("n1", cpu="4"))
    (change,) = explanation.remedies[0].changes
    assert change.patch == (
        {"op": "replace", "path": "/spec/resources/requests/cpu", "value": "3"},
        {"op": "replace", "path": "/spec/containers/0/resources/requests/cpu", "value": "3"},
    )
    assert placed_by(waiting, [node("n1", cpu="4")], explanation.remedies[0]) == "n1"


def test_a_full_node_is_emptied_by_as_few_pods_as_possible() -> None:
    busy = [on("n1", pod("small", cpu="500m")), on("n1", pod("large", cpu="3")), on("n1", pod("vip", priority=9))]
    found = all_work(pod("new", cpu="3"), node("n1", cpu="4"), *busy)
    assert "remove pod default/large from node n1" in found
    assert any(text.startswith("add a node like n1") for text in found)


def test_who_makes_a_removed_pod_again_is_named() -> None:
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web", uid="rs", controller=True)
    busy = pod("web-1", cpu="4")
    owned = replace(busy, metadata=replace(busy.metadata, owner_references=(owner,)))
    found = all_work(pod("new", cpu="4"), node("n1", cpu="4"), on("n1", owned))
    assert "remove pod default/web-1 (of ReplicaSet web) from node n1" in found


def test_more_important_pods_are_not_offered_for_removal() -> None:
    found = all_work(pod("new", cpu="3"), node("n1", cpu="4"), on("n1", pod("vip", cpu="3", priority=9)))
    assert not any("remove pod" in text for text in found)


def test_uncordon() -> None:
    taint = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
    found = all_work(pod("a"), node("n1", unschedulable=True, taints=(taint,)))
    assert found == ["uncordon node n1", "add a node like n1"]


def test_tolerate() -> None:
    taint = Taint(key="dedicated", value="gpu", effect="NoSchedule")
    found = all_work(pod("a"), node("n1", taints=(taint,)))
    assert found == [
        "tolerate the taint dedicated=gpu:NoSchedule",
        "take the taint dedicated=gpu:NoSchedule off node n1",
        "add a node like n1, but with no taints",
    ]
    tolerating = pod("a", tolerations=(Toleration(key="x", operator="Exists"),))
    assert len(all_work(tolerating, node("n1", taints=(taint,)))) == 3


def test_nobody_is_told_to_tolerate_a_node_that_is_gone() -> None:
    taint = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
    found = all_work(pod("a"), node("n1", taints=(taint,)))
    assert found[0].startswith("get node n1 well again") and found[1:] == ["add a node like n1"]


def test_node_selector_is_altered_to_what_there_is() -> None:
    found = all_work(pod("a", node_selector={ZONE: "c"}), node("n1", zone="a"), node("n2", zone="b"))
    assert found[:2] == [
        f"change the nodeSelector {ZONE} from c to a",
        f"change the nodeSelector {ZONE} from c to b",
    ]
    assert f"remove {ZONE}=c from the nodeSelector" in found


def test_a_label_of_people_may_be_given_to_a_node() -> None:
    found = all_work(pod("a", node_selector={"disk": "ssd"}), node("n1"))
    assert found == [
        "remove disk=ssd from the nodeSelector",
        "label node n1 disk=ssd",
        "add a node like n1, but with the label disk=ssd",
    ]


def test_two_obstacles_take_two_steps() -> None:
    taint = Taint(key="dedicated", value="gpu", effect="NoSchedule")
    found = all_work(pod("a", cpu="6"), node("n1", cpu="4", taints=(taint,)))
    assert found[0] == "tolerate the taint dedicated=gpu:NoSchedule, and lower the cpu request from 6 to 4"


def test_host_port() -> None:
    def with_port(name: str) -> Any:
        return pod(name, containers=(container(ports=(ContainerPort(container_port=80, host_port=80),)),))

    found = all_work(with_port("a"), node("n1"), on("n1", with_port("b")))
    assert found == [
        "add a node like n1",
        "do without the host port 80",
        "remove pod default/b from node n1: it has the host port",
    ]


def test_anti_affinity() -> None:
    term = PodAffinityTerm(topology_key=HOST, label_selector=LabelSelector(match_labels={"app": "x"}))
    apart = Affinity(pod_anti_affinity=PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,)))
    waiting = pod("a", labels={"app": "x"}, affinity=apart)
    found = all_work(waiting, node("n1"), on("n1", pod("b", labels={"app": "x"})))
    assert found == [
        "add a node like n1",
        f"remove the required pod anti-affinity by {HOST}, or only prefer it",
        "remove pod default/b, which must not be near it",
    ]
    # The same the other way round: the one that is there does not want the new one.
    found = all_work(pod("a", labels={"app": "x"}), node("n1"), on("n1", pod("b", affinity=apart)))
    assert "remove pod default/b, which must not be near it" in found


def test_affinity_to_pods_that_are_not_there() -> None:
    term = PodAffinityTerm(topology_key=ZONE, label_selector=LabelSelector(match_labels={"app": "db"}))
    near = Affinity(pod_affinity=PodAffinity(required_during_scheduling_ignored_during_execution=(term,)))
    waiting = pod("web", affinity=near)
    explanation = why(waiting, node("n1", zone="a"))
    assert explanation.reasons[0].detail == f"no pod anywhere is what it wants to be near to ({ZONE})"
    assert texts(explanation) == [
        "run a pod with the labels app=db on node n1 or near it",
        f"remove the required pod affinity by {ZONE}, or only prefer it",
    ]
    assert all(placed_by(waiting, [node("n1", zone="a")], remedy) for remedy in explanation.remedies)
    # It is there, but in a zone that is full.
    there = [node("n1", zone="a"), node("n2", zone="b", cpu="1"), on("n2", pod("db", labels={"app": "db"}, cpu="1"))]
    explanation = why(pod("web", affinity=near, cpu="1"), *there)
    affinity = next(reason for reason in explanation.reasons if reason.plugin == "InterPodAffinity")
    assert affinity.detail == f"1 pod is what it wants to be near to ({ZONE}), but elsewhere, as on n2"


def test_spreading() -> None:
    constraint = TopologySpreadConstraint(
        topology_key=ZONE,
        max_skew=1,
        when_unsatisfiable="DoNotSchedule",
        label_selector=LabelSelector(match_labels={"app": "x"}),
    )
    waiting = pod("a", labels={"app": "x"}, cpu="1", topology_spread_constraints=(constraint,))
    there = [on("n1", pod(f"b{i}", labels={"app": "x"})) for i in range(3)]
    full = on("n2", pod("full", cpu="4"))
    found = all_work(waiting, node("n1", zone="a"), node("n2", zone="b"), *there, full)
    assert f"allow a maxSkew of 4 instead of 1 over {ZONE}" in found
    assert any(text.startswith("add a node like n2") for text in found)
    assert not any(text.startswith("add a node like n1") for text in found)
    assert "remove pod default/full from node n2" in found


def test_what_needs_a_new_node_and_less() -> None:
    found = all_work(pod("a", cpu="8"), node("n1", cpu="4"), on("n1", pod("vip", cpu="4", priority=9)))
    assert found == ["lower the cpu request from 8 to 4, and add a node like n1"]


def test_verdicts_without_a_search() -> None:
    assert why(pod("a")).verdict is Verdict.NO_NODES
    assert why(pod("a"), node("n1")).verdict is Verdict.SCHEDULABLE
    gated = why(pod("a", scheduling_gates=(PodSchedulingGate(name="x/y"),)), node("n1"))
    assert gated.verdict is Verdict.GATED and "x/y" in gated.summary
    foreign = why(pod("a", scheduler_name="mine"), node("n1"))
    assert foreign.verdict is Verdict.UNKNOWN_SCHEDULER and "mine" in foreign.summary
