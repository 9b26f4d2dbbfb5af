"""Claims, volumes and classes as the scheduler knows them, and what it has promised and not seen happen yet. Pure.

    pod placed ──reserve──► reserved ──claimRef, selected-node written──► observed bound ──release──► (nothing kept)
                                └────────────── failed ──release──► free again

A reservation counts at once, for the next decision must not take the same volume. `epoch` moves whenever an answer
about volumes may differ; pods without claims never look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tiphys.api import persistent_volumes as facts
from tiphys.api.selectors.nodes import selects
from tiphys.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment

ClaimKey = tuple[str, str]
PodKey = tuple[str, str]


class ClaimUse(NamedTuple):
    """One claim of a pod. `owner` is the pod's uid if the claim is made for it alone (an ephemeral volume)."""

    name: str
    owner: str = ""
    pod_name: str = ""


def claims_used(pod: Pod) -> tuple[ClaimUse, ...]:
    """The claims behind a pod's volumes, each once, in order."""
    if not pod.spec.volumes:
        return ()
    found: dict[ClaimUse, None] = {}
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found[ClaimUse(volume.persistent_volume_claim.claim_name)] = None
        elif volume.ephemeral is not None:
            name = facts.claim_name_of(pod, volume)
            found[ClaimUse(name, pod.metadata.uid or "", pod.metadata.name or "")] = None
    return tuple(found)


@dataclass(slots=True)
class Reservation:
    """A claim promised to pods on `node`: `volume` is what it will be bound to, "" if one is to be provisioned."""

    node: str
    volume: str
    pods: set[PodKey] = field(default_factory=set)


class Plan(NamedTuple):
    """What must happen to a pod's claims before it is bound to `node`."""

    node: str
    bind: tuple[tuple[ClaimKey, str], ...]
    provision: tuple[ClaimKey, ...]

    @property
    def claims(self) -> Iterator[ClaimKey]:
        yield from (claim for claim, _ in self.bind)
        yield from self.provision


class Sorted(NamedTuple):
    """A pod's claims by what is to be done about them."""

    bound: tuple[PersistentVolumeClaim, ...]
    delayed: tuple[PersistentVolumeClaim, ...]
    """Unbound, by increasing size."""
    immediate: tuple[PersistentVolumeClaim, ...]
    """Unbound, and not for the scheduler to bind."""


