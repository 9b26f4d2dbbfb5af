"""Checks of metadata: names, labels, annotations, owners, finalizers, and what an update may not touch."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, refuse, required, too_long
from tiphys.api.types.meta_v1 import ManagedFieldsEntry, ObjectMeta, OwnerReference

ANNOTATIONS_MAXIMUM_BYTES: Final = 256 * 1024
MANAGER_MAXIMUM: Final = 128
SUBRESOURCE_MAXIMUM: Final = 256
IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"
STANDARD_FINALIZERS: Final = frozenset(
    {"kubernetes", "orphan", "foregroundDeletion", "service.kubernetes.io/load-balancer-cleanup"}
)
_CLUSTER_SCOPED: Final = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)


def validate_metadata(obj: Any, name_check: names.NameCheck = names.dns_subdomain) -> list[FieldError]:
    """The metadata of a new object, its kind deciding whether it lives in a namespace."""
    errors: list[FieldError] = []
    kind = type(obj)
    # Kinds that users define say it themselves: their names may be those of built-in ones.
    namespaced = getattr(kind, "__namespaced__", kind.__name__ not in _CLUSTER_SCOPED)
    check_metadata(obj.metadata, namespaced, name_check, "metadata", errors)
    return errors


def check_metadata(
    meta: ObjectMeta, namespaced: bool, name_check: names.NameCheck, path: str, errors: list[FieldError]
) -> None:
    """Append what is wrong with the metadata at `path`."""
    if meta.generate_name:
        refuse(name_check(names.as_prefix(meta.generate_name)), meta.generate_name, f"{path}.generateName", errors)
    if not meta.name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        refuse(name_check(meta.name), meta.name, f"{path}.name", errors)
    if namespaced:
        if not meta.namespace:
            errors.append(required(f"{path}.namespace"))
        else:
            refuse(names.dns_label(meta.namespace), meta.namespace, f"{path}.namespace", errors)
    elif meta.namespace:
        errors.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    if meta.generation is not None and meta.generation < 0:
        errors.append(invalid(f"{path}.generation", meta.generation, NOT_NEGATIVE))
    _check_maps(meta, path, errors)
    if meta.owner_references:
        _check_owners(meta.owner_references, f"{path}.ownerReferences", errors)
    if meta.finalizers:
        _check_finalizers(meta.finalizers, f"{path}.finalizers", errors)
    if meta.managed_fields:
        _check_managed_fields(meta.managed_fields, f"{path}.managedFields", errors)
    for index, finalizer in enumerate(meta.finalizers):
        check_standard_finalizer(finalizer, f"{path}.finalizers[{index}]", errors)


def _check_maps(meta: ObjectMeta, path: str, errors: list[FieldError]) -> None:
    if meta.labels:
        check_labels(meta.labels, f"{path}.labels", errors)
    if meta.annotations:
        check_annotations(meta.annotations, f"{path}.annotations", errors)


def check_labels(labels: dict[str, str], path: str, errors: list[FieldError]) -> None:
    """Keys and values of labels (or of a node selector)."""
    for key, value in labels.items():
        refuse(names.qualified_name(key), key, path, errors)
        refuse(names.label_value(value), value, path, errors)


def check_label_name(key: str, path: str, errors: list[FieldError]) -> None:
    """One key of a label."""
    refuse(names.qualified_name(key), key, path, errors)


def check_annotations(annotations: dict[str, str], path: str, errors: list[FieldError]) -> None:
    """Keys of annotations, and their size together."""
    size = 0
    for key, value in annotations.items():
        refuse(names.qualified_name(key.lower()), key, path, errors)
        size += len(key) + len(value)
    if size > ANNOTATIONS_MAXIMUM_BYTES // 4:
        size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
        if size > ANNOTATIONS_MAXIMUM_BYTES:
            errors.append(too_long(path, ANNOTATIONS_MAXIMUM_BYTES))


def _check_owners(owners: tuple[OwnerReference, ...], path: str, errors: list[FieldError]) -> None:
    controller = ""
    for owner in owners:
        if not owner.api_version:
            errors.append(invalid(f"{path}.apiVersion", owner.api_version, "version must not be empty"))
        if not owner.kind:
            errors.append(invalid(f"{path}.kind", owner.kind, "must not be empty"))
        if not owner.name:
            errors.append(invalid(f"{path}.name", owner.name, "must not be empty"))
        if not owner.uid:
            errors.append(invalid(f"{path}.uid", owner.uid, "must not be empty"))
        if owner.kind == "Event" and owner.api_version == "v1":
            errors.append(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.controller:
            if controller:
                detail = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {owner.name}'
                )
                errors.append(invalid(path, owners, detail))
            controller = owner.name


def _check_finalizers(finalizers: tuple[str, ...], path: str, errors: list[FieldError]) -> None:
    for finalizer in finalizers:
        refuse(names.qualified_name(finalizer), finalizer, path, errors)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid(path, finalizers, detail))


def check_standard_finalizer(finalizer: str, path: str, errors: list[FieldError]) -> None:
    """A finalizer without a domain must be one of upstream's."""
    if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        errors.append(invalid(path, finalizer, detail))


