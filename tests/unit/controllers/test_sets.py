"""DaemonSets and StatefulSets."""

from typing import Any

import pytest

from tiphys.api.types.apps_v1 import (
    ControllerRevision,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetSpec,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod, Taint
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.controllers import history
from tiphys.controllers.daemonset import reconcile as daemons
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.statefulset.identity import claims_of, made
from tiphys.controllers.statefulset.reconcile import Decision, decide
from tiphys.testing import builders

NOW = 1_700_000_000.0


def daemon_set(**strategy: Any) -> DaemonSet:
    rolling = RollingUpdateDaemonSet(**{"max_unavailable": 1, "max_surge": 0, **strategy})
    spec = DaemonSetSpec(
        selector=LabelSelector(match_labels={"app": "d"}),
        template=builders.template(app="d"),
        update_strategy=DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling),
    )
    return DaemonSet(metadata=builders.meta("d", generation=1), spec=spec)


NODES = [builders.node(f"n{n}") for n in range(4)]


def daemon(node: str, revision: str = "new", **fields: Any) -> Pod:
    return builders.pod(f"d-{node}-{revision}", node=node, labels={HASH_LABEL: revision}, **fields)


def daemon_plan(of: DaemonSet, *pods: Pod) -> tuple[list[str], list[str]]:
    by_node: dict[str, list[Pod]] = {}
    for pod in pods:
        by_node.setdefault(pod.spec.node_name or "", []).append(pod)
    found = daemons.plan(of, NODES, by_node, "new", NOW)
    return sorted(found.create), sorted(pod.metadata.name or "" for pod in found.delete)


def test_every_node_gets_one_daemon() -> None:
    assert daemon_plan(daemon_set(), daemon("n0")) == (["n1", "n2", "n3"], [])


def test_a_daemon_is_pinned_and_tolerates_what_nodes_suffer() -> None:
    pod = daemons.made(daemon_set(), "n1", "abc")
    tolerated = {(t.key or "").rsplit("/", 1)[-1] for t in pod.spec.tolerations}
    assert {"not-ready", "unreachable", "unschedulable", "disk-pressure"} <= tolerated
    assert pod.metadata.labels[HASH_LABEL] == "abc"
    assert daemons.should_run(daemon_set(), builders.node("n", unschedulable=True)) == (True, True)


@pytest.mark.parametrize(("effect", "expected"), [("NoSchedule", (False, True)), ("NoExecute", (False, False))])
def test_a_foreign_taint_keeps_daemons_away(effect: str, expected: tuple[bool, bool]) -> None:
    tainted = builders.node("n", taints=(Taint(key="mine", effect=effect),))
    assert daemons.should_run(daemon_set(), tainted) == expected


def test_a_rolling_update_replaces_one_after_the_other() -> None:
    old = [daemon(f"n{n}", "old") for n in range(4)]
    assert daemon_plan(daemon_set(), *old) == ([], ["d-n0-old"])
    waiting = daemon("n0", ready=False)
    assert daemon_plan(daemon_set(), waiting, *old[1:]) == ([], [])
    assert daemon_plan(daemon_set(), daemon("n0"), *old[1:]) == ([], ["d-n1-old"])


def test_broken_old_daemons_are_replaced_first() -> None:
    pods = [daemon("n0", "old"), daemon("n1", "old", ready=False), daemon("n2", "old"), daemon("n3", "old")]
    assert daemon_plan(daemon_set(), *pods) == ([], ["d-n1-old"])


def test_with_surge_the_new_daemon_comes_before_the_old_goes() -> None:
    old = [daemon(f"n{n}", "old") for n in range(4)]
    of = daemon_set(max_surge=1, max_unavailable=0)
    assert daemon_plan(of, *old) == (["n0"], [])
    assert daemon_plan(of, *old, daemon("n0", ready=False)) == ([], [])
    assert daemon_plan(of, *old, daemon("n0"))[1] == ["d-n0-old"]


def test_a_failed_daemon_is_removed_to_be_made_again() -> None:
    pods = [daemon("n0", phase="Failed", ready=False), *(daemon(f"n{n}") for n in (1, 2, 3))]
    assert daemon_plan(daemon_set(), *pods) == ([], ["d-n0-new"])


def test_daemons_are_counted() -> None:
    by_node = {"n0": [daemon("n0")], "n1": [daemon("n1", "old", ready=False)]}
    status, _ = daemons.status(daemon_set(), NODES, by_node, "new", NOW)
    assert (status.desired_number_scheduled, status.current_number_scheduled, status.number_ready) == (4, 2, 1)
    assert (status.number_available, status.number_unavailable, status.updated_number_scheduled) == (1, 3, 1)


