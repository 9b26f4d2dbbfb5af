"""Random nodes and pods, dense in what schedulers get wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tests.property.scheduling.world import HOST, ZONE
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Affinity,
    AWSElasticBlockStoreVolumeSource,
    Container,
    ContainerImage,
    ContainerPort,
    ContainerStatus,
    GCEPersistentDiskVolumeSource,
    ISCSIVolumeSource,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodCondition,
    PodSpec,
    PodStatus,
    PreferredSchedulingTerm,
    RBDVolumeSource,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
    Volume,
    WeightedPodAffinityTerm,
)
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta

T = TypeVar("T")
KEYS = (ZONE, HOST, "rack")
RED = LabelSelector(match_labels={"team": "red"})
SELECTORS = (
    None,
    LabelSelector(),
    LabelSelector(match_labels={"app": "x"}),
    LabelSelector(match_labels={"app": "x"}),
    LabelSelector(match_labels={"app": "y"}),
    LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="NotIn", values=("x",)),)),
    LabelSelector(match_labels={"app": "x"}, match_expressions=(LabelSelectorRequirement(key="v", operator="Exists"),)),
)
NODE_REQUIREMENTS = (
    NodeSelectorRequirement(key=ZONE, operator="In", values=("z1", "z2")),
    NodeSelectorRequirement(key=ZONE, operator="NotIn", values=("z1",)),
    NodeSelectorRequirement(key="rack", operator="Exists"),
    NodeSelectorRequirement(key="rack", operator="DoesNotExist"),
    NodeSelectorRequirement(key="rack", operator="Gt", values=("1",)),
    NodeSelectorRequirement(key="rack", operator="Lt", values=("2",)),
)
BY_NAME = NodeSelectorTerm(
    match_fields=(NodeSelectorRequirement(key="metadata.name", operator="In", values=("n0", "n2")),)
)
TOLERATIONS = (
    Toleration(operator="Exists"),
    Toleration(key="a", operator="Equal", value="x"),
    Toleration(key="a", operator="Exists", effect="NoSchedule"),
    Toleration(key="b", value=""),
    Toleration(key="b", operator="Gt", value="5"),
    Toleration(key="b", operator="Lt", value="10", effect="NoSchedule"),
)
IMAGES = (
    ContainerImage(names=("small:1", "registry/small:1"), size_bytes=40 << 20),
    ContainerImage(names=("registry/big:latest",), size_bytes=900 << 20),
    ContainerImage(names=("huge@sha256:00",), size_bytes=3000 << 20),
)
NAMES = ("small:1", "registry/big", "huge@sha256:00", "absent")
KEYED = ((), (), (), ("v",), ("v", "none"))


class Maker:
    """Random objects, dense in what schedulers get wrong."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def some(self, make: Callable[[], T], *weights: int) -> tuple[T, ...]:
        """As many as drawn: ``some(make, 3, 1)`` is none three times out of four, else one."""
        return tuple(make() for _ in range(self.rng.choices(range(len(weights)), weights)[0]))

    def node(self, name: str) -> Node:
        rng = self.rng
        # A label is but a label: machines cloned with theirs share one, and some have none.
        labels = {HOST: rng.choice([name] * 12 + ["clone"])} if rng.random() < 0.95 else {}
        if rng.random() < 0.85:
            labels[ZONE] = rng.choice(["z1", "z2", "z3"])
        if rng.random() < 0.6:
            labels["rack"] = rng.choice(["1", "2", "x", "1_0", "03"])
        allocatable = {
            "cpu": Quantity(rng.choice(["2", "8"])),
            "memory": Quantity(rng.choice(["3Gi", "32Gi"])),
            "pods": Quantity(rng.choice(["4", "50"])),
        }
        if rng.random() < 0.3:
            allocatable["example.com/gpu"] = Quantity("2")
        taints = self.some(self.taint, 12, 2, 1)
        spec = NodeSpec(taints=taints, unschedulable=True if rng.random() < 0.1 else None)
        images = tuple(image for image in IMAGES if rng.random() < 0.4)
        status = NodeStatus(allocatable=allocatable, images=images)
        return Node(metadata=ObjectMeta(name=name, labels=labels), spec=spec, status=status)

    def taint(self) -> Taint:
        effect = self.rng.choice(["NoSchedule", "PreferNoSchedule", "PreferNoSchedule", "NoExecute"])
        return Taint(key=self.rng.choice("ab"), value=self.rng.choice([None, "x", "7", "1_0", "20"]), effect=effect)

    def pod(self, name: str) -> Pod:
        rng = self.rng
        labels = {"app": rng.choice("xy")} if rng.random() < 0.9 else {}
        if rng.random() < 0.6:
            labels["v"] = rng.choice("12")
        spec = PodSpec(
            containers=(self.container("c0"), *self.some(lambda: self.container("c1"), 4, 1)),
            init_containers=self.some(self.init_container, 5, 1, 1),
            overhead={"cpu": Quantity("50m"), "memory": Quantity("64Mi")} if rng.random() < 0.1 else {},
            resources=ResourceRequirements(requests={"cpu": Quantity("700m")}) if rng.random() < 0.1 else None,
            volumes=self.some(self.disk, 6, 1, 1),
            node_selector={"rack": rng.choice("12")} if rng.random() < 0.1 else {},
            tolerations=self.some(lambda: rng.choice(TOLERATIONS), 2, 1, 1),
            affinity=self.affinity() if rng.random() < 0.5 else None,
            topology_spread_constraints=self.some(self.constraint, 2, 1, 1),
        )
        meta = ObjectMeta(name=name, namespace=rng.choice(["default", "other"]), labels=labels)
        return Pod(metadata=meta, spec=spec, status=self.status(spec) if rng.random() < 0.2 else PodStatus())

    def status(self, spec: PodSpec) -> PodStatus:
        """What the kubelet says of containers, some of which are being resized."""
        infeasible = PodCondition(type="PodResizePending", status="True", reason="Infeasible")
        return PodStatus(
            container_statuses=tuple(self.container_status(container) for container in spec.containers),
            init_container_statuses=tuple(self.container_status(container) for container in spec.init_containers),
            conditions=(infeasible,) if self.rng.random() < 0.4 else (),
        )

    def container_status(self, container: Container) -> ContainerStatus:
        rng = self.rng
        amounts = {
            "cpu": Quantity(rng.choice(["50m", "300m", "900m"])),
            "memory": Quantity(rng.choice(["50Mi", "2Gi"])),
        }
        held = ResourceRequirements(requests=amounts) if rng.random() < 0.7 else None
        less = {"cpu": Quantity("400m")} if rng.random() < 0.5 else {}
        return ContainerStatus(name=container.name, resources=held, allocated_resources=less)

    def disk(self) -> Volume:
        rng = self.rng
        name, reads = rng.choice("de"), rng.random() < 0.5
        sources = (
            {"gce_persistent_disk": GCEPersistentDiskVolumeSource(pd_name=name, read_only=reads)},
            {"aws_elastic_block_store": AWSElasticBlockStoreVolumeSource(volume_id=name, read_only=reads)},
            {"iscsi": ISCSIVolumeSource(iqn=name, read_only=reads)},
            {"rbd": RBDVolumeSource(image="i", pool=name, monitors=rng.choice([("a", "b"), ("c",)]), read_only=reads)},
        )
        return Volume(name="v", **rng.choice(sources))

    def init_container(self) -> Container:
        name = f"i{self.rng.randrange(1_000_000)}"
        return msgspec.structs.replace(self.container(name), restart_policy=self.rng.choice([None, "Always"]))

    def container(self, name: str) -> Container:
        rng = self.rng
        requests = {}
        if rng.random() < 0.6:
            requests["cpu"] = Quantity(rng.choice(["100m", "500m", "1"]))
        if rng.random() < 0.6:
            requests["memory"] = Quantity(rng.choice(["100Mi", "500Mi", "1Gi"]))
        if rng.random() < 0.1:
            requests["example.com/gpu"] = Quantity("1")
        asked = ResourceRequirements(requests=requests)
        return Container(name=name, image=rng.choice(NAMES), resources=asked, ports=self.some(self.port, 8, 1))

    def port(self) -> ContainerPort:
        address = self.rng.choice([None, "10.0.0.1", "10.0.0.2"])
        return ContainerPort(container_port=80, host_port=self.rng.choice([8080, 8081]), host_ip=address)

    def constraint(self) -> TopologySpreadConstraint:
        rng = self.rng
        return TopologySpreadConstraint(
            topology_key=rng.choice(KEYS),
            max_skew=rng.choice([1, 1, 2]),
            when_unsatisfiable=rng.choice(["DoNotSchedule", "ScheduleAnyway"]),
            label_selector=rng.choice(SELECTORS),
            match_label_keys=rng.choice(KEYED),
            min_domains=rng.choice([None, None, 3]),
            node_affinity_policy=rng.choice([None, "Ignore", "Honor"]),
            node_taints_policy=rng.choice([None, "Honor"]),
        )

    def affinity(self) -> Affinity:
        to_nodes = NodeAffinity(
            required_during_scheduling_ignored_during_execution=NodeSelector(
                node_selector_terms=self.some(self.node_term, 0, 2, 1)
            )
            if self.rng.random() < 0.3
            else None,
            preferred_during_scheduling_ignored_during_execution=self.some(self.preference, 1, 1, 1),
        )
        return Affinity(
            node_affinity=to_nodes,
            pod_affinity=PodAffinity(
                required_during_scheduling_ignored_during_execution=self.some(self.pod_term, 6, 2, 1),
                preferred_during_scheduling_ignored_during_execution=self.some(self.weighted, 2, 1, 1),
            ),
            pod_anti_affinity=PodAntiAffinity(
                required_during_scheduling_ignored_during_execution=self.some(self.pod_term, 6, 2),
                preferred_during_scheduling_ignored_during_execution=self.some(self.weighted, 2, 1, 1),
            ),
        )

    def node_term(self) -> NodeSelectorTerm:
        if self.rng.random() < 0.2:
            return BY_NAME
        return NodeSelectorTerm(match_expressions=self.some(lambda: self.rng.choice(NODE_REQUIREMENTS), 1, 6, 2))

    def preference(self) -> PreferredSchedulingTerm:
        return PreferredSchedulingTerm(weight=self.rng.randint(1, 9), preference=self.node_term())

    def pod_term(self) -> PodAffinityTerm:
        rng = self.rng
        selector = rng.choice(SELECTORS)
        same = rng.choice(KEYED) if selector is not None else ()
        return PodAffinityTerm(
            topology_key=rng.choice(KEYS),
            label_selector=selector,
            match_label_keys=same,
            mismatch_label_keys=rng.choice(KEYED) if selector is not None and not same else (),
            namespaces=rng.choice([(), (), ("other",)]),
            namespace_selector=rng.choice([None, None, LabelSelector(), RED]),
        )

    def weighted(self) -> WeightedPodAffinityTerm:
        return WeightedPodAffinityTerm(weight=self.rng.randint(1, 100), pod_affinity_term=self.pod_term())
