"""Deletes what is in a namespace that is being deleted: pods first, then everything the apiserver serves."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.scheme import Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.apiregistration_v1 import APIService
from tiphys.api.types.core_v1 import Namespace, Pod
from tiphys.client import ObjectKey, PartialObject, metadata_only
from tiphys.controllers.discovery import Discovery, discover
from tiphys.controllers.namespace.reconcile import FINALIZER, Emptied, finalized, status
from tiphys.controllers.runtime import Environment, KeyedController

CONCURRENT_RESOURCES: Final = 16
ATTEMPTS: Final = 3
FIRST_LOOK_SECONDS: Final = 0.2
LAST_LOOK_SECONDS: Final = 10.0


class NamespaceController(KeyedController):
    """What remains after a pass is looked at again after a growing delay, and as soon as a pod is gone."""

    name = "namespace-controller"
    workers = 10

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._namespaces = environment.informer(Namespace)
        self._discovery: Discovery | None = None
        self._delays: dict[str, float] = {}
        self._concurrent = asyncio.Semaphore(CONCURRENT_RESOURCES)
        self._namespaces.add_handler(
            on_add=self._changed, on_update=lambda _, new: self._changed(new), on_delete=self._deleted
        )
        environment.informer(Pod).add_handler(on_delete=self._pod_deleted)
        environment.informer(CustomResourceDefinition).add_handler(
            on_add=self._forget_discovery,
            on_update=lambda _, new: self._forget_discovery(new),
            on_delete=self._forget_discovery,
        )

        environment.informer(APIService).add_handler(
            on_add=self._service_changed,
            on_update=lambda _, new: self._service_changed(new),
            on_delete=self._service_changed,
        )

    async def sync(self, key: ObjectKey) -> None:
        cached = self._namespaces.get(key.name)
        if cached is None or cached.metadata.deletion_timestamp is None or FINALIZER not in cached.spec.finalizers:
            return
        namespace = await self._read(key.name)
        if namespace is None or namespace.metadata.uid != cached.metadata.uid:
            return
        emptied = await self._empty(key.name)
        wanted = status(namespace, emptied, self._clock.now())
        if wanted != namespace.status:
            namespace = await self._client.update_status(msgspec.structs.replace(namespace, status=wanted))
        if emptied.is_empty:
            await self._client.update(finalized(namespace), subresource="finalize")
            self._delays.pop(key.name, None)
            return
        seconds = self._delays.get(key.name, FIRST_LOOK_SECONDS)
        self._delays[key.name] = min(2 * seconds, LAST_LOOK_SECONDS)
        self.queue.add_after(key, seconds)

    async def _read(self, name: str) -> Namespace | None:
        try:
            return await self._client.get(Namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def _empty(self, namespace: str) -> Emptied:
        found = self._discovery
        if found is None or found.failed:
            found = self._discovery = await discover(self._client, found)
        emptied = Emptied(discovery_failures=list(found.failed), unavailable=found.unavailable)
        resources = [r for r in found.with_verbs("list", "delete") if r.namespaced]
        pods = [r for r in resources if r.qualified == "pods"]
        others = [r for r in resources if r.qualified != "pods" and (r.group, r.plural) != ("events.k8s.io", "events")]
        await self._empty_all(namespace, pods, emptied)
        if not emptied.remaining and not emptied.deletion_failures:
            await self._empty_all(namespace, others, emptied)
        return emptied

    async def _empty_all(self, namespace: str, resources: list[Resource], emptied: Emptied) -> None:
        async def one(resource: Resource) -> None:
            async with self._concurrent:
                try:
                    left = await self._persistently(namespace, resource)
                except ApiError as error:
                    if error.code not in (404, 405):
                        emptied.deletion_failures.append(f"{resource.qualified}: {error}")
                    return
                except (OSError, TimeoutError) as error:
                    # The other resources need not wait for this one's next chance.
                    emptied.deletion_failures.append(f"{resource.qualified}: {error}")
                    return
            if left:
                emptied.remaining[f"{resource.plural}.{resource.group}"] = len(left)
            for obj in left:
                for finalizer in obj.metadata.finalizers:
                    emptied.finalizers[finalizer] = emptied.finalizers.get(finalizer, 0) + 1

        await asyncio.gather(*(one(resource) for resource in resources))

    async def _persistently(self, namespace: str, resource: Resource) -> tuple[PartialObject, ...]:
        """As `_empty_resource`; a lost answer is asked for again, since one of so many is soon lost."""
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._empty_resource(namespace, resource)
            except (OSError, TimeoutError):
                await self._clock.sleep(FIRST_LOOK_SECONDS)
        return await self._empty_resource(namespace, resource)

    async def _empty_resource(self, namespace: str, resource: Resource) -> tuple[PartialObject, ...]:
        view = metadata_only(resource)
        found = (await self._client.list(view, namespace)).items
        if not found:
            return ()
        if all(obj.metadata.deletion_timestamp for obj in found):
            return found
        if "deletecollection" in resource.verbs:
            await self._client.delete_collection(view, namespace, propagation_policy="Background")
        else:
            for obj in found:
                await self._client.delete(view, obj.metadata.name or "", namespace, propagation_policy="Background")
        return (await self._client.list(view, namespace)).items

    def _changed(self, namespace: Namespace) -> None:
        if namespace.metadata.deletion_timestamp is not None:
            self.enqueue(namespace)

    def _deleted(self, namespace: Namespace) -> None:
        self._delays.pop(namespace.metadata.name or "", None)

    def _pod_deleted(self, pod: Pod) -> None:
        name = pod.metadata.namespace or ""
        namespace = self._namespaces.get(name)
        if namespace is not None and namespace.metadata.deletion_timestamp is not None:
            # Several go together: one look a moment later serves them all.
            self.queue.add_after(ObjectKey("", name), 0.02)

    def _service_changed(self, service: APIService) -> None:
        # What other servers serve changes when they come and go.
        if service.spec.service is not None:
            self._discovery = None

    def _forget_discovery(self, _: CustomResourceDefinition) -> None:
        self._discovery = None
