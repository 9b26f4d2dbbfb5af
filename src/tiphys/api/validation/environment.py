"""Checks of a container's environment, and of the references to fields and resources it shares with volumes."""

from __future__ import annotations

import re
from typing import Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, not_supported, refuse, required
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    ConfigMapKeySelector,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    FileKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from tiphys.api.validation.formats import check_no_backsteps
from tiphys.api.validation.metadata import check_label_name

_ONLY_ONE: Final = "may not have more than one field specified at a time"
_SOURCES: Final = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
_SUBSCRIPTED: Final = re.compile(r"(.+?)\['(.*)'\]")
_RESOURCES: Final = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
ENVIRONMENT_FIELDS: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS: Final = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_KNOWN_FIELDS: Final = frozenset(
    (*ENVIRONMENT_FIELDS, *VOLUME_FIELDS, "spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase")
)
_HUGE_PAGES: Final = ("limits.hugepages-", "requests.hugepages-")
_CPU_DIVISORS: Final = frozenset({"1m", "1"})
_MEMORY_DIVISORS: Final = tuple(
    Quantity(text) for text in ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
)
_MEASURED: Final = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def check_environment(variables: tuple[EnvVar, ...], path: str, errors: list[FieldError]) -> bool:
    """Names, and where values come from. Returns whether one comes from a file."""
    names_files = False
    for index, variable in enumerate(variables):
        if not variable.name:
            errors.append(required(f"{path}[{index}].name"))
        else:
            refuse(names.environment_name(variable.name), variable.name, f"{path}[{index}].name", errors)
        if variable.value_from is not None:
            _check_source(variable, variable.value_from, f"{path}[{index}].valueFrom", errors)
            names_files = names_files or variable.value_from.file_key_ref is not None
    return names_files


def _check_source(variable: EnvVar, source: EnvVarSource, path: str, errors: list[FieldError]) -> None:
    sources = 0
    if source.field_ref is not None:
        sources += 1
        check_field_reference(source.field_ref, ENVIRONMENT_FIELDS, f"{path}.fieldRef", errors)
    if source.resource_field_ref is not None:
        sources += 1
        check_resource_reference(source.resource_field_ref, f"{path}.resourceFieldRef", errors, in_volume=False)
    if source.config_map_key_ref is not None:
        sources += 1
        _check_key_reference(source.config_map_key_ref, f"{path}.configMapKeyRef", errors)
    if source.secret_key_ref is not None:
        sources += 1
        _check_key_reference(source.secret_key_ref, f"{path}.secretKeyRef", errors)
    if source.file_key_ref is not None:
        sources += 1
        _check_file_reference(source.file_key_ref, f"{path}.fileKeyRef", errors)
    if not sources:
        errors.append(invalid(path, "", f"must specify one of: {_SOURCES}"))
    elif variable.value:
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif sources > 1:
        errors.append(invalid(path, "", _ONLY_ONE))


def check_field_reference(
    reference: ObjectFieldSelector, allowed: tuple[str, ...], path: str, errors: list[FieldError]
) -> None:
    """A reference to a field of the pod, ``metadata.labels['key']`` included."""
    if not reference.api_version:
        errors.append(required(f"{path}.apiVersion"))
        return
    if not reference.field_path:
        errors.append(required(f"{path}.fieldPath"))
        return
    where = f"{path}.fieldPath"
    match = _SUBSCRIPTED.fullmatch(reference.field_path)
    field, subscript = match.groups() if match is not None else (reference.field_path, None)
    if reference.api_version != "v1":
        detail = f"error converting fieldPath: unsupported pod version: {reference.api_version}"
        errors.append(invalid(where, reference.field_path, detail))
    elif subscript is not None and field not in ("metadata.annotations", "metadata.labels"):
        unknown = f"error converting fieldPath: field label does not support subscript: {reference.field_path}"
        errors.append(invalid(where, reference.field_path, unknown))
    elif field not in _KNOWN_FIELDS:
        unknown = f"error converting fieldPath: field label not supported: {field}"
        errors.append(invalid(where, reference.field_path, unknown))
    elif subscript is not None:
        check_label_name(subscript.lower() if field == "metadata.annotations" else subscript, path, errors)
    else:
        field = "spec.nodeName" if field == "spec.host" else field
        if field not in allowed:
            errors.append(not_supported(where, field, allowed))


def check_resource_reference(
    reference: ResourceFieldSelector, path: str, errors: list[FieldError], *, in_volume: bool
) -> None:
    """A reference to a container's request or limit; volumes must say whose."""
    resource = reference.resource
    if in_volume and not reference.container_name:
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        errors.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    _check_divisor(resource, reference.divisor, f"{path}.divisor", errors)


def _check_divisor(resource: str, divisor: Quantity, path: str, errors: list[FieldError]) -> None:
    if divisor == "0":
        return
    # What upstream calls the bad value is the resource, not the divisor.
    if resource in ("limits.cpu", "requests.cpu"):
        if divisor not in _CPU_DIVISORS:
            detail = "only divisor's values 1m and 1 are supported with the cpu resource"
            errors.append(invalid(path, resource, detail))
        return
    what = _MEASURED.get(resource.partition(".")[2]) if resource in _RESOURCES else None
    if resource.startswith(_HUGE_PAGES):
        what = "hugepages"
    if what is not None and divisor not in _MEMORY_DIVISORS:
        listed = ", ".join(_MEMORY_DIVISORS)
        errors.append(invalid(path, resource, f"only divisor's values {listed} are supported with the {what} resource"))


def _check_key_reference(
    reference: ConfigMapKeySelector | SecretKeySelector, path: str, errors: list[FieldError]
) -> None:
    refuse(names.dns_subdomain(reference.name or ""), reference.name or "", f"{path}.name", errors)
    if not reference.key:
        errors.append(required(f"{path}.key"))
    else:
        refuse(names.config_key(reference.key), reference.key, f"{path}.key", errors)


def _check_file_reference(reference: FileKeySelector, path: str, errors: list[FieldError]) -> None:
    if not reference.key:
        errors.append(required(f"{path}.key"))
    else:
        refuse(names.environment_name(reference.key), reference.key, f"{path}.key", errors)
    if not reference.volume_name:
        errors.append(required(f"{path}.volumeName"))
    else:
        refuse(names.dns_label(reference.volume_name), reference.volume_name, f"{path}.volumeName", errors)
    if not reference.path:
        errors.append(required(f"{path}.path"))
    else:
        check_no_backsteps(reference.path, f"{path}.path", errors)


def check_environment_sources(sources: tuple[EnvFromSource, ...], path: str, errors: list[FieldError]) -> None:
    """ConfigMaps and Secrets taken whole."""
    for index, source in enumerate(sources):
        where = f"{path}[{index}]"
        if source.prefix:
            refuse(names.environment_name(source.prefix), source.prefix, f"{where}.prefix", errors)
        if source.config_map_ref is not None:
            _check_source_name(source.config_map_ref.name, f"{where}.configMapRef.name", errors)
        if source.secret_ref is not None:
            _check_source_name(source.secret_ref.name, f"{where}.secretRef.name", errors)
        # Upstream's path of these names no item.
        if source.config_map_ref is None and source.secret_ref is None:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif source.config_map_ref is not None and source.secret_ref is not None:
            errors.append(invalid(path, "", _ONLY_ONE))


def _check_source_name(name: str | None, path: str, errors: list[FieldError]) -> None:
    if not name:
        errors.append(required(path))
    else:
        refuse(names.dns_subdomain(names.as_prefix(name)), name, path, errors)
