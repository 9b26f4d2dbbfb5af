"""What the provisioner of node-local volumes, the nodes' agents and the apiserver agree on. Pure.

    claim, its node selected ──► volume: label NODE, finalizer, path below the node's root ──► agent makes the directory
    claim deleted, policy Delete ──► volume deleted, kept by the finalizer ──► agent removes directory, then finalizer

A node says where its volumes are by an annotation of its Node; one without it takes none.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api.persistent_volumes import PROVISIONED_BY
from tiphys.api.types.core_v1 import Node, PersistentVolume

PROVISIONER: Final = "tiphys.io/local-path"
CLASS_NAME: Final = "local-path"
NODE_LABEL: Final = "tiphys.io/local-path-node"
"""Label of a volume: the node whose agent keeps its directory."""
ROOT_ANNOTATION: Final = "tiphys.io/local-path-root"
"""Annotation of a Node: the directory that holds its volumes' directories."""
FINALIZER: Final = "tiphys.io/local-path"
"""On a volume until its directory is gone, or is meant to stay."""
MADE_ANNOTATION: Final = "tiphys.io/local-path-made"
"""On a volume whose directory was made: if it is missing later, something is wrong with the node's disk."""
PROTECTION: Final = "kubernetes.io/pv-protection"
"""On a volume while a claim is bound to it."""


def is_local_path(volume: PersistentVolume) -> bool:
    """Whether the embedded provisioner made the volume."""
    return volume.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER


def node_of(volume: PersistentVolume) -> str:
    """The node that has the volume's directory; "" for volumes of others."""
    return volume.metadata.labels.get(NODE_LABEL, "") if is_local_path(volume) else ""


def root_of(node: Node) -> str:
    """Where the node keeps its volumes; "" if it takes none."""
    return node.metadata.annotations.get(ROOT_ANNOTATION, "")


def is_given_up(volume: PersistentVolume) -> bool:
    """Whether the volume is being deleted and no claim holds it any more."""
    finalizers = volume.metadata.finalizers
    return volume.metadata.deletion_timestamp is not None and FINALIZER in finalizers and PROTECTION not in finalizers


def let_go(volume: PersistentVolume) -> PersistentVolume:
    """`volume` without our finalizer."""
    kept = tuple(f for f in volume.metadata.finalizers if f != FINALIZER)
    return replace(volume, metadata=replace(volume.metadata, finalizers=kept))
