"""Volumes in columns against the rules stated one node at a time, over random clusters that change."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.property.scheduling import volumes as reference
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Container,
    CSIPersistentVolumeSource,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeStatus,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimStatus,
    PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec,
    PersistentVolumeStatus,
    Pod,
    PodSpec,
    TopologySelectorLabelRequirement,
    TopologySelectorTerm,
    Volume,
    VolumeNodeAffinity,
    VolumeResourceRequirements,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.api.types.storage_v1 import (
    CSIDriver,
    CSIDriverSpec,
    CSINode,
    CSINodeDriver,
    CSINodeSpec,
    CSIStorageCapacity,
    StorageClass,
    VolumeAttachment,
    VolumeAttachmentSource,
    VolumeAttachmentSpec,
    VolumeNodeResources,
)
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates
from tiphys.scheduler.volumes import Plan

PROFILE = default_profile()
NAMESPACE = "default"
HOST = "kubernetes.io/hostname"
SIZES = ("1Gi", "2Gi", "3Gi", "5Gi")
ZONES = (reference.ZONE, reference.ZONE, reference.FORMER_ZONE)
DRIVERS = ("d1.csi", "d2.csi")
CLASSES = ("static", "now", "late", "measured", "near")


class Maker:
    """Random objects of a few names, so that they meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def node(self, name: str) -> Node:
        labels = {HOST: name}
        if self.rng.random() < 0.85:
            labels[self.rng.choice(ZONES)] = self.rng.choice(["z1", "z2"])
        room = {"cpu": Quantity("64"), "memory": Quantity("64Gi"), "pods": Quantity("100")}
        return Node(metadata=ObjectMeta(name=name, labels=labels), status=NodeStatus(allocatable=room))

    def storage_class(self, name: str) -> StorageClass:
        provisioner = {"static": "kubernetes.io/no-provisioner", "measured": "d1.csi"}.get(name, "d2.csi")
        terms: tuple[TopologySelectorTerm, ...] = ()
        if name == "near":
            expression = TopologySelectorLabelRequirement(key=reference.ZONE, values=("z1",))
            terms = (TopologySelectorTerm(match_label_expressions=(expression,)),)
        return StorageClass(
            metadata=ObjectMeta(name=name),
            provisioner=provisioner,
            volume_binding_mode="Immediate" if name == "now" else "WaitForFirstConsumer",
            allowed_topologies=terms,
        )

    def volume(self, name: str) -> PersistentVolume:
        rng = self.rng
        key, values = rng.choice(
            [(HOST, ("n0", "n1")), (HOST, (f"n{rng.randrange(5)}",)), (reference.ZONE, ("z1",)), ("", ())]
        )
        affinity = None
        if key:
            operator = rng.choice(["In", "In", "NotIn"])
            term = NodeSelectorTerm(
                match_expressions=(NodeSelectorRequirement(key=key, operator=operator, values=values),)
            )
            affinity = VolumeNodeAffinity(required=NodeSelector(node_selector_terms=(term,)))
        kept = ObjectReference(name=f"c{rng.randrange(6)}", namespace=NAMESPACE) if rng.random() < 0.15 else None
        return PersistentVolume(
            metadata=ObjectMeta(
                name=name,
                labels={rng.choice(ZONES): rng.choice(["z1", "z1__z2", "z2"])} if rng.random() < 0.25 else {},
                deletion_timestamp="2026-01-01T00:00:00Z" if rng.random() < 0.05 else None,
            ),
            spec=PersistentVolumeSpec(
                capacity={"storage": Quantity(rng.choice(SIZES))},
                access_modes=rng.choice([("ReadWriteOnce",), ("ReadWriteOnce", "ReadOnlyMany"), ("ReadWriteOncePod",)]),
                storage_class_name=rng.choice(["static", "static", "late", "now"]),
                volume_mode=rng.choice(["Filesystem", "Filesystem", "Block"]),
                node_affinity=affinity,
                claim_ref=kept,
                csi=CSIPersistentVolumeSource(driver=rng.choice(DRIVERS), volume_handle=f"h{rng.randrange(6)}")
                if rng.random() < 0.4
                else None,
            ),
            status=PersistentVolumeStatus(phase=rng.choice(["Available", "Available", "Available", "Released"])),
        )

    def claim(self, name: str) -> PersistentVolumeClaim:
        rng = self.rng
        annotations, volume, phase = {}, None, "Pending"
        if rng.random() < 0.35:
            volume, phase = f"v{rng.randrange(8)}", "Bound"
            if rng.random() < 0.95:
                annotations["pv.kubernetes.io/bind-completed"] = "yes"
        elif rng.random() < 0.15:
            annotations[reference.SELECTED] = f"n{rng.randrange(5)}"
        return PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=name,
                namespace=NAMESPACE,
                uid=f"uid-{name}",
                annotations=annotations,
                deletion_timestamp="2026-01-01T00:00:00Z" if rng.random() < 0.03 else None,
            ),
            spec=PersistentVolumeClaimSpec(
                access_modes=(rng.choice(["ReadWriteOnce", "ReadWriteOnce", "ReadWriteOncePod"]),),
                resources=VolumeResourceRequirements(requests={"storage": Quantity(rng.choice(SIZES))}),
                storage_class_name=rng.choice([*CLASSES[:1] * 3, *CLASSES[2:] * 2, "now", "absent"]),
                volume_mode=rng.choice(["Filesystem", "Filesystem", "Filesystem", "Block"]),
                volume_name=volume,
            ),
            status=PersistentVolumeClaimStatus(phase="Lost" if volume and rng.random() < 0.05 else phase),
        )

    def csi_node(self, name: str) -> CSINode:
        drivers = tuple(
            CSINodeDriver(name=driver, allocatable=VolumeNodeResources(count=self.rng.choice([None, 1, 2])))
            for driver in DRIVERS
        )
        return CSINode(metadata=ObjectMeta(name=name), spec=CSINodeSpec(drivers=drivers))

    def capacity(self, name: str) -> CSIStorageCapacity:
        place = self.rng.choice([{}, {reference.ZONE: "z1"}, {HOST: "n2"}])
        return CSIStorageCapacity(
            metadata=ObjectMeta(name=name, namespace="driver"),
            node_topology=LabelSelector(match_labels=place),
            storage_class_name="measured",
            capacity=Quantity(self.rng.choice(SIZES)),
            maximum_volume_size=self.rng.choice([None, Quantity("2Gi")]),
        )

    def pod(self, name: str) -> Pod:
        names = self.rng.sample([f"c{n}" for n in range(6)], self.rng.choice([1, 1, 2, 3]))
        volumes = tuple(
            Volume(name=f"v{n}", persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))
            for n, claim in enumerate(names)
        )
        return Pod(
            metadata=ObjectMeta(name=name, namespace=NAMESPACE, uid=f"uid-{name}"),
            spec=PodSpec(containers=(Container(name="c"),), volumes=volumes),
        )


