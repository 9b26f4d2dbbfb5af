"""The nodes and pods that the scheduler is measured with; upstream's scheduler_perf has the same kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    ResourceRequirements,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta

ZONES: Final = 3
TEMPLATES: Final = 1_000
"""How many kinds of pods the mixed workload has."""
MakePod = Callable[[int], Pod]
_SELECTOR: Final = LabelSelector(match_labels={"app": "bench"})
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def node(index: int) -> Node:
    """32 cores, 256 GiB, 110 pods, in one of three zones."""
    name = f"node-{index}"
    room = {"cpu": Quantity("32"), "memory": Quantity("256Gi"), "pods": Quantity("110")}
    return Node(
        metadata=ObjectMeta(name=name, labels={_HOST: name, _ZONE: f"zone-{index % ZONES}"}),
        status=NodeStatus(capacity=room, allocatable=room),
    )


def basic(index: int) -> Pod:
    """A pod that requests 100m and 256Mi."""
    return _pod(index, PodSpec(containers=(_container(),)))


def prioritized(index: int, *, cpu: str, priority: int) -> Pod:
    """A pod of a priority; its age differs from its neighbours'."""
    made = _pod(index, PodSpec(containers=(_container(cpu=cpu),), priority=priority))
    made.metadata.name = f"pod-{priority}-{index}"
    made.metadata.creation_timestamp = f"2026-01-01T00:00:{index % 60:02}Z"
    return made


def mixed(index: int) -> Pod:
    """The same with one of a thousand sets of labels and requests, in turn."""
    kind = index % TEMPLATES
    spec = PodSpec(containers=(_container(cpu=f"{50 + kind % 100}m"),))
    return _pod(index, spec, app=f"app-{kind}")


def fresh(index: int) -> Pod:
    """The same with labels that no other pod has: nothing is known for it."""
    return _pod(index, PodSpec(containers=(_container(),)), app=f"fresh-{index}")


def spread(index: int) -> Pod:
    """Must be spread over the zones."""
    constraint = TopologySpreadConstraint(
        topology_key=_ZONE, max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=_SELECTOR
    )
    return _pod(index, PodSpec(containers=(_container(),), topology_spread_constraints=(constraint,)))


def apart(index: int) -> Pod:
    """One a node: required anti-affinity to its like."""
    term = PodAffinityTerm(topology_key=_HOST, label_selector=_SELECTOR)
    anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(term,))
    return _pod(index, PodSpec(containers=(_container(),), affinity=Affinity(pod_anti_affinity=anti)))


def attracted(index: int) -> Pod:
    """Wants to be on the node of its like: every placement changes a score."""
    return _pod(index, PodSpec(containers=(_container(),), affinity=_preferred(_HOST)))


def attracted_mixed(index: int) -> Pod:
    """The same from a hundred sets of labels in turn: every placement changes a score of all hundred."""
    spec = PodSpec(containers=(_container(),), affinity=_preferred(_ZONE))
    return _pod(index, spec, kind=f"kind-{index % 100}")


def apart_mixed(index: int) -> Pod:
    """Of a thousand kinds in turn, each of which prefers not to share a node with its like: what charts do."""
    app = f"app-{index % TEMPLATES}"
    term = PodAffinityTerm(topology_key=_HOST, label_selector=LabelSelector(match_labels={"app": app}))
    wish = WeightedPodAffinityTerm(weight=100, pod_affinity_term=term)
    anti = PodAntiAffinity(preferred_during_scheduling_ignored_during_execution=(wish,))
    return _pod(index, PodSpec(containers=(_container(),), affinity=Affinity(pod_anti_affinity=anti)), app=app)


def evenly_mixed(index: int) -> Pod:
    """Of a thousand kinds in turn, spread over hosts and zones if possible: what every Deployment's pods are."""
    app = f"app-{index % TEMPLATES}"
    selector = LabelSelector(match_labels={"app": app})
    constraints = tuple(
        TopologySpreadConstraint(
            topology_key=key, max_skew=skew, when_unsatisfiable="ScheduleAnyway", label_selector=selector
        )
        for key, skew in ((_HOST, 3), (_ZONE, 5))
    )
    return _pod(index, PodSpec(containers=(_container(),), topology_spread_constraints=constraints), app=app)


def pinned(index: int) -> Pod:
    """For one node only, as a DaemonSet's are."""
    name = NodeSelectorRequirement(key="metadata.name", operator="In", values=(f"node-{index}",))
    selector = NodeSelector(node_selector_terms=(NodeSelectorTerm(match_fields=(name,)),))
    affinity = Affinity(node_affinity=NodeAffinity(required_during_scheduling_ignored_during_execution=selector))
    return _pod(index, PodSpec(containers=(_container(),), affinity=affinity))


def _preferred(topology_key: str) -> Affinity:
    term = PodAffinityTerm(topology_key=topology_key, label_selector=_SELECTOR)
    wish = WeightedPodAffinityTerm(weight=1, pod_affinity_term=term)
    return Affinity(pod_affinity=PodAffinity(preferred_during_scheduling_ignored_during_execution=(wish,)))


def _container(cpu: str = "100m") -> Container:
    requests = {"cpu": Quantity(cpu), "memory": Quantity("256Mi")}
    return Container(name="c", image="bench", resources=ResourceRequirements(requests=requests))


def _pod(index: int, spec: PodSpec, **labels: str) -> Pod:
    meta = ObjectMeta(name=f"pod-{index}", namespace="default", labels={"app": "bench", **labels})
    return Pod(metadata=meta, spec=spec)
