"""The part of metadata that is the server's: names, identity, times, generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tiphys.api.names import generated
from tiphys.api.types.meta_v1 import ObjectMeta

_CONDITIONAL_UPDATE: Final = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CSIStorageCapacity",
        "CustomResourceDefinition",
        "Lease",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "RuntimeClass",
        "ServiceAccount",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)
_CREATE_ON_UPDATE: Final = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "Endpoints",
        "Event",
        "Lease",
        "LimitRange",
        "Role",
        "RoleBinding",
        "Service",
    }
)


def allows_unconditional_update(kind: str) -> bool:
    """Whether an update may come without a resourceVersion (the last writer wins)."""
    return kind not in _CONDITIONAL_UPDATE


def allows_create_on_update(kind: str) -> bool:
    """Whether PUT makes the object if it is not there."""
    return kind in _CREATE_ON_UPDATE


def begin_create(metadata: ObjectMeta, *, uid: str, now: str, suffix: Callable[[], str]) -> None:
    """Give a new object its identity; `suffix` makes the five random characters of a generated name."""
    if not metadata.name and metadata.generate_name:
        metadata.name = generated(metadata.generate_name, suffix())
    metadata.uid = uid
    metadata.creation_timestamp = now
    metadata.deletion_timestamp = None
    metadata.deletion_grace_period_seconds = None
    metadata.self_link = None
    if metadata.generate_name == "":
        metadata.generate_name = None
    if metadata.generation == 0:
        metadata.generation = None


def begin_update(new: ObjectMeta, old: ObjectMeta) -> None:
    """What an update cannot change is as it was; an absent uid means the same object."""
    new.generation = old.generation
    new.creation_timestamp = old.creation_timestamp
    new.self_link = None
    if not new.uid:
        new.uid = old.uid
    if not new.name:
        new.name = old.name
    if not new.namespace:
        new.namespace = old.namespace
    if old.deletion_timestamp is not None:
        new.deletion_timestamp = old.deletion_timestamp
    else:
        new.deletion_timestamp = None
    if new.deletion_grace_period_seconds is None or old.deletion_timestamp is None:
        new.deletion_grace_period_seconds = old.deletion_grace_period_seconds
    if new.generate_name == "":
        new.generate_name = None


def mark_deleted(metadata: ObjectMeta, *, deletion_timestamp: str, grace_period_seconds: int) -> None:
    """Begin the object's graceful deletion; kinds that count generations count this one."""
    metadata.deletion_timestamp = deletion_timestamp
    metadata.deletion_grace_period_seconds = grace_period_seconds
    if metadata.generation:
        metadata.generation += 1
