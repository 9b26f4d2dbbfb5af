"""What the scheduler's volume plugins are to say, one node and one claim at a time: slow, and easy to check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.api.types.core_v1 import Node, NodeSelectorRequirement, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment

SELECTED = "volume.kubernetes.io/selected-node"
ZONE = "topology.kubernetes.io/zone"
FORMER_ZONE = "failure-domain.beta.kubernetes.io/zone"


@dataclass
class World:
    """Everything by name; `pods` with their node's name, all in one namespace."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: list[tuple[Pod, str]] = field(default_factory=list)
    claims: dict[str, PersistentVolumeClaim] = field(default_factory=dict)
    volumes: dict[str, PersistentVolume] = field(default_factory=dict)
    classes: dict[str, StorageClass] = field(default_factory=dict)
    csi_nodes: dict[str, CSINode] = field(default_factory=dict)
    csi_drivers: dict[str, CSIDriver] = field(default_factory=dict)
    attachments: dict[str, VolumeAttachment] = field(default_factory=dict)
    capacities: list[CSIStorageCapacity] = field(default_factory=list)


def claims_of(pod: Pod) -> list[str]:
    return [v.persistent_volume_claim.claim_name for v in pod.spec.volumes if v.persistent_volume_claim is not None]


def size(claim: PersistentVolumeClaim) -> int:
    return claim.spec.resources.requests["storage"].value


def is_bound(claim: PersistentVolumeClaim) -> bool:
    return bool(claim.spec.volume_name) and "pv.kubernetes.io/bind-completed" in claim.metadata.annotations


def is_delayed(claim: PersistentVolumeClaim, world: World) -> bool:
    found = world.classes.get(claim.spec.storage_class_name or "")
    return found is not None and found.volume_binding_mode == "WaitForFirstConsumer" and not claim.spec.volume_name


