"""Namespaces, nodes, custom resource definitions, API services."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionNames
from tiphys.api.types.apiregistration_v1 import APIService, APIServiceCondition
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.types.core_v1 import Namespace, Node
from tiphys.api.types.resource_v1 import ResourceSlice

NAMESPACE_FINALIZER: Final = "kubernetes"
METADATA_NAME_LABEL: Final = "kubernetes.io/metadata.name"


def create_namespace(obj: Namespace, now: str) -> None:
    """A new namespace is active and not gone before its content is."""
    obj.status.phase = "Active"
    if NAMESPACE_FINALIZER not in obj.spec.finalizers:
        obj.spec.finalizers = (*obj.spec.finalizers, NAMESPACE_FINALIZER)
    if obj.metadata.name:
        obj.metadata.labels[METADATA_NAME_LABEL] = obj.metadata.name


def update_namespace(new: Namespace, old: Namespace) -> None:
    """Only the finalize subresource changes the finalizers of the spec."""
    new.spec.finalizers = old.spec.finalizers


def update_node(new: Node, old: Node) -> None:
    """A node's status is its kubelet's; only on creation may it come along."""
    new.status = old.status


def create_definition(obj: CustomResourceDefinition, now: str) -> None:
    """The version objects will be stored in is noted from the start."""
    obj.status.accepted_names = CustomResourceDefinitionNames()
    _note_stored_version(obj)


def update_definition(new: CustomResourceDefinition, old: CustomResourceDefinition) -> None:
    """Objects stored in an old version may exist until somebody says they do not."""
    _note_stored_version(new)


def keep_metadata(new: Any, old: Any) -> None:
    """Metadata is not the status's, but for who manages what."""
    new.metadata = replace(
        old.metadata,
        managed_fields=new.metadata.managed_fields,
        resource_version=new.metadata.resource_version,
    )


def _note_stored_version(obj: CustomResourceDefinition) -> None:
    for version in obj.spec.versions:
        if version.storage and version.name not in obj.status.stored_versions:
            stored = (*obj.status.stored_versions, version.name)
            obj.status = replace(obj.status, stored_versions=stored)


def update_signing_request(new: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
    """What was asked to be signed stays; approval and certificate have subresources."""
    new.spec = old.spec


def update_signing_request_status(new: CertificateSigningRequest, old: CertificateSigningRequest) -> None:
    """Who signs does not decide: approval and denial stay as they are, unless they were taken away or added, which
    validation refuses."""
    conditions = list(new.status.conditions)
    for kind in ("Approved", "Denied"):
        before = [condition for condition in old.status.conditions if condition.type == kind]
        places = [index for index, condition in enumerate(conditions) if condition.type == kind]
        if len(before) == len(places):
            for index, condition in zip(places, before, strict=True):
                conditions[index] = condition
    new.status = replace(new.status, conditions=tuple(conditions))


def create_api_service(obj: APIService, now: str) -> None:
    """An API served here is available at once."""
    if obj.spec.service is None:
        obj.status.conditions = (
            APIServiceCondition(
                type="Available",
                status="True",
                reason="Local",
                message="Local APIServices are always available",
                last_transition_time=now,
            ),
        )


def create_slice(obj: ResourceSlice, now: str) -> None:
    """A device is tainted from now on, unless somebody says since when."""
    for device in obj.spec.devices:
        for taint in device.taints:
            taint.time_added = taint.time_added or now
