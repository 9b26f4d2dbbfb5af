"""The volume for a claim, and what to do about one of ours. Pure.

           claim's node selected
(none) ─────────────────────────────► volume ──Released, Delete──► deleted, finalizer left
                                                                      │            │
                                                 agent removes the directory     its node is gone: said, let go
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tiphys.api import local_path as local
from tiphys.api import persistent_volumes as facts
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    LocalVolumeSource,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import StorageClass

HOSTNAME: Final = "kubernetes.io/hostname"
_MODES: Final = ("ReadWriteOnce", "ReadWriteOncePod")


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a claim gets no volume. `elsewhere`: another node could serve it, so the scheduler should choose again."""

    message: str
    elsewhere: bool = False


def is_ours(claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> bool:
    """Whether it is for this provisioner to make the claim's volume, now."""
    if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
        return False
    if storage_class is None or storage_class.provisioner != local.PROVISIONER:
        return False
    if claim.metadata.annotations.get(facts.STORAGE_PROVISIONER) != local.PROVISIONER:
        return False
    return not facts.waits_for_consumer(storage_class) or facts.SELECTED_NODE in claim.metadata.annotations


def least_used(nodes: Iterable[Node], used: Mapping[str, int]) -> Node | None:
    """For a claim that is bound before any pod is placed: the ready node with the fewest volumes."""
    able = [n for n in nodes if local.root_of(n) and is_ready(n) and not n.spec.unschedulable]
    return min(able, key=lambda n: (used.get(n.metadata.name or "", 0), n.metadata.name or ""), default=None)


def volumes_by_node(volumes: Iterable[PersistentVolume]) -> Counter[str]:
    """How many of our volumes each node has."""
    return Counter(name for volume in volumes if (name := local.node_of(volume)))


def is_ready(node: Node) -> bool:
    """Whether the node says it works."""
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def is_lost(node: Node) -> bool:
    """Whether it is known not to work: no new data should be tied to it."""
    return any(c.type == "Ready" and c.status != "True" for c in node.status.conditions)


def provisioned(
    claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node | None, node_name: str
) -> PersistentVolume | Refused:
    """The volume that serves `claim` on `node` (None: there is no node called `node_name`)."""
    if any(mode not in _MODES for mode in claim.spec.access_modes):
        return Refused("only supports ReadWriteOnce and ReadWriteOncePod access modes")
    if facts.mode_of(claim) != "Filesystem":
        return Refused("only supports volumes of mode Filesystem")
    if claim.spec.selector is not None:
        return Refused("claim.spec.selector is not supported")
    if claim.spec.data_source is not None or claim.spec.data_source_ref is not None:
        return Refused("claim.spec.dataSource is not supported")
    if node is None:
        return Refused(f'node "{node_name}" not found', elsewhere=True)
    if is_lost(node):
        return Refused(f'node "{node_name}" is not ready', elsewhere=True)
    root = local.root_of(node)
    if not root:
        return Refused(f'node "{node_name}" has no directory for local volumes', elsewhere=True)
    meta, name = claim.metadata, volume_name(claim)
    here = NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(node.metadata.labels.get(HOSTNAME, node_name),))
    return PersistentVolume(
        metadata=ObjectMeta(
            name=name,
            labels={local.NODE_LABEL: node_name},
            annotations={facts.PROVISIONED_BY: local.PROVISIONER},
            finalizers=(local.FINALIZER,),
        ),
        spec=PersistentVolumeSpec(
            access_modes=claim.spec.access_modes,
            capacity={facts.STORAGE: facts.requested(claim)},
            claim_ref=ObjectReference(
                kind="PersistentVolumeClaim",
                api_version="v1",
                namespace=meta.namespace,
                name=meta.name,
                uid=meta.uid,
                resource_version=meta.resource_version,
            ),
            persistent_volume_reclaim_policy=storage_class.reclaim_policy or "Delete",
            storage_class_name=facts.class_of_claim(claim),
            mount_options=storage_class.mount_options,
            volume_mode="Filesystem",
            local=LocalVolumeSource(path=f"{root}/{name}"),
            node_affinity=VolumeNodeAffinity(
                required=NodeSelector(node_selector_terms=(NodeSelectorTerm(match_expressions=(here,)),))
            ),
        ),
    )


def volume_name(claim: PersistentVolumeClaim) -> str:
    """One name per claim, so that a claim never gets two volumes."""
    return f"pvc-{claim.metadata.uid}"


def is_to_be_deleted(volume: PersistentVolume) -> bool:
    """Whether its claim is gone and its data is to go with it."""
    return (
        local.is_local_path(volume)
        and volume.metadata.deletion_timestamp is None
        and volume.status.phase == facts.RELEASED
        and volume.spec.persistent_volume_reclaim_policy == "Delete"
    )


def growth(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Quantity | None:
    """The size that a bound claim asks to grow to; None if it has it. A directory has room by itself."""
    if not local.is_local_path(volume) or claim.spec.volume_name != volume.metadata.name or not facts.is_bound(claim):
        return None
    wanted = facts.requested(claim)
    shown = claim.status.capacity.get(facts.STORAGE, Quantity("0"))
    return wanted if claim.status.phase == facts.BOUND and wanted.exact > shown.exact else None