def pod_reason(pod: Pod, world: World) -> str:
    for name in claims_of(pod):
        claim = world.claims.get(name)
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if claim.status.phase == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
        if claim.metadata.deletion_timestamp is not None:
            return f'persistentvolumeclaim "{name}" is being deleted'
    unbound = [c for name in claims_of(pod) if not is_bound(c := world.claims[name])]
    if any(not is_delayed(claim, world) for claim in unbound):
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def expression(e: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    return labels.get(e.key) in e.values if e.operator == "In" else labels.get(e.key) not in e.values


def reach(volume: PersistentVolume, node: Node) -> bool:
    if volume.spec.node_affinity is None or volume.spec.node_affinity.required is None:
        return True
    return any(
        term.match_expressions and all(expression(e, node.metadata.labels) for e in term.match_expressions)
        for term in volume.spec.node_affinity.required.node_selector_terms
    )


def could_be(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    reference = volume.spec.claim_ref
    if volume.spec.storage_class_name != claim.spec.storage_class_name:
        return False
    if reference is not None:
        return reference.name == claim.metadata.name and reference.uid in (None, claim.metadata.uid)
    return (
        volume.status.phase == "Available"
        and volume.metadata.deletion_timestamp is None
        and volume.spec.capacity["storage"].value >= size(claim)
        and set(claim.spec.access_modes) <= set(volume.spec.access_modes)
        and (volume.spec.volume_mode or "Filesystem") == (claim.spec.volume_mode or "Filesystem")
    )


def match(
    claim: PersistentVolumeClaim, node: Node, world: World, taken: Sequence[PersistentVolume]
) -> PersistentVolume | None:
    found = [v for v in world.volumes.values() if could_be(v, claim) and v not in taken]
    kept = [v for v in world.volumes.values() if could_be(v, claim) and v.spec.claim_ref is not None]
    fitting = [v for v in found if reach(v, node) and (not kept or v in kept)]
    return min(fitting, key=lambda v: (v.spec.capacity["storage"].value, v.metadata.name or ""), default=None)


def provision(claim: PersistentVolumeClaim, node: Node, world: World) -> str:
    storage_class = world.classes[claim.spec.storage_class_name or ""]
    cannot = "node(s) didn't find available persistent volumes to bind"
    if storage_class.provisioner == "kubernetes.io/no-provisioner":
        return cannot
    terms = storage_class.allowed_topologies
    if terms and not any(
        all(node.metadata.labels.get(e.key) in e.values for e in term.match_label_expressions) for term in terms
    ):
        return cannot
    driver = world.csi_drivers.get(storage_class.provisioner)
    if driver is None or not driver.spec.storage_capacity:
        return ""
    for room in world.capacities:
        place = room.node_topology.match_labels if room.node_topology is not None else {"nowhere": ""}
        here = place.items() <= node.metadata.labels.items()
        limit = room.maximum_volume_size or room.capacity
        if here and room.storage_class_name == storage_class.metadata.name and limit and limit.value >= size(claim):
            return ""
    return "node(s) did not have enough free storage"


def binding(pod: Pod, node: Node, world: World) -> set[str]:
    claims = [world.claims[name] for name in dict.fromkeys(claims_of(pod))]
    said: set[str] = set()
    for claim in claims:
        if is_bound(claim):
            volume = world.volumes.get(claim.spec.volume_name or "")
            if volume is None:
                said.add("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
            elif not reach(volume, node):
                said.add("node(s) had volume node affinity conflict")
    taken: list[PersistentVolume] = []
    for claim in sorted((c for c in claims if not is_bound(c)), key=lambda c: (size(c), c.metadata.name or "")):
        selected = claim.metadata.annotations.get(SELECTED)
        if selected and selected != node.metadata.name:
            said.add("node(s) didn't find available persistent volumes to bind")
            continue
        found = None if selected else match(claim, node, world, taken)
        if found is not None:
            taken.append(found)
        elif why := provision(claim, node, world):
            said.add(why)
    return said


def zone(pod: Pod, node: Node, world: World) -> bool:
    labels = node.metadata.labels
    if ZONE not in labels and FORMER_ZONE not in labels:
        return True
    for name in claims_of(pod):
        volume = world.volumes.get(world.claims[name].spec.volume_name or "")
        for key in (ZONE, FORMER_ZONE) if volume is not None else ():
            zones = volume.metadata.labels.get(key) if volume is not None else None
            # A node that does not have the former name is asked by the present one.
            if zones is not None and labels.get(key if key in labels else ZONE) not in zones.split("__"):
                return False
    return True


def handle(name: str, world: World) -> tuple[str, str] | None:
    claim = world.claims.get(name)
    if claim is None:
        return None
    volume = world.volumes.get(claim.spec.volume_name or "")
    if volume is not None:
        return (volume.spec.csi.driver, volume.spec.csi.volume_handle) if volume.spec.csi else None
    storage_class = world.classes.get(claim.spec.storage_class_name or "")
    return (storage_class.provisioner, name) if storage_class else None


def within_limits(pod: Pod, node: Node, world: World) -> bool:
    csi_node = world.csi_nodes.get(node.metadata.name or "")
    if csi_node is None:
        return True
    there = {handle(name, world) for p, where in world.pods if where == node.metadata.name for name in claims_of(p)} - {
        None
    }
    for attachment in world.attachments.values():
        volume = world.volumes.get(attachment.spec.source.persistent_volume_name or "")
        if attachment.spec.node_name == node.metadata.name and volume is not None and volume.spec.csi is not None:
            there.add((volume.spec.csi.driver, volume.spec.csi.volume_handle))
    new = {handle(name, world) for name in claims_of(pod)} - there - {None}
    for driver in csi_node.spec.drivers:
        count = driver.allocatable.count if driver.allocatable is not None else None
        more = [h for h in new if h is not None and h[0] == driver.name]
        used = [h for h in there if h is not None and h[0] == driver.name]
        if count is not None and more and len(used) + len(more) > count:
            return False
    return True


def rejected(pod: Pod, node: Node, world: World) -> set[str]:
    """What the first plugin that rejects the node says; pods with a `pod_reason` are not asked about."""
    exclusive = [n for n in claims_of(pod) if "ReadWriteOncePod" in world.claims[n].spec.access_modes]
    if any(name in claims_of(other) for other, _ in world.pods for name in exclusive):
        return {"node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"}
    if not within_limits(pod, node, world):
        return {"node(s) exceed max volume count"}
    if said := binding(pod, node, world):
        return said
    return set() if zone(pod, node, world) else {"node(s) had no available volume zone"}
