"""What a class and a claim mean to a driver: parameters, secrets, places, and the volume object that results. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from tiphys.api.persistent_volumes import (
    PROVISIONED_BY,
    SELECTED_NODE,
    STORAGE,
    STORAGE_PROVISIONER,
    class_of_claim,
    mode_of,
    requested,
    waits_for_consumer,
)
from tiphys.api.quantity import Quantity
from tiphys.api.selectors.nodes import topology_holds
from tiphys.api.types.core_v1 import (
    CSIPersistentVolumeSource,
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    SecretReference,
    VolumeNodeAffinity,
)
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import CSINode, StorageClass

PREFIX: Final = "csi.storage.k8s.io/"
PROVISIONER_FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
IDENTITY: Final = "storage.kubernetes.io/csiProvisionerIdentity"
DELETION_SECRET_NAME: Final = "volume.kubernetes.io/provisioner-deletion-secret-name"
DELETION_SECRET_NAMESPACE: Final = "volume.kubernetes.io/provisioner-deletion-secret-namespace"
DEFAULT_FS_TYPE: Final = "ext4"
SECRETS: Final = (
    "provisioner-secret",
    "controller-publish-secret",
    "node-stage-secret",
    "node-publish-secret",
    "controller-expand-secret",
    "node-expand-secret",
)
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_ANNOTATION: Final = re.compile(r"pvc\.annotations\['([^']+)'\]")

Segments = Mapping[str, str]


class Misconfigured(Exception):
    """The class or the claim cannot be meant so; the text is shown on the claim."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """A class's parameters: those for the driver, and those for us."""

    driver: dict[str, str]
    fs_type: str = DEFAULT_FS_TYPE
    secrets: dict[str, SecretReference] = field(default_factory=dict)
    """By the names in `SECRETS`."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a volume must be reachable from, in the order of preference."""

    requisite: tuple[Segments, ...]
    preferred: tuple[Segments, ...]


def is_ours(claim: PersistentVolumeClaim, storage_class: StorageClass | None, driver: str) -> bool:
    """Whether it is for this driver to make the claim's volume, now."""
    if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
        return False
    if storage_class is None or storage_class.provisioner != driver:
        return False
    if claim.metadata.annotations.get(STORAGE_PROVISIONER) != driver:
        return False
    return not waits_for_consumer(storage_class) or SELECTED_NODE in claim.metadata.annotations


def volume_name(claim: PersistentVolumeClaim) -> str:
    return f"pvc-{claim.metadata.uid}"


def parameters(storage_class: StorageClass, claim: PersistentVolumeClaim) -> Parameters:
    """Raises Misconfigured."""
    ours = {k.removeprefix(PREFIX): v for k, v in storage_class.parameters.items() if k.startswith(PREFIX)}
    driver, fs_type = driver_parameters(storage_class)
    ours.pop("fstype", "")
    secrets = {}
    for kind in SECRETS:
        name, namespace = ours.pop(f"{kind}-name", ""), ours.pop(f"{kind}-namespace", "")
        if bool(name) != bool(namespace):
            raise Misconfigured(f"either name and namespace for {kind} secrets specified, Both must be specified")
        if name:
            secrets[kind] = SecretReference(name=_resolve(name, claim), namespace=_resolve(namespace, claim))
    if ours:
        raise Misconfigured(f"found unknown parameter key {PREFIX}{min(ours)!s} with reserved namespace {PREFIX}")
    return Parameters(driver, fs_type, secrets)


def _resolve(template: str, claim: PersistentVolumeClaim) -> str:
    meta = claim.metadata
    known = {"pv.name": volume_name(claim), "pvc.namespace": meta.namespace or "", "pvc.name": meta.name or ""}

    def value(match: re.Match[str]) -> str:
        asked = match.group(1)
        annotation = _ANNOTATION.fullmatch(asked)
        if annotation is not None and annotation.group(1) in meta.annotations:
            return meta.annotations[annotation.group(1)]
        if asked not in known:
            raise Misconfigured(f"error resolving secret: variable {asked!r} is not known")
        return known[asked]

    return _VARIABLE.sub(value, template)


def driver_parameters(storage_class: StorageClass) -> tuple[dict[str, str], str]:
    """(what the driver is given, the type of file systems) of a class, whatever claim it is for."""
    own = {k: v for k, v in storage_class.parameters.items() if not k.startswith(PREFIX)}
    return own, storage_class.parameters.get(f"{PREFIX}fstype", "") or DEFAULT_FS_TYPE


def claim_metadata(claim: PersistentVolumeClaim) -> dict[str, str]:
    """What drivers are told of the claim with --extra-create-metadata."""
    meta = claim.metadata
    return {
        f"{PREFIX}pvc/name": meta.name or "",
        f"{PREFIX}pvc/namespace": meta.namespace or "",
        f"{PREFIX}pv/name": volume_name(claim),
    }


# -- places ------------------------------------------------------------------------------------------------------------


def segments_of(node: Node, csi_node: CSINode | None, driver: str) -> dict[str, str] | None:
    """Where the node is in the driver's topology; None while that is not known."""
    entry = next((d for d in csi_node.spec.drivers if d.name == driver), None) if csi_node is not None else None
    if entry is None or not entry.topology_keys:
        return None
    labels = node.metadata.labels
    if any(key not in labels for key in entry.topology_keys):
        return None
    return {key: labels[key] for key in entry.topology_keys}


