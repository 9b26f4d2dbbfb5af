"""Checks of Nodes and Namespaces."""

from __future__ import annotations

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.core_v1 import Namespace, Node, NodeSpec, Taint
from tiphys.api.validation.formats import check_cidr
from tiphys.api.validation.metadata import (
    check_label_name,
    check_metadata,
    check_metadata_update,
    check_standard_finalizer,
)
from tiphys.api.validation.placement import TAINT_EFFECTS
from tiphys.api.validation.resources import resource_name


def validate_node(obj: Node) -> list[FieldError]:
    """A new node, which a kubelet registers with its status."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_spec(obj.spec, errors)
    _check_resources(obj, errors)
    return errors


def _check_spec(spec: NodeSpec, errors: list[FieldError]) -> None:
    _check_taints(spec.taints, errors)
    versions: set[int] = set()
    for index, text in enumerate(spec.pod_cidrs):
        network = check_cidr(text, f"spec.podCIDRs[{index}]", errors)
        if network is not None:
            if network.version in versions:
                detail = "may specify no more than one CIDR for each IP family"
                errors.append(invalid("spec.podCIDRs", list(spec.pod_cidrs), detail))
            versions.add(network.version)


def _check_taints(taints: tuple[Taint, ...], errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        check_label_name(taint.key, f"{path}.key", errors)
        refuse(names.label_value(taint.value or ""), taint.value or "", f"{path}.value", errors)
        if not taint.effect:
            errors.append(required(f"{path}.effect"))
        elif taint.effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{path}.effect", taint.effect, TAINT_EFFECTS))
        if (taint.key, taint.effect) in seen:
            errors.append(duplicate(path, taint))
        seen.add((taint.key, taint.effect))


def _check_resources(obj: Node, errors: list[FieldError]) -> None:
    for part, quantities in (("capacity", obj.status.capacity), ("allocatable", obj.status.allocatable)):
        for name, quantity in quantities.items():
            refuse(resource_name(name), name, f"status.{part}[{name}]", errors)
            if quantity[0] == "-":
                errors.append(invalid(f"status.{part}[{name}]", quantity, "must be greater than or equal to 0"))


def validate_node_update(new: Node, old: Node) -> list[FieldError]:
    """A node that replaces `old`: what was assigned to it once stays."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new.spec, errors)
    if old.spec.pod_cidrs and new.spec.pod_cidrs != old.spec.pod_cidrs:
        errors.append(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    munged = replace(
        new.spec,
        pod_cidr=old.spec.pod_cidr,
        pod_cidrs=old.spec.pod_cidrs,
        provider_id=old.spec.provider_id,
        config_source=old.spec.config_source,
        unschedulable=old.spec.unschedulable,
        taints=old.spec.taints,
    )
    if munged != old.spec:
        errors.append(forbidden("[]", "node updates may only change labels, taints, or capacity"))
    return errors


def validate_node_status(new: Node, old: Node) -> list[FieldError]:
    """What a kubelet reports."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_resources(new, errors)
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(new.status.addresses):
        if (address.type, address.address) in seen:
            errors.append(duplicate(f"status.addresses[{index}]", address))
        seen.add((address.type, address.address))
    return errors


def validate_namespace(obj: Namespace) -> list[FieldError]:
    """A new namespace."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_label, "metadata", errors)
    _check_finalizers(obj, errors)
    return errors


def _check_finalizers(obj: Namespace, errors: list[FieldError]) -> None:
    for finalizer in obj.spec.finalizers:
        refuse(names.qualified_name(finalizer), finalizer, "spec.finalizers", errors)
        check_standard_finalizer(finalizer, "spec.finalizers", errors)


def validate_namespace_update(new: Namespace, old: Namespace) -> list[FieldError]:
    """Only metadata changes here; status and finalizers have subresources."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    return errors


def validate_namespace_finalize(new: Namespace, old: Namespace) -> list[FieldError]:
    """The finalize subresource."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_finalizers(new, errors)
    return errors


def validate_namespace_status(new: Namespace, old: Namespace) -> list[FieldError]:
    """The phase follows the deletion."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    phase = new.status.phase or ""
    if new.metadata.deletion_timestamp is None:
        if phase != "Active":
            errors.append(invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"))
    elif phase != "Terminating":
        detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errors.append(invalid("status.Phase", phase, detail))
    return errors