def _check_managed_fields(entries: tuple[ManagedFieldsEntry, ...], path: str, errors: list[FieldError]) -> None:
    for index, entry in enumerate(entries):
        if entry.operation not in ("Apply", "Update"):
            errors.append(invalid(f"{path}[{index}].operation", entry.operation or "", "must be `Apply` or `Update`"))
        if entry.fields_type and entry.fields_type != "FieldsV1":
            errors.append(invalid(f"{path}[{index}].fieldsType", entry.fields_type, "must be `FieldsV1`"))
        if entry.manager and len(entry.manager) > MANAGER_MAXIMUM:
            errors.append(too_long(f"{path}[{index}].manager", MANAGER_MAXIMUM))
        if entry.subresource and len(entry.subresource) > SUBRESOURCE_MAXIMUM:
            errors.append(too_long(f"{path}[{index}].subresource", SUBRESOURCE_MAXIMUM))


def validate_metadata_update(new: Any, old: Any) -> list[FieldError]:
    """The metadata of an object that replaces `old`."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    return errors


def check_metadata_update(new: ObjectMeta, old: ObjectMeta, errors: list[FieldError]) -> None:
    """Append what is wrong with metadata that replaces `old`; it went through `strategy.begin_update`."""
    if old.deletion_timestamp is not None and new.finalizers != old.finalizers:
        added = [finalizer for finalizer in new.finalizers if finalizer not in old.finalizers]
        if added:
            listed = ", ".join(f'"{finalizer}"' for finalizer in sorted(added))
            detail = (
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                f"[]string{{{listed}}}"
            )
            errors.append(forbidden("metadata.finalizers", detail))
    if not new.resource_version:
        errors.append(
            invalid("metadata.resourceVersion", new.resource_version or "", "must be specified for an update")
        )
    if (new.generation or 0) < (old.generation or 0):
        errors.append(invalid("metadata.generation", new.generation or 0, "must not be decremented"))
    check_immutable(new.name, old.name, "metadata.name", errors)
    check_immutable(new.namespace, old.namespace, "metadata.namespace", errors)
    check_immutable(new.uid, old.uid, "metadata.uid", errors)
    check_immutable(new.creation_timestamp, old.creation_timestamp, "metadata.creationTimestamp", errors)
    if new.labels is not old.labels and new.labels:
        check_labels(new.labels, "metadata.labels", errors)
    if new.annotations is not old.annotations and new.annotations:
        check_annotations(new.annotations, "metadata.annotations", errors)
    if new.owner_references:
        _check_owners(new.owner_references, "metadata.ownerReferences", errors)
    if new.managed_fields:
        _check_managed_fields(new.managed_fields, "metadata.managedFields", errors)
    if new.finalizers != old.finalizers:
        for index, finalizer in enumerate(new.finalizers):
            check_standard_finalizer(finalizer, f"metadata.finalizers[{index}]", errors)


def check_immutable(new: Any, old: Any, path: str, errors: list[FieldError]) -> None:
    """A field that stays as it was made."""
    if new != old:
        errors.append(invalid(path, new, IMMUTABLE))


def check_not_negative(value: int | None, path: str, errors: list[FieldError]) -> None:
    """A count; absent is fine."""
    if value is not None and value < 0:
        errors.append(invalid(path, value, NOT_NEGATIVE))