class Simulation:
    """Objects come, change and go; the columns are asked, the reference is asked, and a plan is made where one fits."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.maker = Maker(rng)
        self.world = reference.World()
        self.cluster = Cluster()
        self.templates = Templates()
        self.evaluations = Evaluations(self.cluster, PROFILE.filters, PROFILE.scores)
        self.answers: Counter[str] = Counter()
        for name in CLASSES:
            self.seen(self.world.classes, self.maker.storage_class(name))
        for name in DRIVERS:
            spec = CSIDriverSpec(storage_capacity=name == "d1.csi")
            self.seen(self.world.csi_drivers, CSIDriver(metadata=ObjectMeta(name=name), spec=spec))

    def seen(self, kept: dict[str, Any], obj: Any) -> None:
        kept[obj.metadata.name] = obj
        self.cluster.volumes.observe(obj)

    def run(self, steps: int) -> None:
        for n in range(5):
            self.node(f"n{n}")
        for n in range(8):
            self.seen(self.world.volumes, self.maker.volume(f"v{n}"))
        for n in range(6):
            self.seen(self.world.claims, self.maker.claim(f"c{n}"))
        for n in range(steps):
            self.change()
            pod = self.maker.pod(f"p{n}")
            self.compare(pod)

    def node(self, name: str) -> None:
        node = self.maker.node(name)
        if name in self.world.nodes:
            self.cluster.update_node(node)
        else:
            self.cluster.add_node(node)
        self.world.nodes[name] = node

    def change(self) -> None:
        rng, world = self.rng, self.world
        what = rng.choice(["node", "volume", "volume", "claim", "claim", "csi", "attach", "room", "gone", "unplace"])
        if what == "node":
            self.node(f"n{rng.randrange(5)}")
        elif what == "volume":
            self.seen(world.volumes, self.maker.volume(f"v{rng.randrange(8)}"))
        elif what == "claim":
            self.seen(world.claims, self.maker.claim(f"c{rng.randrange(6)}"))
        elif what == "csi":
            self.seen(world.csi_nodes, self.maker.csi_node(f"n{rng.randrange(5)}"))
        elif what == "attach":
            source = VolumeAttachmentSource(persistent_volume_name=f"v{rng.randrange(8)}")
            spec = VolumeAttachmentSpec(attacher="d1.csi", node_name=f"n{rng.randrange(5)}", source=source)
            meta = ObjectMeta(name=f"a{rng.randrange(4)}")
            self.seen(world.attachments, VolumeAttachment(metadata=meta, spec=spec))
        elif what == "room":
            name = f"r{rng.randrange(3)}"
            room = self.maker.capacity(name)
            world.capacities[:] = [c for c in world.capacities if c.metadata.name != name] + [room]
            self.cluster.volumes.observe(room)
        elif what == "gone":
            kept: dict[str, Any] = rng.choice([world.volumes, world.claims, world.attachments])
            if kept:
                self.cluster.volumes.observe(kept.pop(rng.choice(sorted(kept))), gone=True)
        elif world.pods:
            pod, _ = world.pods.pop(rng.randrange(len(world.pods)))
            self.cluster.remove(self.placed.pop(pod.metadata.name or ""))

    placed: dict[str, PodInfo]

    def compare(self, pod: Pod) -> None:
        world, names = self.world, self.cluster.nodes.names
        info = PodInfo(pod, self.templates.of(pod))
        evaluation = self.evaluations.of(info.template)
        diagnosis = evaluation.diagnose()
        feasible = {names[row] for row in evaluation.feasible().nonzero()[0]}
        if reason := reference.pod_reason(pod, world):
            self.answers[reason.split('"')[0] + reason.split('"')[-1]] += 1
            assert not feasible
            assert (diagnosis.pod_reason, diagnosis.reasons) == (reason, Counter())
            return
        why = {name: reference.rejected(pod, node, world) for name, node in world.nodes.items()}
        assert feasible == {name for name, said in why.items() if not said}
        assert diagnosis.reasons == Counter(words for said in why.values() for words in said)
        self.answers.update(diagnosis.reasons.keys() or ["fits everywhere"])
        for name in feasible:
            node = world.nodes[name]
            self.check_plan(pod, node, self.cluster.volumes.plan(NAMESPACE, info.template.claims, node))
        if feasible and self.rng.random() < 0.5:
            where = self.rng.choice(sorted(feasible))
            self.cluster.place(info, where)
            self.placed[pod.metadata.name or ""] = info
            world.pods.append((pod, where))

    def check_plan(self, pod: Pod, node: Node, plan: Plan) -> None:
        world = self.world
        unbound = {n for n in reference.claims_of(pod) if not reference.is_bound(world.claims[n])}
        assert {claim for _, claim in plan.claims} == unbound
        volumes = [world.volumes[volume] for _, volume in plan.bind]
        assert len({v.metadata.name for v in volumes}) == len(volumes)
        for ((_, name), _), volume in zip(plan.bind, volumes, strict=True):
            assert reference.could_be(volume, world.claims[name]) and reference.reach(volume, node)
        for _, name in plan.provision:
            assert not reference.provision(world.claims[name], node, world)


def played(seed: int, steps: int) -> Counter[str]:
    simulation = Simulation(random.Random(seed))
    simulation.placed = {}
    simulation.run(steps)
    return simulation.answers


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 25))
def test_volumes_in_columns_are_the_rules(seed: int, steps: int) -> None:
    played(seed, steps)


def test_every_rule_speaks() -> None:
    answers: Counter[str] = Counter()
    for seed in range(60):
        answers += played(seed, 25)
    assert len(answers) == 12, answers
    assert min(answers.values()) > 5, answers


def test_reservations_are_exclusive_and_come_back() -> None:
    maker = Maker(random.Random(0))
    cluster = Cluster()
    node = maker.node("n0")
    cluster.add_node(node)
    cluster.volumes.observe(maker.storage_class("static"))
    base = maker.volume("v0")
    spec = replace(base.spec, node_affinity=None, claim_ref=None, storage_class_name="static", volume_mode=None)
    spec = replace(spec, access_modes=("ReadWriteOnce",), capacity={"storage": Quantity("5Gi")})
    free = replace(base, spec=spec, status=PersistentVolumeStatus(phase="Available"))
    cluster.volumes.observe(replace(free, metadata=ObjectMeta(name="v0")))
    for name in ("c0", "c1"):
        made = maker.claim(name)
        wanted = replace(made.spec, storage_class_name="static", volume_name=None, volume_mode=None)
        wanted = replace(wanted, access_modes=("ReadWriteOnce",))
        status = PersistentVolumeClaimStatus(phase="Pending")
        meta = ObjectMeta(name=name, namespace=NAMESPACE, uid=f"uid-{name}")
        cluster.volumes.observe(PersistentVolumeClaim(metadata=meta, spec=wanted, status=status))
    templates, evaluations = Templates(), Evaluations(cluster, PROFILE.filters, PROFILE.scores)

    def info(name: str, claim: str) -> PodInfo:
        source = PersistentVolumeClaimVolumeSource(claim_name=claim)
        pod = maker.pod(name)
        pod = replace(pod, spec=replace(pod.spec, volumes=(Volume(name="v", persistent_volume_claim=source),)))
        return PodInfo(pod, templates.of(pod))

    first, second, sharer = info("a", "c0"), info("b", "c1"), info("c", "c0")
    assert evaluations.of(first.template).feasible().any() and evaluations.of(second.template).feasible().any()
    plan = cluster.volumes.plan(NAMESPACE, first.template.claims, node)
    assert plan.bind == (((NAMESPACE, "c0"), "v0"),)
    cluster.volumes.reserve(first.key, plan)
    assert not evaluations.of(second.template).feasible().any()
    # A pod that shares the claim shares the promise.
    assert evaluations.of(sharer.template).feasible().any()
    same = cluster.volumes.plan(NAMESPACE, sharer.template.claims, node)
    cluster.volumes.reserve(sharer.key, same)
    cluster.volumes.release(first.key, plan)
    assert not evaluations.of(second.template).feasible().any()
    cluster.volumes.release(sharer.key, same)
    assert evaluations.of(second.template).feasible().any()
