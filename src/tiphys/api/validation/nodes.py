"""Checks of Nodes and Namespaces."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, duplicate, forbidden, invalid, not_supported, quote, refuse, required
from tiphys.api.types.core_v1 import Namespace, Node, NodeSpec, Taint
from tiphys.api.validation.formats import check_cidr
from tiphys.api.validation.metadata import (
    check_label_name,
    check_metadata,
    check_metadata_update,
    check_standard_finalizer,
)
from tiphys.api.validation.placement import TAINT_EFFECTS
from tiphys.api.validation.resources import check_quantity

_match_feature: Final = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z0-9]+)*").fullmatch
_FEATURE_FORM: Final = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
    "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


def validate_node(obj: Node) -> list[FieldError]:
    """A new node, which a kubelet registers with its status."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_subdomain, "metadata", errors)
    _check_taints(obj.spec.taints, errors)
    _check_resources(obj, errors)
    swap = obj.status.node_info.swap if obj.status.node_info is not None else None
    if swap is not None and swap.capacity is not None and swap.capacity <= 0:
        # Upstream's path of the status starts with the metadata.
        errors.append(invalid("metadata.nodeSwapStatus.capacity", swap.capacity, "must be greater than zero"))
    _check_features(obj.status.declared_features, errors)
    _check_networks(obj.spec, errors)
    return errors


def _check_networks(spec: NodeSpec, errors: list[FieldError]) -> None:
    networks = [check_cidr(text, f"spec.podCIDRs[{i}]", errors) for i, text in enumerate(spec.pod_cidrs)]
    versions = [network.version for network in networks if network is not None]
    if len(networks) > 1 and sorted(versions) != [4, 6]:
        detail = "may specify no more than one CIDR for each IP family"
        errors.append(invalid("spec.podCIDRs", list(spec.pod_cidrs), detail))


def _check_taints(taints: tuple[Taint, ...], errors: list[FieldError]) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        # Upstream's path of taints is that of the annotation they once were.
        path = f"metadata.taints[{index}]"
        check_label_name(taint.key, f"{path}.key", errors)
        messages = names.label_value(taint.value or "")
        if messages:
            errors.append(invalid(f"{path}.value", taint.value or "", ";".join(messages)))
        if not taint.effect:
            errors.append(required(f"{path}.effect"))
        elif taint.effect not in TAINT_EFFECTS:
            errors.append(not_supported(f"{path}.effect", taint.effect, TAINT_EFFECTS))
        if (taint.key, taint.effect) in seen:
            value = {
                "Key": taint.key,
                "Value": taint.value or "",
                "Effect": taint.effect,
                "TimeAdded": taint.time_added,
            }
            error = duplicate(path, value)
            errors.append(error._replace(message=f"{error.message}: taints must be unique by key and effect pair"))
        seen.add((taint.key, taint.effect))


def _check_resources(obj: Node, errors: list[FieldError]) -> None:
    for part, quantities in (("capacity", obj.status.capacity), ("allocatable", obj.status.allocatable)):
        for name, quantity in quantities.items():
            check_quantity(name, quantity, f"status.{part}.{name}", errors)


def _check_features(features: tuple[str, ...], errors: list[FieldError]) -> None:
    """What a node can do beyond the ordinary, each a path of words, in order."""
    for index, feature in enumerate(features):
        where = f"status.declaredFeatures[{index}]"
        if len(feature) > names.SUBDOMAIN_MAXIMUM:
            limit = f"must be no more than {names.SUBDOMAIN_MAXIMUM} characters"
            errors.append(invalid(where, feature, f"invalid feature name {quote(feature)}: {limit}"))
        elif not _match_feature(feature):
            errors.append(invalid(where, feature, f"invalid feature name {quote(feature)}: {_FEATURE_FORM}"))
        if index and feature == features[index - 1]:
            errors.append(duplicate(where, feature))
        elif index and feature < features[index - 1]:
            errors.append(invalid(where, feature, "list must be sorted alphabetically"))


def validate_node_update(new: Node, old: Node) -> list[FieldError]:
    """A node that replaces `old`: what was assigned to it once stays."""
    # Upstream checks it as if it were new, and then again.
    errors = validate_node(new)
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_changes(new, old, errors)
    return errors


def validate_node_status(new: Node, old: Node) -> list[FieldError]:
    """What a kubelet reports."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_changes(new, old, errors)
    return errors


def _check_changes(new: Node, old: Node, errors: list[FieldError]) -> None:
    _check_resources(new, errors)
    _check_features(new.status.declared_features, errors)
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(new.status.addresses):
        if (address.type, address.address) in seen:
            value = {"Type": address.type, "Address": address.address}
            errors.append(duplicate(f"status.addresses[{index}]", value))
        seen.add((address.type, address.address))
    before, after = old.spec.pod_cidrs, new.spec.pod_cidrs
    if before and before != after:
        changes = 1 if len(before) != len(after) else sum(x != y for x, y in zip(before, after, strict=True))
        detail = 'node updates may not change podCIDR except from "" to valid'
        errors.extend(forbidden("spec.podCIDRs", detail) for _ in range(changes))
    if old.spec.provider_id and new.spec.provider_id != old.spec.provider_id:
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    _check_taints(new.spec.taints, errors)
    if (new.spec.external_id or "") != (old.spec.external_id or ""):
        errors.append(forbidden("spec.externalID", "may not be updated"))


def validate_namespace(obj: Namespace) -> list[FieldError]:
    """A new namespace."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, names.dns_label, "metadata", errors)
    _check_finalizers(obj, errors)
    return errors


def _check_finalizers(obj: Namespace, errors: list[FieldError]) -> None:
    for finalizer in obj.spec.finalizers:
        _check_finalizer(finalizer, "spec.finalizers", errors)


def _check_finalizer(finalizer: str, path: str, errors: list[FieldError]) -> None:
    refuse(names.qualified_name(finalizer), finalizer, path, errors)
    check_standard_finalizer(finalizer, path, errors)


def validate_namespace_update(new: Namespace, old: Namespace) -> list[FieldError]:
    """Only metadata changes here; status and finalizers have subresources."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    return errors


def validate_namespace_finalize(new: Namespace, old: Namespace) -> list[FieldError]:
    """The finalize subresource."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    for index, finalizer in enumerate(new.spec.finalizers):
        _check_finalizer(finalizer, f"spec.finalizers[{index}]", errors)
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
