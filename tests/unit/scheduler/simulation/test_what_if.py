"""What if: each kind of change, and what becomes of the pods."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.scheduler.objects import node, pod
from tests.unit.scheduler.simulation.workloads import owned, workload
from tiphys.api.codec import from_dict
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    LimitRange,
    LimitRangeItem,
    LimitRangeSpec,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodSchedulingGate,
    Taint,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import (
    Add,
    AddNodes,
    Change,
    ChangeError,
    Cordon,
    Delete,
    Drain,
    Outcome,
    RemoveNode,
    RescheduleAll,
    Scale,
    Uncordon,
    encode,
    render,
    what_if,
)


def result(objects: tuple[Any, ...], *changes: Change, **options: Any) -> Outcome:
    return what_if(Snapshot(objects), changes, **options)


def went(outcome: Outcome) -> dict[str, str]:
    """Where each pod that was to be placed is, by its name."""
    return {placed.pod.partition("/")[2]: placed.node for placed in outcome.placements}


def waits(outcome: Outcome) -> dict[str, str]:
    return {pending.pod.partition("/")[2]: pending.reason for pending in outcome.pending}


TWO = (node("a"), node("b"))


def test_nothing_changed_nothing_moves() -> None:
    snapshot = Snapshot((*TWO, pod("p", cpu="1", node_name="a"), pod("waits", cpu="9")))
    before = snapshot.cluster.nodes.requested.copy()
    outcome = what_if(snapshot)
    assert not outcome.placements
    assert waits(outcome)["waits"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
    assert not outcome.fits
    assert outcome.before == outcome.after
    assert (snapshot.cluster.nodes.requested == before).all()


class TestNodes:
    def test_a_drained_nodes_pods_go_elsewhere(self) -> None:
        objects = (*TWO, owned("p", "ReplicaSet", "web", node_name="a"), pod("bare", node_name="a"))
        outcome = result(objects, Drain("a"))
        (placed,) = outcome.placements
        assert (placed.was, placed.node, placed.cause, placed.owner) == ("a", "b", "drained", "ReplicaSet/web")
        (gone,) = outcome.gone
        assert (gone.pod, gone.lost) == ("default/bare", True)
        assert outcome.nodes[0].change == "drained"
        assert outcome.nodes[0].after is not None
        assert outcome.nodes[0].after.pods == 0

    def test_daemons_and_static_pods_stay_on_it(self) -> None:
        static = pod("static", node_name="a")
        static.metadata.annotations = {"kubernetes.io/config.mirror": "x"}
        objects = (*TWO, owned("agent", "DaemonSet", "agent", node_name="a"), static)
        outcome = result(objects, Drain("a"))
        assert {stayed.pod for stayed in outcome.stayed} == {"default/agent", "default/static"}
        assert not outcome.placements
        assert not outcome.gone

    def test_what_does_not_fit_elsewhere_waits(self) -> None:
        outcome = result((*TWO, owned("p", "ReplicaSet", "web", cpu="3", node_name="a"),
                          pod("full", cpu="3", node_name="b")), Drain("a"))  # fmt: skip
        assert waits(outcome)["p"].startswith("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) ")
        assert outcome.pending[0].plugins == ("NodeResourcesFit", "NodeUnschedulable")
        assert outcome.pending[0].was == "a"

    def test_disruption_budgets_of_a_drain_are_reported(self) -> None:
        budget = PodDisruptionBudget(
            metadata=ObjectMeta(name="web", namespace="default"),
            spec=PodDisruptionBudgetSpec(selector=LabelSelector(match_labels={"app": "web"})),
            status=PodDisruptionBudgetStatus(disruptions_allowed=1),
        )
        pods = (owned(f"p{number}", "ReplicaSet", "web", node_name="a") for number in range(3))
        outcome = result((*TWO, budget, *pods), Drain("a"))
        (said,) = outcome.budgets
        assert (said.name, said.allowed, said.evicted) == ("default/web", 1, 3)
        assert "the drain waits until replacements are ready" in render(outcome)

    def test_a_cordoned_node_keeps_its_pods_and_gets_no_more(self) -> None:
        objects = (*TWO, pod("there", node_name="a"), pod("new", cpu="1"))
        assert went(result(objects, Cordon("a"))) == {"new": "b"}
        cordoned = node(
            "a", unschedulable=True, taints=(Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"),)
        )
        assert not result((cordoned, pod("new")), Cordon("a")).fits
        assert went(result((cordoned, pod("new")), Uncordon("a"))) == {"new": "a"}

    def test_a_removed_node_takes_its_daemons_along(self) -> None:
        objects = (
            *TWO,
            owned("agent", "DaemonSet", "agent", node_name="a"),
            owned("p", "ReplicaSet", "r", node_name="a"),
        )
        outcome = result(objects, RemoveNode("a"))
        assert went(outcome) == {"p": "b"}
        assert [(gone.pod, gone.lost) for gone in outcome.gone] == [("default/agent", False)]
        assert (outcome.before.nodes, outcome.after.nodes) == (2, 1)
        assert outcome.nodes[0].after is None

    def test_added_nodes_are_like_the_model_but_empty_and_in_use(self) -> None:
        model = node("a", zone="z", unschedulable=True, taints=(
            Taint(key="gpu", effect="NoSchedule"), Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"),
        ))  # fmt: skip
        tolerant = pod(
            "p", cpu="3", tolerations=(msgspec.convert({"key": "gpu", "operator": "Exists"}, type=_toleration()),)
        )
        outcome = result((model, tolerant, pod("q")), AddNodes(2, like="a"))
        assert went(outcome)["p"].startswith("a-new-")
        assert "untolerated taint" in waits(outcome)["q"]
        assert [(used.name, used.change) for used in outcome.nodes] == [
            ("a", ""),
            ("a-new-1", "added"),
            ("a-new-2", "added"),
        ]

    def test_daemon_sets_come_to_added_nodes_that_they_select(self) -> None:
        chosen = workload("DaemonSet", "agent", nodeSelector={"kubernetes.io/hostname": "a-new-1"})
        everywhere = workload("DaemonSet", "proxy", cpu="100m")
        outcome = result((node("a"), chosen, everywhere), AddNodes(2, like="a"))
        assert went(outcome) == {"agent-a-new-1": "a-new-1", "proxy-a-new-1": "a-new-1", "proxy-a-new-2": "a-new-2"}

    def test_names_of_added_nodes_are_free(self) -> None:
        outcome = result((node("a"), node("a-new-1")), AddNodes(1, like="a"), AddNodes(1, like="a"))
        assert [used.name for used in outcome.nodes if used.change] == ["a-new-2", "a-new-3"]

    @pytest.mark.parametrize("change", [Drain("x"), Cordon("x"), RemoveNode("x"), AddNodes(1, like="x")])
    def test_a_node_that_is_not_there_is_an_error(self, change: Change) -> None:
        with pytest.raises(ChangeError, match='node "x" not found'):
            result(TWO, change)


def _toleration() -> type:
    from tiphys.api.types.core_v1 import Toleration

    return Toleration


class TestWorkloads:
    @pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet", "StatefulSet", "Job"])
    def test_added_ones_become_their_pods(self, kind: str) -> None:
        outcome = result(TWO, Add((workload(kind, "web", 3),)))
        assert len(outcome.placements) == 3
        assert {placed.owner for placed in outcome.placements} == {f"{kind}/web"}
        assert set(went(outcome).values()) == {"a", "b"}
        if kind == "StatefulSet":
            assert sorted(went(outcome)) == ["web-0", "web-1", "web-2"]

    def test_a_daemon_set_has_one_on_each_node_it_tolerates(self) -> None:
        tainted = node("c", taints=(Taint(key="gpu", effect="NoSchedule"),))
        cordoned = node(
            "d", unschedulable=True, taints=(Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"),)
        )
        outcome = result((*TWO, tainted, cordoned), Add((workload("DaemonSet", "agent"),)))
        assert went(outcome) == {"agent-a": "a", "agent-b": "b", "agent-d": "d"}

    def test_a_manifest_may_be_added_several_times(self) -> None:
        outcome = result(TWO, Add((pod("p"), workload("Deployment", "web", 2)), 2))
        assert sorted(pod.rpartition("-")[0] for pod in went(outcome) if pod.startswith("p")) == ["p", "p"]
        assert {placed.owner for placed in outcome.placements} == {"", "Deployment/web-1", "Deployment/web-2"}

    def test_nodes_in_a_manifest_are_nodes(self) -> None:
        outcome = result((pod("p"),), Add((node("n"),), 2))
        assert [used.name for used in outcome.nodes] == ["n-new-1", "n-new-2"]
        assert outcome.fits

    def test_a_workload_that_is_there_already_is_replaced(self) -> None:
        objects = (*TWO, workload("StatefulSet", "db", 1), owned("db-0", "StatefulSet", "db", node_name="a"))
        outcome = result(objects, Add((workload("StatefulSet", "db", 2),)))
        assert sorted(went(outcome)) == ["db-0", "db-1"]
        assert outcome.notes == ("StatefulSet default/db is there already: its pods are replaced by new ones.",)

    def test_scaling_up_adds_pods_of_the_workload_that_is_there(self) -> None:
        objects = (*TWO, workload("ReplicaSet", "web", 1), owned("web-x", "ReplicaSet", "web", node_name="a"))
        outcome = result(objects, Scale("rs", "web", 3))
        assert sorted(went(outcome)) == ["web-1", "web-2"]
        assert {placed.cause for placed in outcome.placements} == {"scaled up"}

    def test_a_deployment_is_scaled_through_its_replica_set(self) -> None:
        replica_set = workload("ReplicaSet", "web-abc", 1, cpu="2")
        replica_set.metadata.owner_references = owned("x", "Deployment", "web").metadata.owner_references
        objects = (
            *TWO,
            workload("Deployment", "web", 1),
            replica_set,
            owned("web-abc-x", "ReplicaSet", "web-abc", node_name="a"),
        )
        outcome = result(objects, Scale("deployment", "web", 3))
        assert sorted(went(outcome)) == ["web-abc-1", "web-abc-2"]
        assert {placed.owner for placed in outcome.placements} == {"Deployment/web"}
        assert len(result(objects, Scale("deploy", "web", 0)).gone) == 1

    def test_scaling_down_removes_what_the_controllers_would(self) -> None:
        pods = (owned(f"web-{name}", "ReplicaSet", "web", **fields) for name, fields in {
            "crowded": {"node_name": "a"}, "crowd": {"node_name": "a"}, "alone": {"node_name": "b"}, "waits": {},
        }.items())  # fmt: skip
        outcome = result((*TWO, workload("ReplicaSet", "web", 4), *pods), Scale("replicaset", "web", 2))
        assert {gone.pod for gone in outcome.gone} == {"default/web-waits", "default/web-crowded"} or {
            gone.pod for gone in outcome.gone
        } == {"default/web-waits", "default/web-crowd"}
        ordered = (owned(f"db-{number}", "StatefulSet", "db", node_name="a") for number in range(3))
        outcome = result((*TWO, workload("StatefulSet", "db", 3), *ordered), Scale("sts", "db", 1))
        assert [gone.pod for gone in outcome.gone] == ["default/db-2", "default/db-1"]

    def test_deleting_a_workload_removes_its_pods_and_makes_room(self) -> None:
        objects = (
            node("a"),
            workload("ReplicaSet", "web", 1),
            owned("w", "ReplicaSet", "web", cpu="3", node_name="a"),
            pod("p", cpu="3"),
        )
        outcome = result(objects, Delete("replicaset", "web"))
        assert went(outcome) == {"p": "a"}
        assert outcome.gone[0].why == "ReplicaSet deleted"

    def test_a_deleted_pod_is_made_again_by_its_owner_alone(self) -> None:
        objects = (*TWO, owned("o", "ReplicaSet", "web", node_name="a"), pod("bare", node_name="a"))
        outcome = result(objects, Delete("pod", "o"), Delete("po", "bare"))
        assert list(went(outcome)) == ["o"]
        assert [(gone.pod, gone.lost) for gone in outcome.gone] == [("default/bare", False)]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (Scale("deployment", "x", 1), 'deployment "x" not found in namespace "default"'),
            (Scale("pod", "p", 1), "cannot be scaled"),
            (Scale("secret", "x", 1), "of kind secret nothing is simulated"),
            (Scale("deployment", "x", -1), "cannot have -1 replicas"),
            (Delete("pod", "x", "other"), 'pod "x" not found in namespace "other"'),
            (Add((pod("x"),), 0), "cannot be added"),
            (AddNodes(0, like="a"), "cannot be added"),
        ],
    )
    def test_what_makes_no_sense_is_an_error(self, change: Change, said: str) -> None:
        with pytest.raises(ChangeError, match=said):
            result((*TWO, pod("p")), change)


class TestDecisions:
    def test_victims_leave_and_those_that_are_owned_come_back(self) -> None:
        small = owned("small", "ReplicaSet", "web", cpu="3", node_name="a", priority=1)
        objects = (node("a"), small, pod("big", cpu="3", priority=10))
        outcome = result(objects)
        assert went(outcome) == {"big": "a"}
        (victim,) = outcome.preempted
        assert (victim.pod, victim.by, victim.node, victim.recreated) == ("default/small", "default/big", "a", True)
        assert list(waits(outcome)) == ["small"]
        assert outcome.pending[0].cause == "preempted"
        moved = result((*objects, node("b", cpu="3")), Cordon("b"))
        assert waits(moved)
        assert not result((*objects, node("b", cpu="3"))).preempted

    def test_a_bare_pod_that_was_placed_and_then_preempted_is_only_a_victim(self) -> None:
        urgent = Add((pod("urgent", cpu="3", priority=10),))
        outcome = result((node("a"), pod("bare", cpu="3")), RescheduleAll(), urgent, one_by_one=True)
        assert went(outcome) == {"urgent": "a"}
        assert [victim.pod for victim in outcome.preempted] == ["default/bare"]
        assert (outcome.after.placed, outcome.after.pending) == (1, 0)

    def test_a_pod_that_another_ones_arrival_helps_is_placed_too(self) -> None:
        follower = pod("a-follower", affinity=_near("leader"))
        outcome = result((*TWO, follower, pod("b-leader", labels={"app": "leader"})))
        assert outcome.fits
        assert went(outcome)["a-follower"] == went(outcome)["b-leader"]

    def test_gated_pods_wait_by_their_own_will(self) -> None:
        outcome = result((*TWO, pod("p", scheduling_gates=(PodSchedulingGate(name="g"),))))
        assert outcome.pending[0].gated
        assert outcome.fits

    def test_pods_of_other_schedulers_are_told_of(self) -> None:
        outcome = result((*TWO, pod("p", scheduler_name="other")))
        assert waits(outcome)["p"] == "waits for scheduler other, which is not simulated"

    def test_another_profile_places_otherwise(self) -> None:
        def packing(handle: Any) -> Any:
            from tiphys.scheduler.plugin_args import NodeResourcesFitArgs, ScoringStrategy

            strategy = ScoringStrategy(type="MostAllocated")
            return default_profile(handle, args={"NodeResourcesFit": NodeResourcesFitArgs(scoring_strategy=strategy)})

        pods = tuple(
            owned(f"p{number}", "ReplicaSet", "web", cpu="500m", node_name="ab"[number % 2]) for number in range(4)
        )
        snapshot = Snapshot((*TWO, *pods))
        spread = what_if(snapshot, [RescheduleAll()])
        packed = what_if(snapshot, [RescheduleAll()], profiles=[packing])
        assert sorted(went(spread).values()) == ["a", "a", "b", "b"]
        assert len(set(went(packed).values())) == 1

    def test_the_same_seed_gives_the_same_outcome(self) -> None:
        objects = tuple(node(f"n{number}") for number in range(9)) + tuple(pod(f"p{number}") for number in range(20))
        assert encode(result(objects, seed=3)) == encode(result(objects, seed=3))
        assert went(result(objects, seed=3)) != went(result(objects, seed=4))

    def test_changes_one_by_one_place_pods_in_between(self) -> None:
        objects = (*TWO, owned("p", "ReplicaSet", "web", node_name="a"))
        changes = (Drain("a"), AddNodes(1, like="a"), Cordon("b"))
        assert went(result(objects, *changes)) == {"p": "a-new-1"}
        assert went(result(objects, *changes, one_by_one=True)) == {"p": "b"}

    def test_pods_being_deleted_are_taken_to_be_gone(self) -> None:
        outcome = result((node("a"), pod("old", cpu="3", deleted=True, node_name="a"), pod("new", cpu="3")))
        assert went(outcome) == {"new": "a"}
        assert outcome.notes == ("1 pods that are being deleted are taken to be gone.",)


class TestAdmission:
    def test_priority_limits_and_tolerations_are_filled_in(self) -> None:
        high = PriorityClass(metadata=ObjectMeta(name="high"), value=100)
        item = LimitRangeItem(type="Container", default_request={"cpu": Quantity("3")})
        limits = LimitRange(metadata=ObjectMeta(name="l", namespace="default"), spec=LimitRangeSpec(limits=(item,)))
        low = pod("low", cpu="2", node_name="a")
        outcome = result((node("a"), high, limits, low), Add((pod("new", priority_class_name="high"),)))
        assert [victim.pod for victim in outcome.preempted] == ["default/low"]
        with pytest.raises(ChangeError, match="no PriorityClass with name none was found"):
            result((node("a"), high), Add((pod("new", priority_class_name="none"),)))

    def test_claims_of_a_stateful_set_get_local_volumes_where_these_are(self) -> None:
        outcome = result((*TWO, _local_class()), Add((_with_claims(2), _local_volume("v", "b"))))
        assert went(outcome) == {"db-0": "b"}
        assert "didn't find available persistent volumes" in waits(outcome)["db-1"]

    def test_a_pod_moves_only_where_its_bound_volume_is(self) -> None:
        volume = _local_volume("v", "a")
        annotations = {"pv.kubernetes.io/bind-completed": "yes"}
        metadata = {"name": "data", "namespace": "default", "uid": "u", "annotations": annotations}
        spec = {"volumeName": "v", "storageClassName": "local"}
        claim = from_dict(PersistentVolumeClaim, {"metadata": metadata, "spec": spec})
        user = owned("p", "StatefulSet", "db", node_name="a")
        mount = from_dict(Pod, {"spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}})
        user.spec.volumes = mount.spec.volumes
        assert list(waits(result((*TWO, volume, claim, user), Drain("a")))) == ["p"]


def _near(app: str) -> Any:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    wanted = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return from_dict(Pod, {"spec": {"affinity": wanted}}).spec.affinity


def _local_class() -> StorageClass:
    return StorageClass(
        metadata=ObjectMeta(name="local"),
        provisioner="kubernetes.io/no-provisioner",
        volume_binding_mode="WaitForFirstConsumer",
    )


def _local_volume(name: str, node_name: str) -> PersistentVolume:
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node_name]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
    }
    return from_dict(PersistentVolume, {"metadata": {"name": name}, "spec": spec})


def _with_claims(replicas: int) -> Any:
    made = workload("StatefulSet", "db", replicas)
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    made.spec.volume_claim_templates = (from_dict(PersistentVolumeClaim, {"metadata": {"name": "data"}, "spec": spec}),)
    return made


def test_the_text_is_bounded_and_everything_can_be_asked_for() -> None:
    nodes = tuple(node(f"n{number:03}") for number in range(60))
    pods = tuple(pod(f"p{number:03}", cpu="1") for number in range(60))
    outcome = result((*nodes, *pods))
    assert len(render(outcome).splitlines()) < 60
    assert "… and 40 more (--all shows them)" in render(outcome)
    assert all(f"default/p{number:03}" in render(outcome, everything=True) for number in range(60))


def test_nodes_of_a_manifest_need_only_a_capacity() -> None:
    bare = from_dict(Node, {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "2", "pods": "10"}}})
    assert result((pod("p", cpu="1"),), Add((bare,))).fits