def places(
    storage_class: StorageClass, selected: Segments | None, everywhere: Iterable[Segments], *, strict: bool, seed: int
) -> Places | None:
    """Where to make a volume; None if it does not matter. `selected` is where its first pod will run.

    `everywhere` are the segments of all nodes that have the driver; `strict` leaves no choice once a node is selected.
    `seed` spreads volumes whose place is free. Raises Misconfigured.
    """
    allowed = storage_class.allowed_topologies
    if selected is not None and allowed and not any(topology_holds(term, selected) for term in allowed):
        raise Misconfigured(f"selected node '{dict(selected)}' is not in allowed topologies")
    if selected is not None and strict:
        return Places((selected,), (selected,))
    if allowed:
        wanted = [
            dict(zip((e.key for e in term.match_label_expressions), values, strict=True))
            for term in allowed
            for values in product(*(e.values for e in term.match_label_expressions))
        ]
    else:
        wanted = [dict(segments) for segments in everywhere]
    ordered = sorted({tuple(sorted(w.items())) for w in wanted})
    if not ordered:
        return None
    first = tuple(sorted(selected.items())) if selected is not None else ordered[seed % len(ordered)]
    start = ordered.index(first) if first in ordered else 0
    turned = tuple(dict(segments) for segments in ordered[start:] + ordered[:start])
    return Places(tuple(dict(segments) for segments in ordered), turned)


def affinity(accessible: Iterable[Segments]) -> VolumeNodeAffinity | None:
    """The nodes that reach a volume; None for all."""
    terms = tuple(
        NodeSelectorTerm(
            match_expressions=tuple(
                NodeSelectorRequirement(key=key, operator="In", values=(value,))
                for key, value in sorted(segments.items())
            )
        )
        for segments in accessible
        if segments
    )
    return VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms)) if terms else None


# -- the object --------------------------------------------------------------------------------------------------------


def new_volume(
    claim: PersistentVolumeClaim,
    storage_class: StorageClass,
    given: Parameters,
    *,
    driver: str,
    identity: str,
    handle: str,
    size_bytes: int,
    context: Mapping[str, str],
    accessible: Iterable[Segments],
) -> PersistentVolume:
    """The PersistentVolume for what a driver has made."""
    annotations = {PROVISIONED_BY: driver}
    secret = given.secrets.get("provisioner-secret")
    if secret is not None:
        annotations[DELETION_SECRET_NAME] = secret.name or ""
        annotations[DELETION_SECRET_NAMESPACE] = secret.namespace or ""
    policy = storage_class.reclaim_policy or "Delete"
    block = mode_of(claim) == "Block"
    return PersistentVolume(
        metadata=ObjectMeta(
            name=volume_name(claim),
            annotations=annotations,
            finalizers=(PROVISIONER_FINALIZER,) if policy == "Delete" else (),
        ),
        spec=PersistentVolumeSpec(
            access_modes=claim.spec.access_modes,
            capacity={STORAGE: _size(claim, size_bytes)},
            claim_ref=_reference(claim),
            csi=CSIPersistentVolumeSource(
                driver=driver,
                volume_handle=handle,
                fs_type=None if block else given.fs_type,
                volume_attributes={**context, IDENTITY: identity},
                controller_publish_secret_ref=given.secrets.get("controller-publish-secret"),
                node_stage_secret_ref=given.secrets.get("node-stage-secret"),
                node_publish_secret_ref=given.secrets.get("node-publish-secret"),
                controller_expand_secret_ref=given.secrets.get("controller-expand-secret"),
                node_expand_secret_ref=given.secrets.get("node-expand-secret"),
            ),
            mount_options=storage_class.mount_options,
            node_affinity=affinity(accessible),
            persistent_volume_reclaim_policy=policy,
            storage_class_name=class_of_claim(claim),
            volume_mode=mode_of(claim),
        ),
    )


def _size(claim: PersistentVolumeClaim, size_bytes: int) -> Quantity:
    wanted = requested(claim)
    return wanted if size_bytes in (0, wanted.value) else quantity_of(size_bytes)


def quantity_of(size_bytes: int) -> Quantity:
    """Bytes as people read them, if they are a whole number of binary units."""
    for shift, suffix in ((40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")):
        if size_bytes and size_bytes % (1 << shift) == 0:
            return Quantity(f"{size_bytes >> shift}{suffix}")
    return Quantity(str(size_bytes))


def _reference(claim: PersistentVolumeClaim) -> ObjectReference:
    meta = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim",
        api_version="v1",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


def may_delete(volume: PersistentVolume, driver: str) -> bool:
    """Whether the volume's claim is gone and its data is to go with it."""
    if volume.spec.csi is None or volume.spec.csi.driver != driver:
        return False
    if volume.metadata.annotations.get(PROVISIONED_BY) != driver or volume.status.phase != "Released":
        return False
    if volume.spec.persistent_volume_reclaim_policy != "Delete":
        return False
    return volume.metadata.deletion_timestamp is None or PROVISIONER_FINALIZER in volume.metadata.finalizers
