"""The loop that follows CustomResourceDefinitions: accepts their names, serves them, and cleans up after them.

created -> names accepted, established (status written) -> endpoints, discovery
changed -> endpoints anew, over a new cache; watches of the old ones end
deleted -> terminating: nothing is created any more -> instances deleted -> finalizer removed -> endpoints gone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tiphys.api import codec, errors
from tiphys.api.scheme import RESOURCES, Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.meta_v1 import DeleteOptions
from tiphys.apiserver import tables
from tiphys.apiserver.customresources import naming
from tiphys.apiserver.customresources.serving import ServedDefinition
from tiphys.apiserver.registry.endpoint import Endpoint
from tiphys.apiserver.registry.options import WriteOptions
from tiphys.apiserver.registry.registry import Registry
from tiphys.apiserver.registry.updating import Changed, Stored
from tiphys.apiserver.routing import RequestInfo, Router
from tiphys.apiserver.watch_cache.history import CacheEvent
from tiphys.apiserver.webhooks.calling import WebhookCaller
from tiphys.base.logging import get_logger
from tiphys.base.workqueue import WorkQueue

_logger = get_logger(__name__)
GROUP: Final = "apiextensions.k8s.io"
PLURAL: Final = "customresourcedefinitions"
FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_OPTIONS: Final = WriteOptions(field_manager="kube-apiserver", field_validation="Ignore")
_INFO: Final = ("", "update", GROUP, "v1", PLURAL)
_DELETIONS_AT_ONCE: Final = 16


Announce = Callable[[list[Resource], dict[str, Any]], None]
"""Told all served resources, and the schemas of the custom ones by their definition's name."""


