"""NamespaceLifecycle: nothing is made in a namespace that is missing or ending; some namespaces stay."""

from __future__ import annotations

from typing import Final

import msgspec

from tiphys.api import errors
from tiphys.api.types.core_v1 import Namespace
from tiphys.api.types.meta_v1 import StatusCause, StatusDetails
from tiphys.apiserver.admission.chain import CREATE, DELETE, Base, Lookup, refuse
from tiphys.apiserver.registry.context import Write

_IMMORTAL: Final = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Base):
    """For every namespaced object, and for namespaces."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def concerns(self, group: str, plural: str, operation: str, subresource: str) -> bool:
        if plural == "namespaces" and not group:
            return operation == DELETE
        return operation != DELETE and plural != "localsubjectaccessreviews"

    def admit(self, write: Write) -> None:
        if write.operation == DELETE:
            if write.name in _IMMORTAL:
                raise errors.forbidden("namespaces", write.name, "this namespace may not be deleted")
            return
        if not write.resource.namespaced:
            return
        namespace = self._lookup.get(Namespace, write.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", write.namespace)
        if write.operation == CREATE and namespace.status.phase == "Terminating":
            text = f"unable to create new content in namespace {write.namespace} because it is being terminated"
            error = refuse(write, text)
            cause = StatusCause(
                reason="NamespaceTerminating",
                message=f"namespace {write.namespace} is being terminated",
                field="metadata.namespace",
            )
            details = error.status.details or StatusDetails()
            error.status.details = msgspec.structs.replace(details, causes=(cause,))
            raise error
