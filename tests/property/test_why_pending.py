"""Every remedy offered makes the pod fit in a new cluster of the changed objects, and is no larger than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.scheduler.explaining.clusters import after, model, on, placed_by
from tests.unit.scheduler.objects import container, node, pod
from tiphys.api.types.core_v1 import (
    Affinity,
    ContainerPort,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    Taint,
    Toleration,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.explaining.explain import explain
from tiphys.scheduler.explaining.explanation import MAXIMUM_BYTES, Change, Remedy, Verdict, encode

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
APP = LabelSelector(match_labels={"app": "x"})
TAINTS = (
    Taint(key="dedicated", value="gpu", effect="NoSchedule"),
    Taint(key="team", effect="NoExecute"),
    Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule"),
    Taint(key="soft", effect="PreferNoSchedule"),
)


def some(elements: Any, most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(elements), max_size=most, unique_by=str).map(tuple)


@st.composite
def nodes(draw: st.DrawFn, name: str) -> Node:
    cordoned = draw(st.sampled_from((False, False, True)))
    taints = draw(some(TAINTS))
    if cordoned:
        taints = (*taints, Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"))
    made = node(
        name,
        cpu=draw(st.sampled_from(("1", "2", "4"))),
        memory=draw(st.sampled_from(("1Gi", "4Gi"))),
        pods=draw(st.sampled_from(("1", "110", "110"))),
        zone=draw(st.sampled_from(("", "a", "b", "c"))),
        unschedulable=cordoned or None,
        taints=taints,
    )
    more = draw(st.sampled_from(({}, {"disk": "ssd"}, {"disk": "hdd", "rack": "1"})))
    return replace(made, metadata=replace(made.metadata, labels={**made.metadata.labels, **more}))


AFFINITIES = (
    None,
    None,
    Affinity(pod_anti_affinity=PodAntiAffinity(
        required_during_scheduling_ignored_during_execution=(PodAffinityTerm(topology_key=ZONE, label_selector=APP),)
    )),
    Affinity(pod_affinity=PodAffinity(
        required_during_scheduling_ignored_during_execution=(PodAffinityTerm(topology_key=HOST, label_selector=APP),)
    )),
    Affinity(node_affinity=NodeAffinity(
        required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=(
            NodeSelectorTerm(match_expressions=(
                NodeSelectorRequirement(key="disk", operator="In", values=("ssd",)),
                NodeSelectorRequirement(key="rack", operator="Exists"),
            )),
        ))
    )),
)  # fmt: skip
SPREADS = (
    (),
    (),
    (TopologySpreadConstraint(
        topology_key=ZONE, max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=APP, min_domains=3
    ),),
    (TopologySpreadConstraint(
        topology_key=HOST, max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=APP
    ),),
)  # fmt: skip
SELECTORS: tuple[dict[str, str], ...] = ({}, {}, {"disk": "ssd"}, {"disk": "ssd", "rack": "1"}, {ZONE: "a"})
TOLERATIONS = (Toleration(key="dedicated", operator="Equal", value="gpu"), Toleration(key="team", operator="Exists"))


@st.composite
def pods(draw: st.DrawFn, name: str, *, hungry: bool = False) -> Pod:
    amounts = ("", "500m", "1500m", "3") if not hungry else ("1", "3", "6")
    ports = (ContainerPort(container_port=80, host_port=80),) if draw(st.sampled_from((0, 0, 1))) else ()
    memory = st.sampled_from(("", "512Mi", "3Gi"))
    first = container("a", cpu=draw(st.sampled_from(amounts)), memory=draw(memory), ports=ports)
    second = (container("b", cpu="750m", memory=draw(memory)),) if draw(st.booleans()) else ()
    init = (container("i", cpu=draw(st.sampled_from(("", "2")))),) if draw(st.booleans()) else ()
    return pod(
        name,
        containers=(first, *second),
        init_containers=init,
        labels=draw(st.sampled_from(({}, {"app": "x"}))),
        priority=draw(st.sampled_from((0, 0, 5))),
        affinity=draw(st.sampled_from(AFFINITIES)),
        tolerations=draw(some(TOLERATIONS)),
        node_selector=draw(st.sampled_from(SELECTORS)) if hungry else {},
        topology_spread_constraints=draw(st.sampled_from(SPREADS)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Pod, list[Any]]:
    machines = [draw(nodes(f"n{index}")) for index in range(draw(st.integers(1, 5)))]
    names = st.sampled_from([machine.metadata.name or "" for machine in machines])
    placed = [on(draw(names), draw(pods(f"p{index}"))) for index in range(draw(st.integers(0, 7)))]
    return draw(pods("waiting", hungry=True)), [*machines, *placed]


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_what_is_offered_works(world: tuple[Pod, list[Any]]) -> None:
    waiting, objects = world
    there = model(objects)
    before = there.cluster.nodes.requested.copy(), there.cluster.nodes.count
    explanation = explain(waiting, there)
    assert len(encode(explanation)) <= MAXIMUM_BYTES
    assert np.array_equal(there.cluster.nodes.requested[: len(before[0])], before[0])
    assert there.cluster.nodes.count == before[1]
    now = there.judge(waiting)
    assert (explanation.verdict is Verdict.SCHEDULABLE) == bool(len(now.rows))
    # All nodes that reject it are in exactly one group, and each group's reasons are true of an example.
    if explanation.verdict is Verdict.UNSCHEDULABLE:
        assert sum(group.nodes for group in explanation.groups) == explanation.nodes - explanation.fits
    for remedy in explanation.remedies:
        where = placed_by(waiting, objects, remedy)
        assert where, remedy.text
        changed, new = after(waiting, objects, remedy)
        names = {new.cluster.nodes.names[row] for row in new.judge(changed).rows}
        assert remedy.nodes == len(names) and {where, *remedy.examples} <= names, remedy.text
        assert not any(placed_by(waiting, objects, part) for part in parts(remedy)), remedy.text
        assert not any(placed_by(waiting, objects, smaller) for smaller in smaller_ones(remedy)), remedy.text


def parts(remedy: Remedy) -> list[Remedy]:
    """The remedy without one of its changes."""
    if len(remedy.changes) < 2:
        return []
    return [
        replace(remedy, changes=(*remedy.changes[:index], *remedy.changes[index + 1 :]))
        for index in range(len(remedy.changes))
    ]


def smaller_ones(remedy: Remedy) -> list[Remedy]:
    """The same with a little less of one of its amounts."""
    if remedy.kind == "RaiseMaxSkew":
        (operation,) = remedy.changes[0].patch
        return [with_value(remedy, 0, operation["value"] - 1)]
    if remedy.kind == "LowerRequest" and len(remedy.changes[0].patch) == 1:
        operation = remedy.changes[0].patch[0]
        amount = operation.get("value")
        if amount and operation["path"].endswith("cpu"):
            return [with_value(remedy, 0, f"{_milli(amount) + 1}m")]
    return []


def with_value(remedy: Remedy, index: int, value: Any) -> Remedy:
    change: Change = remedy.changes[0]
    operations = list(change.patch)
    operations[index] = {**operations[index], "value": value}
    return replace(remedy, changes=(replace(change, patch=tuple(operations)),))


def _milli(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)
