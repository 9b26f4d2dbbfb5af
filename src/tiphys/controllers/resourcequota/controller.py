"""Keeps the status of ResourceQuotas: counted anew when something in their namespace comes, goes or finishes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tiphys.api.quota import Amounts, in_scope, of_object, of_other, of_pod
from tiphys.api.scheme import Resource
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import (
    ConfigMap,
    PersistentVolumeClaim,
    Pod,
    ReplicationController,
    ResourceQuota,
    Secret,
    Service,
)
from tiphys.client import ObjectKey, View, metadata_only
from tiphys.controllers.discovery import Discovery, discover
from tiphys.controllers.pods import is_terminal
from tiphys.controllers.resourcequota.reconcile import status, total
from tiphys.controllers.runtime import Environment, KeyedController

_SETTLE_SECONDS: Final = 0.05
_KINDS: Final = (ConfigMap, PersistentVolumeClaim, ReplicationController, Secret, Service, Deployment, ReplicaSet)
_MORE_KINDS: Final = (StatefulSet, Job)


class ResourceQuotaController(KeyedController):
    """Watches what quotas commonly limit; other ``count/…`` resources are listed when a quota names them."""

    name = "resourcequota-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._quotas = environment.informer(ResourceQuota)
        self._pods = environment.informer(Pod)
        self._informers = [environment.informer(kind) for kind in (*_KINDS, *_MORE_KINDS)]
        self._known = {informer.view.resource.qualified: informer for informer in self._informers}
        self._discovery: Discovery | None = None
        self._quotas.add_handler(on_add=self._quota_seen, on_update=self._quota_changed, on_delete=self._gone)
        self._pods.add_handler(on_add=self._came, on_update=self._pod_changed, on_delete=self._gone)
        for informer in self._informers:
            informer.add_handler(on_add=self._came, on_update=self._object_changed, on_delete=self._gone)

    async def sync(self, key: ObjectKey) -> None:
        quota = self._quotas.get(key.name, key.namespace)
        if quota is None:
            return
        wanted = status(quota, total(await self._parts(quota)))
        if wanted != quota.status:
            await self._client.update_status(msgspec.structs.replace(quota, status=wanted))

    async def _parts(self, quota: ResourceQuota) -> list[Amounts]:
        namespace = quota.metadata.namespace or ""
        parts = [of_pod(pod) for pod in self._pods.list(namespace) if in_scope(quota, pod)]
        if quota.spec.scopes or quota.spec.scope_selector:
            return parts
        for informer in self._informers:
            parts += self._counted(informer.view.resource, informer.list(namespace))
        parts += [of_other("resourcequotas", "") for _ in self._quotas.list(namespace)]
        for name in quota.spec.hard:
            counted = name.removeprefix("count/")
            if counted != name and counted not in self._known and counted not in ("pods", "resourcequotas"):
                parts += await self._listed(counted, namespace)
        return parts

    @staticmethod
    def _counted(resource: Resource, objects: Iterable[Any]) -> list[Amounts]:
        return [of_object(resource.qualified, resource.plural, resource.group, obj) for obj in objects]

    async def _listed(self, qualified: str, namespace: str) -> list[Amounts]:
        if self._discovery is None:
            self._discovery = await discover(self._client)
        found = next((r for r in self._discovery.resources if r.qualified == qualified and r.namespaced), None)
        if found is None:
            self._discovery = None
            return []
        view: View[Any] = metadata_only(found)
        objects = await self._client.list(view, namespace)
        return [of_other(found.plural, found.group) for _ in objects.items]

    def _look(self, namespace: str) -> None:
        for quota in self._quotas.list(namespace):
            # Objects come in crowds: one count a moment later serves them all.
            self.queue.add_after(ObjectKey(namespace, quota.metadata.name or ""), _SETTLE_SECONDS)

    def _quota_seen(self, quota: ResourceQuota) -> None:
        self.enqueue(quota)

    def _quota_changed(self, old: ResourceQuota, new: ResourceQuota) -> None:
        if old.spec != new.spec or old.status != new.status:
            self.enqueue(new)

    def _came(self, obj: Any) -> None:
        self._look(obj.metadata.namespace or "")

    def _gone(self, obj: Any) -> None:
        self._look(obj.metadata.namespace or "")

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if is_terminal(old) != is_terminal(new) or old.spec != new.spec:
            self._look(new.metadata.namespace or "")

    def _object_changed(self, old: Any, new: Any) -> None:
        if isinstance(new, Service | PersistentVolumeClaim) and old.spec != new.spec:
            self._look(new.metadata.namespace or "")
