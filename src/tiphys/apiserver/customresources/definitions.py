"""The loop that follows CustomResourceDefinitions: accepts their names, serves them, and cleans up after them.

created -> names accepted, established (status written) -> endpoints, discovery
deleted -> terminating -> instances deleted -> finalizer removed -> endpoints, discovery gone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.api.types.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionStatus,
)
from tiphys.api.types.meta_v1 import DeleteOptions
from tiphys.apiserver import tables
from tiphys.apiserver.customresources.kinds import CustomKind
from tiphys.apiserver.customresources.scales import CustomScale
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.registry.views import View
from tiphys.apiserver.routing import RequestInfo, Router
from tiphys.apiserver.subresources.scale import ScaleSubresource
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
GROUP: Final = "apiextensions.k8s.io"
PLURAL: Final = "customresourcedefinitions"
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_OPTIONS: Final = WriteOptions(field_manager="kube-apiserver", field_validation="Ignore")
_INFO: Final = ("", "update", GROUP, "v1", PLURAL)


Announce = Callable[[list[Resource], dict[str, Any]], None]
"""Told all served resources, and the schemas of the custom ones by their definition's name."""


class Definitions:
    """Serves custom resources while their definitions exist. `announce` is told all served resources after changes."""

    def __init__(self, registry: Registry, router: Router, user: Any, announce: Announce) -> None:
        self._registry = registry
        self._router = router
        self._user = user
        self._announce = announce
        self._endpoint = registry.endpoint(GROUP, "v1", PLURAL)
        self._served: dict[str, list[CustomKind]] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._endpoint.cache.listen(self._follow)

    async def load(self) -> None:
        """Serve what was defined before this server started."""
        while not self._queue.empty():
            await self._sync(self._queue.get_nowait())

    @property
    def resources(self) -> list[Resource]:
        """The custom resources served now."""
        return [kind.resource for served in self._served.values() for kind in served]

    async def run(self) -> None:
        """Until cancelled: follow definitions, one at a time; what fails is tried again."""
        backoff = Backoff(initial_seconds=0.1, maximum_seconds=30.0)
        while True:
            name = await self._queue.get()
            try:
                await self._sync(name)
                backoff.reset()
            except Exception:
                _logger.exception("a custom resource definition could not be followed", definition=name)
                await asyncio.sleep(backoff.next_seconds())
                self._queue.put_nowait(name)

    def _follow(self, event: CacheEvent) -> None:
        obj = event.current or event.previous
        assert obj is not None
        self._queue.put_nowait(obj.key)

    async def _sync(self, name: str) -> None:
        definition = self._endpoint.cache.decoded(CustomResourceDefinition, name)
        if definition is None:
            self._withdraw(name)
        elif definition.metadata.deletion_timestamp is not None:
            await self._clean_up(name, definition)
        else:
            if not _is_established(definition) or FINALIZER not in definition.metadata.finalizers:
                await self._change(name, self._accepted)
            await self._serve(name, definition)

    async def _serve(self, name: str, definition: CustomResourceDefinition) -> None:
        """Make the definition's versions endpoints, replacing those of its last form."""
        storage = next((v for v in definition.spec.versions if v.storage), None)
        if storage is None:
            return
        kept = CustomKind(definition, storage)
        context = self._registry.context
        cache = await context.feed.add(kept.resource)
        served: list[CustomKind] = []
        endpoints: list[tuple[Resource, Endpoint]] = []
        for version in definition.spec.versions:
            if not version.served:
                continue
            kind = kept if version.storage else CustomKind(definition, version)
            tables.define(kind.resource, version.additional_printer_columns)
            view = None if version.storage else View(kind.resource, kept.resource, dict, dict)
            endpoint = Endpoint(kept.resource, cache, context, view, kept)
            if kind.scale is not None:
                endpoint.subresources["scale"] = ScaleSubresource(endpoint, CustomScale(kind.scale))
            endpoints.append((kind.resource, endpoint))
            served.append(kind)
        self._withdraw(name, announce=False)
        for resource, endpoint in endpoints:
            self._registry.serve_as(resource, endpoint)
            self._router.add(resource)
        self._served[name] = served
        self._tell()

    def _withdraw(self, name: str, *, announce: bool = True) -> None:
        for resource in (kind.resource for kind in self._served.pop(name, [])):
            self._registry.withdraw(resource)
            self._router.remove(resource)
            if announce:
                tables.define(resource, ())
        if announce:
            self._tell()

    def _tell(self) -> None:
        kinds = [kind for served in self._served.values() for kind in served]
        schemas = {kind.resource.definition: kind.schema for kind in kinds}
        self._announce([*RESOURCES, *(kind.resource for kind in kinds)], schemas)

    async def _clean_up(self, name: str, definition: CustomResourceDefinition) -> None:
        """Delete all objects, then let the definition go."""
        if FINALIZER not in definition.metadata.finalizers:
            return
        served = self._served.get(name)
        if served:
            resource = served[0].resource
            endpoint = self._registry.of(resource)
            for obj in list(endpoint.cache.in_namespace("")):
                await self._delete(endpoint, resource, obj.namespace, obj.name)
            if endpoint.cache.keys:
                # Their finalizers hold them; the definition is looked at again when time has passed.
                raise errors.service_unavailable(f"instances of {name} remain")
        await self._change(name, _released)

    async def _delete(self, endpoint: Endpoint, resource: Resource, namespace: str, name: str) -> None:
        info = RequestInfo(
            "", "delete", resource.group, resource.version, resource.plural, namespace, name, target=resource
        )
        try:
            await endpoint.deleter.delete_object(info, DeleteOptions(), self._user, [])
        except errors.ApiError as error:
            if error.reason != "NotFound":
                raise

    async def _change(self, name: str, make: Callable[[CustomResourceDefinition], None]) -> None:
        info = RequestInfo(*_INFO, "", name, "status", target=self._endpoint.resource)

        def change(stored: Stored) -> Changed:
            definition = codec.decode(CustomResourceDefinition, stored.value)
            make(definition)
            return Changed(definition, raw=True)

        try:
            await self._endpoint.updater.change(info, change, _OPTIONS, self._user, [])
        except errors.ApiError as error:
            if error.reason != "NotFound":
                raise

    def _accepted(self, definition: CustomResourceDefinition) -> None:
        """The definition once its names are its own and it is served."""
        now = self._registry.context.times.now()
        conditions = (
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
            _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
        )
        status = definition.status
        definition.status = CustomResourceDefinitionStatus(
            accepted_names=definition.spec.names, conditions=conditions, stored_versions=status.stored_versions
        )
        if FINALIZER not in definition.metadata.finalizers:
            definition.metadata.finalizers = (*definition.metadata.finalizers, FINALIZER)


def _released(definition: CustomResourceDefinition) -> None:
    definition.metadata.finalizers = tuple(f for f in definition.metadata.finalizers if f != FINALIZER)


def _is_established(definition: CustomResourceDefinition) -> bool:
    return any(c.type == "Established" and c.status == "True" for c in definition.status.conditions)


def _condition(kind: str, reason: str, message: str, now: str) -> CustomResourceDefinitionCondition:
    return CustomResourceDefinitionCondition(
        type=kind, status="True", reason=reason, message=message, last_transition_time=now
    )
