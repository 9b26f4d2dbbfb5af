"""Mirrors Endpoints of Services without a selector into EndpointSlices."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Endpoints, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.client import ObjectKey
from tiphys.controllers import endpoints_of
from tiphys.controllers.endpointslicemirroring.reconcile import MANAGER, decide
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.runtime import Environment, KeyedController

_BY_SERVICE = "mirrored-service"


def _service_index(piece: EndpointSlice) -> tuple[str, ...]:
    labels = piece.metadata.labels
    if labels.get(endpoints_of.MANAGED_BY_LABEL) != MANAGER:
        return ()
    return (f"{piece.metadata.namespace}/{labels.get(endpoints_of.SERVICE_NAME_LABEL, '')}",)


class EndpointSliceMirroringController(KeyedController):
    name = "endpointslice-mirroring-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._endpoints = environment.informer(Endpoints)
        self._services = environment.informer(Service)
        self._slices = environment.informer(EndpointSlice)
        self._slices.add_index(_BY_SERVICE, _service_index)
        self._endpoints.add_handler(
            on_add=self._endpoints_seen, on_update=lambda _, new: self._endpoints_seen(new), on_delete=self.enqueue
        )
        self._services.add_handler(on_add=self._service_seen, on_update=self._service_changed, on_delete=self.enqueue)
        self._slices.add_handler(on_delete=self._slice_gone)

    async def sync(self, key: ObjectKey) -> None:
        endpoints = self._endpoints.get(key.name, key.namespace)
        service = self._services.get(key.name, key.namespace)
        existing = self._slices.by_index(_BY_SERVICE, f"{key.namespace}/{key.name}")
        changes = decide(endpoints, service, existing)
        try:
            for piece in changes.create:
                await self._client.create(piece)
            for piece in changes.update:
                await self._client.update(piece)
        except ApiError as error:
            # What is there already is what an earlier pass made; the informer will show it.
            if error.reason != "AlreadyExists" and not is_terminating_namespace(error):
                raise
        for piece in changes.delete:
            name, uid = piece.metadata.name or "", piece.metadata.uid or ""
            try:
                await self._client.delete(EndpointSlice, name, key.namespace, uid=uid)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    def _endpoints_seen(self, endpoints: Endpoints) -> None:
        service = self._services.get(endpoints.metadata.name or "", endpoints.metadata.namespace or "")
        # Those of Services with a selector change often and are never mirrored.
        if service is None or not service.spec.selector:
            self.enqueue(endpoints)

    def _service_seen(self, service: Service) -> None:
        if not service.spec.selector:
            self.enqueue(service)

    def _service_changed(self, old: Service, new: Service) -> None:
        if bool(old.spec.selector) != bool(new.spec.selector):
            self.enqueue(new)

    def _slice_gone(self, piece: EndpointSlice) -> None:
        if piece.metadata.labels.get(endpoints_of.MANAGED_BY_LABEL) == MANAGER:
            name = piece.metadata.labels.get(endpoints_of.SERVICE_NAME_LABEL, "")
            self.queue.add(ObjectKey(piece.metadata.namespace or "", name))
