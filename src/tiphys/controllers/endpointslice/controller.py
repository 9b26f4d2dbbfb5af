"""Keeps the EndpointSlices of each Service with a selector."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_labels
from tiphys.api.types.core_v1 import Node, Pod, Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.base.clock import rfc3339
from tiphys.client import WARNING, ObjectKey
from tiphys.controllers import endpoints_of
from tiphys.controllers.endpointslice import topology
from tiphys.controllers.endpointslice.reconcile import MANAGER, Changes, decide
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import LABEL_INDEX, label_index, with_any_label
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.service_selectors import index_services, selecting

BEHIND_SECONDS: Final = 5.0
"""How long the informer may take to show what was written here."""
_BY_SERVICE: Final = "service-name"


@dataclass(slots=True)
class _Written:
    """The newest versions, by uid, of a Service's slices written here, and when (monotonic)."""

    versions: dict[str, int]
    at_seconds: float


def _service_index(piece: EndpointSlice) -> tuple[str, ...]:
    name = piece.metadata.labels.get(endpoints_of.SERVICE_NAME_LABEL)
    return (f"{piece.metadata.namespace}/{name}",) if name else ()


class EndpointSliceController(KeyedController):
    name = "endpointslice-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("endpoint-slice-controller")
        self._services = environment.informer(Service)
        self._pods = environment.informer(Pod)
        self._nodes = environment.informer(Node)
        self._slices = environment.informer(EndpointSlice)
        self._triggers: dict[ObjectKey, float] = {}
        self._written: dict[ObjectKey, _Written] = {}
        index_services(self._services)
        self._pods.add_index(LABEL_INDEX, label_index)
        self._slices.add_index(_BY_SERVICE, _service_index)
        self.watch(self._services)
        self._pods.add_handler(on_add=self._pod_changed, on_update=self._pod_updated, on_delete=self._pod_changed)
        self._nodes.add_handler(on_add=self._node_changed, on_update=self._node_updated, on_delete=self._node_changed)
        self._slices.add_handler(on_add=self._slice_changed, on_update=self._slice_updated, on_delete=self._slice_gone)

    async def sync(self, key: ObjectKey) -> None:
        service = self._services.get(key.name, key.namespace)
        if service is None:
            self._triggers.pop(key, None)
            self._written.pop(key, None)
            return
        if not endpoints_of.has_selector(service):
            return
        existing = self._existing(key)
        if existing is None:
            # Our own last writes have not come back yet; they will, and bring the key with them.
            self.queue.add_after(key, BEHIND_SECONDS)
            return
        selector = from_labels(service.spec.selector)
        pods = with_any_label(self._pods, key.namespace, service.spec.selector)
        backing = [pod for pod in pods if selector.matches(pod.metadata.labels)]
        nodes = {pod.spec.node_name: self._nodes.get(pod.spec.node_name) for pod in backing if pod.spec.node_name}
        known = {name: node for name, node in nodes.items() if node is not None}
        moment = self._triggers.pop(key, None)
        cpus = topology.zone_cpus(self._nodes.list()) if topology.wants_hints(service) else None
        when = rfc3339(moment) if moment else None
        changes = decide(service, backing, known, existing, trigger_time=when, cpus=cpus)
        try:
            await self._write(key, changes)
        except ApiError as error:
            if not is_terminating_namespace(error):
                text = f"Error updating Endpoint Slices for Service {key}: {error}"
                self._recorder.event(service, WARNING, "FailedToUpdateEndpointSlices", text)
                raise

    def _existing(self, key: ObjectKey) -> list[EndpointSlice] | None:
        """The Service's slices of ours, or None while the informer is behind what was written here."""
        found = [
            piece
            for piece in self._slices.by_index(_BY_SERVICE, f"{key.namespace}/{key.name}")
            if piece.metadata.labels.get(endpoints_of.MANAGED_BY_LABEL) == MANAGER
            and piece.metadata.deletion_timestamp is None
        ]
        written = self._written.get(key)
        if written is None or self._clock.monotonic() - written.at_seconds > BEHIND_SECONDS:
            return found
        shown = {piece.metadata.uid or "": int(piece.metadata.resource_version or 0) for piece in found}
        behind = any(shown.get(uid, 0) < version for uid, version in written.versions.items())
        return None if behind else found

    async def _write(self, key: ObjectKey, changes: Changes) -> None:
        work: list[Awaitable[EndpointSlice | None]] = [
            *(self._client.create(piece) for piece in changes.create),
            *(self._client.update(piece) for piece in changes.update),
            *(self._delete(piece) for piece in changes.delete),
        ]
        results = await asyncio.gather(*work, return_exceptions=True)
        versions = {
            result.metadata.uid or "": int(result.metadata.resource_version or 0)
            for result in results
            if isinstance(result, EndpointSlice)
        }
        self._written[key] = _Written(versions, self._clock.monotonic())
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _delete(self, piece: EndpointSlice) -> None:
        try:
            await self._client.delete(
                EndpointSlice, piece.metadata.name or "", piece.metadata.namespace or "", uid=piece.metadata.uid or ""
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _trigger(self, pod: Pod) -> None:
        for key in selecting(self._services, pod):
            # The first change since the last write is what consumers measure their delay from.
            self._triggers.setdefault(key, self._clock.now())
            self.queue.add(key)

    def _pod_changed(self, pod: Pod) -> None:
        self._trigger(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if not endpoints_of.endpoints_differ(old, new):
            return
        self._trigger(new)
        if old.metadata.labels != new.metadata.labels:
            self._trigger(old)

    def _node_changed(self, _: Node) -> None:
        """Services that spread their endpoints over zones do so by the nodes these have."""
        for service in self._services.list():
            if topology.wants_hints(service):
                self.enqueue(service)

    def _node_updated(self, old: Node, new: Node) -> None:
        if topology.zone_cpus((old,)) != topology.zone_cpus((new,)):
            self._node_changed(new)

    def _slice_key(self, piece: EndpointSlice) -> ObjectKey | None:
        name = piece.metadata.labels.get(endpoints_of.SERVICE_NAME_LABEL)
        if not name or piece.metadata.labels.get(endpoints_of.MANAGED_BY_LABEL) != MANAGER:
            return None
        return ObjectKey(piece.metadata.namespace or "", name)

    def _slice_changed(self, piece: EndpointSlice) -> None:
        key = self._slice_key(piece)
        if key is not None:
            self.queue.add(key)

    def _slice_updated(self, old: EndpointSlice, new: EndpointSlice) -> None:
        self._slice_changed(new)
        if self._slice_key(old) != self._slice_key(new):
            self._slice_changed(old)

    def _slice_gone(self, piece: EndpointSlice) -> None:
        key = self._slice_key(piece)
        if key is not None:
            written = self._written.get(key)
            if written is not None:
                written.versions.pop(piece.metadata.uid or "", None)
            self.queue.add(key)
