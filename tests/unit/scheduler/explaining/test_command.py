"""`tiphys why` on a snapshot: what the command adds to the pure answer."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.unit.scheduler.explaining.clusters import on
from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.apps_v1 import Deployment, DeploymentSpec, ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import ObjectMeta, OwnerReference
from tiphys.cmd.why import explain_in
from tiphys.scheduler.explaining.explanation import Verdict
from tiphys.scheduler.gangs.groups import PodGroupObject
from tiphys.scheduler.snapshot import Snapshot


def owned(obj: Any, kind: str, uid: str) -> Any:
    reference = OwnerReference(api_version="apps/v1", kind=kind, name=uid, uid=uid, controller=True)
    return replace(obj, metadata=replace(obj.metadata, owner_references=(reference,)))


def test_an_important_pod_is_told_whom_it_displaces() -> None:
    busy = on("n1", pod("low", cpu="3"))
    waiting = pod("high", cpu="3", priority=10)
    (note,) = explain_in(Snapshot([node("n1", cpu="4"), busy, waiting]), waiting).notes
    assert note == (
        "It is more important than default/low on node n1: "
        "the scheduler removes that pod for it, if it has not begun to."
    )
    never = pod("high", cpu="3", priority=10, preemption_policy="Never")
    (note,) = explain_in(Snapshot([node("n1", cpu="4"), busy, never]), never).notes
    assert "its preemptionPolicy is Never" in note


def test_promised_room_is_not_free() -> None:
    high = pod("high", cpu="3", priority=10)
    promised = replace(high, status=replace(high.status, nominated_node_name="n1"))
    waiting = pod("low", cpu="3")
    objects = [node("n1", cpu="4"), promised, waiting]
    assert explain_in(Snapshot(objects), waiting).verdict is Verdict.UNSCHEDULABLE
    # Its own promise is no obstacle.
    assert explain_in(Snapshot(objects), promised).verdict is Verdict.WAITING


def test_a_deployment_by_its_pods() -> None:
    meta = ObjectMeta(name="web", namespace="default", uid="d")
    deployment = Deployment(metadata=meta, spec=DeploymentSpec(replicas=3))
    replicas = owned(ReplicaSet(metadata=ObjectMeta(name="web-1", namespace="default", uid="rs")), "Deployment", "d")
    pods: list[Pod] = [owned(pod(f"web-1-{index}", cpu="3"), "ReplicaSet", "rs") for index in range(3)]
    placed = on("n1", pods[0])
    snapshot = Snapshot([node("n1", cpu="4"), deployment, replicas, placed, *pods[1:]])
    explanation = explain_in(snapshot, deployment)
    assert (explanation.subject, explanation.verdict) == ("deployment/web", Verdict.UNSCHEDULABLE)
    assert explanation.summary.startswith("3 of 3 pods are not ready. pod/web-1-1: The only node does not take it")
    assert [brief.name for brief in explanation.pods] == ["pod/web-1-1", "pod/web-1-2", "pod/web-1-0"]
    add = next(remedy for remedy in explanation.remedies if remedy.kind == "AddNode")
    assert add.nodes_for_all == 2


def test_a_pod_of_a_gang() -> None:
    group = PodGroupObject(
        kind="PodGroup",
        api_version="scheduling.x-k8s.io/v1alpha1",
        metadata=ObjectMeta(name="train", namespace="default"),
        spec={"minMember": 3},
    )
    pods = [pod(f"t{index}", cpu="3", labels={"scheduling.x-k8s.io/pod-group": "train"}) for index in range(3)]
    few = explain_in(Snapshot([node("n1", cpu="4"), group, *pods[:2]]), pods[0])
    assert (few.verdict, few.summary) == (
        Verdict.WAITING,
        "It waits for its pod group train, of which at least 3 are placed together: "
        "there are 2, and 1 more pod must be made.",
    )
    small = explain_in(Snapshot([node("n1", cpu="4"), group, *pods]), pods[0])
    assert small.verdict is Verdict.UNSCHEDULABLE and "only 1 of 3 fit at the same time" in small.summary
    enough = [node(f"n{index}", cpu="4") for index in range(3)]
    assert explain_in(Snapshot([*enough, group, *pods]), pods[0]).verdict is Verdict.SCHEDULABLE
    more = replace(group, spec={"minMember": 3, "minResources": {"cpu": 13}})
    lacking = explain_in(Snapshot([*enough, more, *pods]), pods[0])
    assert lacking.verdict is Verdict.WAITING
    assert lacking.summary.endswith(": the cluster's nodes have less free than its minResources, by 1 of cpu.")