def stateful_set(*, replicas: int = 3, status: StatefulSetStatus | None = None, **spec: Any) -> StatefulSet:
    wanted: dict[str, Any] = {
        "replicas": replicas,
        "service_name": "db",
        "selector": LabelSelector(match_labels={"app": "db"}),
        "template": builders.template(app="db", image="two"),
        "update_strategy": StatefulSetUpdateStrategy(type="RollingUpdate"),
    }
    return StatefulSet(
        metadata=builders.meta("db", generation=1),
        spec=StatefulSetSpec(**{**wanted, **spec}),
        status=status or StatefulSetStatus(),
    )


def revision(name: str, image: str) -> ControllerRevision:
    data = history.data_of(builders.template(app="db", image=image))
    return ControllerRevision(metadata=ObjectMeta(name=name), data=data, revision=1)


ONE, TWO = revision("db-one", "one"), revision("db-two", "two")


def member(ordinal: int, of: str = "db-two", **fields: Any) -> Pod:
    return builders.pod(f"db-{ordinal}", labels={HASH_LABEL: of}, **fields)


def stateful_step(of: StatefulSet, *pods: Pod, current: ControllerRevision = TWO) -> Decision:
    return decide(of, pods, current, TWO, None, NOW)


def names(pods: list[Pod]) -> list[str | None]:
    return [pod.metadata.name for pod in pods]


def test_members_are_made_in_order_each_after_the_one_before() -> None:
    assert names(stateful_step(stateful_set()).create) == ["db-0"]
    assert names(stateful_step(stateful_set(), member(0, ready=False)).create) == []
    assert names(stateful_step(stateful_set(), member(0)).create) == ["db-1"]


def test_parallel_members_are_made_at_once() -> None:
    of = stateful_set(pod_management_policy="Parallel")
    assert names(stateful_step(of).create) == ["db-0", "db-1", "db-2"]


def test_scaling_down_takes_the_highest_first_and_waits() -> None:
    of = stateful_set(replicas=1)
    assert names(stateful_step(of, member(0), member(1), member(2)).delete) == ["db-2"]
    assert names(stateful_step(of, member(0), member(1), member(2, deleting=True)).delete) == []
    assert names(stateful_step(of, member(0, ready=False), member(1)).delete) == []


def test_an_update_goes_downwards_one_at_a_time() -> None:
    old = [member(n, "db-one") for n in range(3)]
    assert names(stateful_step(stateful_set(), *old, current=ONE).delete) == ["db-2"]
    mixed = [member(0, "db-one"), member(1, "db-one"), member(2, ready=False)]
    assert names(stateful_step(stateful_set(), *mixed, current=ONE).delete) == []
    mixed[2] = member(2)
    assert names(stateful_step(stateful_set(), *mixed, current=ONE).delete) == ["db-1"]


def test_an_update_stops_at_the_partition() -> None:
    rolling = RollingUpdateStatefulSetStrategy(partition=2)
    strategy = StatefulSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    of = stateful_set(update_strategy=strategy)
    pods = [member(0, "db-one"), member(1, "db-one"), member(2)]
    decision = stateful_step(of, *pods, current=ONE)
    assert decision.delete == []
    assert (decision.status.current_revision, decision.status.updated_replicas) == ("db-one", 1)
    recreated = stateful_step(of, member(0, "db-one"), current=ONE).create
    assert recreated[0].spec.containers[0].image == "one"


def test_on_delete_leaves_old_members_alone() -> None:
    of = stateful_set(update_strategy=StatefulSetUpdateStrategy(type="OnDelete"))
    assert stateful_step(of, *(member(n, "db-one") for n in range(3)), current=ONE).delete == []


def test_a_finished_update_makes_the_new_revision_current() -> None:
    decision = stateful_step(stateful_set(), *(member(n) for n in range(3)), current=ONE)
    assert decision.status.current_revision == decision.status.update_revision == "db-two"
    assert (decision.status.current_replicas, decision.status.updated_replicas) == (3, 3)


def test_a_failed_member_is_made_again() -> None:
    decision = stateful_step(stateful_set(), member(0, phase="Failed", ready=False))
    assert names(decision.delete) == names(decision.recreated) == ["db-0"]


def test_members_have_names_labels_and_claims_of_their_own() -> None:
    template = PersistentVolumeClaim(metadata=ObjectMeta(name="data"))
    of = stateful_set(volume_claim_templates=(template,))
    pod = made(of, builders.template(app="db"), "db-two", 4)
    assert (pod.metadata.name, pod.spec.hostname, pod.spec.subdomain) == ("db-4", "db-4", "db")
    assert pod.metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-4"
    assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "4"
    (volume,) = pod.spec.volumes
    assert volume.persistent_volume_claim is not None
    assert volume.persistent_volume_claim.claim_name == "data-db-4"
    assert [claim.metadata.name for claim in claims_of(of, 4)] == ["data-db-4"]


def test_revisions_over_the_limit_go_oldest_first() -> None:
    revisions = [ControllerRevision(metadata=ObjectMeta(name=f"r{n}"), revision=n) for n in range(5)]
    assert [r.metadata.name for r in history.surplus(revisions, {"r1"}, 2)] == ["r0", "r2"]
