"""Simulations of whatever cluster: nothing gets lost, nothing overflows, and what is not touched stays."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.objects import node, pod
from tests.unit.scheduler.simulation.workloads import owned, workload
from tiphys.api.types.core_v1 import Node, Pod, Taint
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import (
    Add,
    AddNodes,
    Change,
    Cordon,
    Delete,
    Drain,
    Outcome,
    RemoveNode,
    RescheduleAll,
    Scale,
    encode,
    what_if,
)

NODES = ("a", "b", "c", "d")
CPUS = ("250m", "1", "2500m")


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    return [
        node(
            name,
            cpu=draw(st.sampled_from(("2", "4"))),
            pods=str(draw(st.integers(2, 6))),
            zone=draw(st.sampled_from(("", "y", "z"))),
            taints=draw(st.sampled_from(((), (), (Taint(key="t", effect="NoSchedule"),)))),
        )
        for name in NODES
    ]


@st.composite
def clusters(draw: st.DrawFn) -> list[Any]:
    """Four nodes, a ReplicaSet and pods: owned, bare and a DaemonSet's; on nodes (never too many) and waiting."""
    made = draw(nodes())
    left = {n.metadata.name: [n.status.allocatable["cpu"].milli, n.status.allocatable["pods"].value] for n in made}
    pods: list[Pod] = []
    for number in range(draw(st.integers(0, 14))):
        cpu = draw(st.sampled_from(CPUS))
        fields: dict[str, Any] = {"cpu": cpu, "priority": draw(st.sampled_from((0, 0, 5)))}
        where = draw(st.sampled_from(("", *NODES)))
        milli = {"250m": 250, "1": 1000, "2500m": 2500}[cpu]
        if where and left[where][0] >= milli and left[where][1]:
            left[where][0] -= milli
            left[where][1] -= 1
            fields["node_name"] = where
        kind = draw(st.sampled_from(("", "ReplicaSet", "DaemonSet")))
        pods.append(owned(f"p{number}", kind, "web", **fields) if kind else pod(f"p{number}", **fields))
    return [*made, workload("ReplicaSet", "web", len(pods)), *pods]


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from(NODES).map(Drain),
    st.sampled_from(NODES).map(Cordon),
    st.builds(AddNodes, st.integers(1, 3), st.sampled_from(NODES)),
    st.builds(lambda count: Add((workload("Deployment", "shop", 2),), count), st.integers(1, 3)),
    st.integers(0, 20).map(lambda count: Scale("rs", "web", count)),
    st.just(RescheduleAll()),
)
"""Without those that take away what a later change may name."""
LAST: st.SearchStrategy[Change] = st.sampled_from((RemoveNode("a"), Delete("rs", "web")))


def after(objects: list[Any], outcome: Outcome) -> dict[str, str]:
    """Each pod's node after; "" for none."""
    where = {f"default/{o.metadata.name}": o.spec.node_name or "" for o in objects if isinstance(o, Pod)}
    for gone in outcome.gone:
        where.pop(gone.pod, None)
    for victim in outcome.preempted:
        where.pop(victim.pod, None)
    where |= {placed.pod: placed.node for placed in outcome.placements}
    return where | {pending.pod: "" for pending in outcome.pending}


@settings(max_examples=60, deadline=None)
@given(clusters())
def test_no_change_reproduces_the_cluster(objects: list[Any]) -> None:
    snapshot = Snapshot([o for o in objects if not isinstance(o, Pod) or o.spec.node_name])
    outcome = what_if(snapshot)
    assert not (outcome.placements or outcome.pending or outcome.preempted or outcome.gone)
    assert outcome.before == outcome.after
    assert all(used.before == used.after for used in outcome.nodes)


@settings(max_examples=80, deadline=None)
@given(clusters(), st.lists(CHANGES, max_size=4), st.lists(LAST, max_size=1), st.integers(0, 3), st.booleans())
def test_every_pod_is_accounted_for_and_no_node_has_too_many(
    objects: list[Any], changes: list[Change], last: list[Change], seed: int, one_by_one: bool
) -> None:
    snapshot = Snapshot(objects)
    outcome = what_if(snapshot, [*changes, *last], seed=seed, one_by_one=one_by_one)
    where = after(objects, outcome)
    assert outcome.after.placed == sum(bool(name) for name in where.values())
    assert outcome.after.pending == sum(not name for name in where.values())
    on = Counter(name for name in where.values() if name)
    for used in outcome.nodes:
        if used.after is None:
            assert not on[used.name]
            continue
        assert used.after.pods == on[used.name]
        assert used.after.pods <= used.allocatable.pods
        assert used.after.cpu_millis <= used.allocatable.cpu_millis
        if used.change == "drained":
            stayed = {pod.pod for pod in outcome.stayed if pod.node == used.name}
            assert {pod for pod, name in where.items() if name == used.name} <= stayed | _daemons(objects)
    # A seed is all there is to it, and the snapshot is as it was.
    assert encode(what_if(snapshot, [*changes, *last], seed=seed, one_by_one=one_by_one)) == encode(outcome)


def _daemons(objects: list[Any]) -> set[str]:
    return {
        f"default/{o.metadata.name}"
        for o in objects
        if isinstance(o, Pod) and any(owner.kind == "DaemonSet" for owner in o.metadata.owner_references)
    }
