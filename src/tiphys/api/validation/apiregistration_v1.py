"""Checks of API services."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, invalid, refuse, required
from tiphys.api.types.apiregistration_v1 import APIService
from tiphys.api.validation.formats import check_port
from tiphys.api.validation.metadata import check_metadata, check_metadata_update

_GROUP_PRIORITY_MAXIMUM: Final = 20000
_VERSION_PRIORITY_MAXIMUM: Final = 1000


def _api_service(obj: APIService) -> list[FieldError]:
    expected = f"{obj.spec.version or ''}.{obj.spec.group or ''}"

    def name_check(name: str) -> names.Messages:
        messages = names.path_segment(name)
        if name == expected:
            return messages
        return (*messages, f'must be `spec.version+"."+spec.group`: "{expected}"')

    errors: list[FieldError] = []
    check_metadata(obj.metadata, False, name_check, "metadata", errors)
    _check_spec(obj, errors)
    return errors


def _check_spec(obj: APIService, errors: list[FieldError]) -> None:
    spec = obj.spec
    if spec.group:
        refuse(names.dns_subdomain(spec.group), spec.group, "spec.group", errors)
    elif spec.version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        errors.append(required("spec.group", detail))
    if spec.version is not None:
        refuse(names.dns_1035_label(spec.version), spec.version, "spec.version", errors)
    if not 0 < spec.group_priority_minimum <= _GROUP_PRIORITY_MAXIMUM:
        detail = f"must be positive and less than {_GROUP_PRIORITY_MAXIMUM}"
        errors.append(invalid("spec.groupPriorityMinimum", spec.group_priority_minimum, detail))
    if not 0 < spec.version_priority <= _VERSION_PRIORITY_MAXIMUM:
        detail = f"must be positive and less than {_VERSION_PRIORITY_MAXIMUM}"
        errors.append(invalid("spec.versionPriority", spec.version_priority, detail))
    if spec.service is None:
        if spec.ca_bundle:
            detail = "local APIServices may not have a caBundle"
            errors.append(invalid("spec.caBundle", f"{len(spec.ca_bundle)} bytes", detail))
        if spec.insecure_skip_tls_verify:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid("spec.insecureSkipTLSVerify", True, detail))
        return
    if not spec.service.namespace:
        errors.append(required("spec.service.namespace"))
    if not spec.service.name:
        errors.append(required("spec.service.name"))
    check_port(spec.service.port or 0, "spec.service.port", errors)
    if spec.insecure_skip_tls_verify and spec.ca_bundle:
        detail = "may not be true if caBundle is present"
        errors.append(invalid("spec.insecureSkipTLSVerify", True, detail))


def _api_service_update(new: APIService, old: APIService) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    errors.extend(_api_service(new))
    return errors


CREATE: Final[dict[type, Any]] = {APIService: _api_service}
UPDATE: Final[dict[type, Any]] = {APIService: _api_service_update}