class VolumeTable:
    """Observed objects by name, and reservations."""

    def __init__(self) -> None:
        self.epoch = 0
        self.claims: dict[ClaimKey, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.csi_nodes: dict[str, CSINode] = {}
        self.csi_drivers: dict[str, CSIDriver] = {}
        self.capacities: dict[ClaimKey, CSIStorageCapacity] = {}
        self.attachments: dict[str, VolumeAttachment] = {}
        self.reservations: dict[ClaimKey, Reservation] = {}
        self._volumes_by_class: dict[str, dict[str, PersistentVolume]] = {}
        self._reserved: dict[str, ClaimKey] = {}

    def observe(self, obj: Any, *, gone: bool = False) -> None:
        """An object of one of these kinds came, changed or went."""
        self.epoch += 1
        meta = obj.metadata
        name: str = meta.name or ""
        if isinstance(obj, PersistentVolume):
            self._observe_volume(name, obj, gone)
            return
        table: dict[Any, Any] = _TABLES[type(obj)](self)
        key: Any = (meta.namespace, name) if isinstance(obj, (PersistentVolumeClaim, CSIStorageCapacity)) else name
        if gone:
            table.pop(key, None)
        else:
            table[key] = obj

    def _observe_volume(self, name: str, volume: PersistentVolume, gone: bool) -> None:
        before = self.volumes.pop(name, None)
        if before is not None:
            self._volumes_by_class[facts.class_of_volume(before)].pop(name, None)
        if not gone:
            self.volumes[name] = volume
            self._volumes_by_class.setdefault(facts.class_of_volume(volume), {})[name] = volume

    def sort(self, claims: Iterable[PersistentVolumeClaim]) -> Sorted:
        """Claims by state; a claim that names its volume and is not bound yet is the binder's business."""
        bound, delayed, immediate = [], [], []
        for claim in claims:
            if facts.is_bound(claim):
                bound.append(claim)
            elif not claim.spec.volume_name and facts.waits_for_consumer(self.class_of(claim)):
                delayed.append(claim)
            else:
                immediate.append(claim)
        delayed.sort(key=lambda c: (facts.requested(c).milli, c.metadata.name or ""))
        return Sorted(tuple(bound), tuple(delayed), tuple(immediate))

    def class_of(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        """The claim's class, if there is one of that name."""
        return self.classes.get(facts.class_of_claim(claim))

    def selected_node(self, claim: PersistentVolumeClaim) -> str:
        """The node a volume is being provisioned on for the claim; "" for none."""
        reservation = self.reservations.get(key_of(claim))
        if reservation is not None and not reservation.volume:
            return reservation.node
        return claim.metadata.annotations.get(facts.SELECTED_NODE, "")

    def candidates(self, claim: PersistentVolumeClaim) -> list[PersistentVolume]:
        """Volumes the claim could have, smallest first; those promised to it or kept for it go before any other."""
        key = key_of(claim)
        reservation = self.reservations.get(key)
        if reservation is not None and reservation.volume:
            promised = self.volumes.get(reservation.volume)
            return [promised] if promised is not None else []
        of_class = self._volumes_by_class.get(facts.class_of_claim(claim), {}).values()
        kept = [v for v in of_class if v.spec.claim_ref is not None and facts.refers_to(v.spec.claim_ref, claim)]
        free = kept or [
            v
            for v in of_class
            if v.spec.claim_ref is None and v.metadata.name not in self._reserved and facts.could_hold(v, claim)
        ]
        return sorted(free, key=lambda v: (facts.capacity(v).milli, v.metadata.name or ""))

    def is_measured(self, storage_class: StorageClass) -> bool:
        """Whether the class's driver publishes how much room it has."""
        driver = self.csi_drivers.get(storage_class.provisioner)
        return driver is not None and bool(driver.spec.storage_capacity)

    def plan(self, namespace: str, uses: Iterable[ClaimUse], node: Node) -> Plan:
        """How the pod's unbound claims get volumes on a node that VolumeBinding lets pass."""
        claims = [claim for use in uses if (claim := self.claims.get((namespace, use.name))) is not None]
        bind: list[tuple[ClaimKey, str]] = []
        provision: list[ClaimKey] = []
        taken: set[str] = set()
        for claim in self.sort(claims).delayed:
            found = None if self.selected_node(claim) else self._match(claim, node, taken)
            if found is None:
                provision.append(key_of(claim))
            else:
                taken.add(found.metadata.name or "")
                bind.append((key_of(claim), found.metadata.name or ""))
        return Plan(node.metadata.name or "", tuple(bind), tuple(provision))

    def _match(self, claim: PersistentVolumeClaim, node: Node, taken: set[str]) -> PersistentVolume | None:
        for volume in self.candidates(claim):
            if volume.metadata.name not in taken and reachable(volume, node):
                return volume
        return None

    def reserve(self, pod: PodKey, plan: Plan) -> None:
        """Promise what is planned to the pod."""
        for claim, volume in (*plan.bind, *((claim, "") for claim in plan.provision)):
            reservation = self.reservations.setdefault(claim, Reservation(plan.node, volume))
            reservation.pods.add(pod)
            if volume:
                self._reserved[volume] = claim
        self.epoch += 1

    def release(self, pod: PodKey, plan: Plan) -> None:
        """The pod has what it was promised, or will not get it."""
        for claim in plan.claims:
            reservation = self.reservations.get(claim)
            if reservation is None:
                continue
            reservation.pods.discard(pod)
            if not reservation.pods:
                del self.reservations[claim]
                self._reserved.pop(reservation.volume, None)
        self.epoch += 1


def key_of(claim: PersistentVolumeClaim) -> ClaimKey:
    return (claim.metadata.namespace or "", claim.metadata.name or "")


def reachable(volume: PersistentVolume, node: Node) -> bool:
    """Whether the node can use the volume."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return selects(affinity.required, node.metadata.labels, node.metadata.name or "")


def provisionable(storage_class: StorageClass | None) -> bool:
    """Whether somebody makes volumes of the class."""
    return storage_class is not None and storage_class.provisioner not in ("", facts.NO_PROVISIONER)


_TABLES: Final[dict[type, Any]] = {
    PersistentVolumeClaim: lambda table: table.claims,
    StorageClass: lambda table: table.classes,
    CSINode: lambda table: table.csi_nodes,
    CSIDriver: lambda table: table.csi_drivers,
    CSIStorageCapacity: lambda table: table.capacities,
    VolumeAttachment: lambda table: table.attachments,
}
