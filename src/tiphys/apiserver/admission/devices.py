"""Administrators' access to devices that others use: only in namespaces that are labelled for it."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import errors
from tiphys.api.field_errors import forbidden
from tiphys.api.types.core_v1 import Namespace
from tiphys.api.types.resource_v1 import DeviceClaim, ResourceClaimTemplate
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Base, Lookup
from tiphys.apiserver.registry.context import Write

GROUP: Final = "resource.k8s.io"
LABEL: Final = "resource.kubernetes.io/admin-access"
_CLAIMS: Final = frozenset(("resourceclaims", "resourceclaimtemplates"))


class DeviceAdminAccess(Base):
    """Upstream asks this in its strategies: of new claims and templates, and of claims that are given devices."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if group != GROUP or plural not in _CLAIMS:
            return False
        return operation == CREATE or (operation == UPDATE and subresource == "status")

    def validate(self, write: Write) -> None:
        path = _asked(write.obj) if write.operation == CREATE else _given(write)
        if not path:
            return
        namespace = self._lookup.get(Namespace, write.namespace)
        if namespace is not None and namespace.metadata.labels.get(LABEL) == "true":
            return
        detail = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"
        kind = f"{write.resource.kind}.{GROUP}"
        raise errors.invalid(kind, write.obj.metadata.name or "", [forbidden(path, detail)])


def _asked(obj: Any) -> str:
    """The path of the first request for such access, "" if there is none."""
    spec = obj.spec.spec if isinstance(obj, ResourceClaimTemplate) else obj.spec
    devices: DeviceClaim = spec.devices or DeviceClaim()
    for index, request in enumerate(devices.requests):
        if request.exactly is not None and request.exactly.admin_access:
            return f"spec.devices.requests[{index}].adminAccess"
    return ""


def _given(write: Write) -> str:
    """The path of the first device given with such access by this write, "" if there is none."""
    allocation = write.obj.status.allocation
    if allocation is None or allocation.devices is None or write.old.status.allocation is not None:
        return ""
    for index, result in enumerate(allocation.devices.results):
        if result.admin_access:
            return f"status.allocation.devices.results[{index}].adminAccess"
    return ""