class Definitions:
    """Serves custom resources while their definitions exist. `announce` is told all served resources after changes."""

    def __init__(
        self, registry: Registry, router: Router, user: Any, announce: Announce, caller: WebhookCaller
    ) -> None:
        self._registry = registry
        self._router = router
        self._user = user
        self._announce = announce
        self._caller = caller
        self._endpoint = registry.endpoint(GROUP, "v1", PLURAL)
        self._served: dict[str, ServedDefinition] = {}
        self._queue: WorkQueue[str] = WorkQueue(initial_seconds=0.1, maximum_seconds=30.0)
        self._endpoint.cache.listen(self._follow)

    async def load(self) -> None:
        """Serve what was defined before this server started."""
        for _ in range(len(self._queue)):
            await self._turn()

    @property
    def resources(self) -> list[Resource]:
        """The custom resources served now."""
        return [resource for served in self._served.values() for resource in served.resources]

    async def run(self) -> None:
        """Until cancelled: follow definitions, one at a time; what fails is tried again."""
        while True:
            await self._turn()

    async def _turn(self) -> None:
        name = await self._queue.get()
        try:
            await self._sync(name)
        except Exception:
            _logger.exception("a custom resource definition could not be followed", definition=name)
            self._queue.add_rate_limited(name)
        else:
            self._queue.forget(name)
        finally:
            self._queue.done(name)

    def _follow(self, event: CacheEvent) -> None:
        obj = event.current or event.previous
        assert obj is not None
        self._queue.add(obj.key)

    async def _sync(self, name: str) -> None:
        definition = self._endpoint.cache.decoded(CustomResourceDefinition, name)
        if definition is None:
            self._withdraw(name)
            return
        if definition.metadata.deletion_timestamp is not None:
            await self._clean_up(name, definition)
            return
        wanted: CustomResourceDefinition = codec.decode(CustomResourceDefinition, codec.encode(definition))
        self._accept(wanted)
        if wanted != definition:
            await self._change(name, self._accept)
            return  # the change brings us here again
        if naming.is_established(definition):
            await self._serve(name, definition)
        else:
            self._withdraw(name)

    def _accept(self, definition: CustomResourceDefinition) -> None:
        naming.accepted(definition, self._definitions(), self._registry.context.times.now())
        if FINALIZER not in definition.metadata.finalizers:
            definition.metadata.finalizers = (*definition.metadata.finalizers, FINALIZER)

    def _definitions(self) -> list[CustomResourceDefinition]:
        cache = self._endpoint.cache
        found = (cache.decoded(CustomResourceDefinition, key) for key in cache.keys)
        return [definition for definition in found if definition is not None]

    async def _serve(self, name: str, definition: CustomResourceDefinition) -> None:
        """Make the definition's versions endpoints, replacing those of its last form."""
        before = self._served.get(name)
        if before is not None and before.definition.spec == definition.spec:
            return
        context = self._registry.context
        served = ServedDefinition(definition, self._caller)
        cache = await served.cache(context)
        cache.listen(lambda event: self._gone(name, served))
        if before is not None:
            self._take_back(before)
        for resource, endpoint in served.endpoints(cache, context):
            self._registry.serve_as(resource, endpoint)
            self._router.add(resource)
        for version in served.served:
            tables.define(served.kinds[version.name].resource, version.additional_printer_columns)
        self._served[name] = served
        self._tell()

    def _gone(self, name: str, served: ServedDefinition) -> None:
        """The last instance of a definition that goes lets it go."""
        kind = served.kinds[served.stored]
        if kind.terminating and self._served.get(name) is served:
            cache = self._registry.context.feed.caches.get((kind.resource.group, kind.resource.plural))
            if cache is not None and not cache.keys:
                self._queue.add(name)

    def _withdraw(self, name: str) -> None:
        served = self._served.pop(name, None)
        if served is None:
            return
        self._take_back(served)
        self._registry.context.feed.remove(served.storage)
        self._tell()
        # Who waited for its names may have them now.
        for other in self._definitions():
            if other.spec.group == served.definition.spec.group:
                self._queue.add(other.metadata.name or "")

    def _take_back(self, served: ServedDefinition) -> None:
        for resource in served.resources:
            self._registry.withdraw(resource)
            self._router.remove(resource)
            tables.define(resource, ())

    def _tell(self) -> None:
        kinds = [served.kinds[version.name] for served in self._served.values() for version in served.served]
        schemas = {kind.resource.definition: kind.schema for kind in kinds}
        self._announce([*RESOURCES, *(kind.resource for kind in kinds)], schemas)

    async def _clean_up(self, name: str, definition: CustomResourceDefinition) -> None:
        """Delete all objects, then let the definition go. Instances that finalizers hold are waited for."""
        if FINALIZER not in definition.metadata.finalizers:
            self._withdraw(name)
            return
        if name not in self._served and naming.is_established(definition):
            await self._serve(name, definition)
        served = self._served.get(name)
        if served is not None:
            for kind in served.kinds.values():
                kind.terminating = True
            await self._say(
                name, definition, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"
            )
            if await self._delete_all(served):
                return
        now = self._registry.context.times.now()

        def release(one: CustomResourceDefinition) -> None:
            naming.terminating(one, "False", "InstanceDeletionCompleted", "removed all instances", now)
            one.metadata.finalizers = tuple(f for f in one.metadata.finalizers if f != FINALIZER)

        await self._change(name, release)

    async def _say(self, name: str, definition: CustomResourceDefinition, status: str, reason: str, text: str) -> None:
        if any(c.type == naming.TERMINATING and c.reason == reason for c in definition.status.conditions):
            return
        now = self._registry.context.times.now()
        await self._change(name, lambda one: naming.terminating(one, status, reason, text, now))

    async def _delete_all(self, served: ServedDefinition) -> bool:
        """Ask every instance to go; True if some are still there."""
        resource = served.storage
        endpoint, cache = self._instances(served)
        waiting = iter([(obj.namespace, obj.name) for obj in cache.in_namespace("")])

        async def worker() -> None:
            for namespace, name in waiting:
                await self._delete(endpoint, resource, namespace, name)

        await asyncio.gather(*(worker() for _ in range(_DELETIONS_AT_ONCE)))
        return bool(cache.keys)

    def _instances(self, served: ServedDefinition) -> tuple[Endpoint, Any]:
        """An endpoint over the kept objects as they are: deletion converts nothing."""
        context = self._registry.context
        resource = served.storage
        cache = context.feed.caches[resource.group, resource.plural]
        return Endpoint(resource, cache, context, None, served.kinds[served.stored]), cache

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
