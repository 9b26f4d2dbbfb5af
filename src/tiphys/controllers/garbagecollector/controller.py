"""Watches the metadata of all resources and carries out what the graph of owners asks for."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tiphys.api.errors import ApiError, not_found
from tiphys.api.scheme import Resource
from tiphys.api.types.apiextensions_v1 import CustomResourceDefinition
from tiphys.api.types.apiregistration_v1 import APIService
from tiphys.api.types.meta_v1 import OwnerReference
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.base.workqueue import ShutDown, WorkQueue
from tiphys.client import Informer, metadata_only
from tiphys.controllers.discovery import Discovery, discover
from tiphys.controllers.garbagecollector import reconcile
from tiphys.controllers.garbagecollector.graph import ORPHAN, Graph, Node
from tiphys.controllers.garbagecollector.reconcile import OwnerState
from tiphys.controllers.runtime import Controller, Environment

WORKERS: Final = 20
RETRY_SECONDS_MAX: Final = 10.0
_IGNORED: Final = frozenset((("", "events"), ("events.k8s.io", "events")))
_DISCOVERY: Final = "discovery"
_logger = get_logger(__name__)


class GarbageCollector(Controller):
    name = "garbage-collector-controller"

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._client = environment.client
        self.graph = Graph()
        self._queue: WorkQueue[str] = WorkQueue(maximum_seconds=RETRY_SECONDS_MAX)
        self._rediscover: WorkQueue[str] = WorkQueue(maximum_seconds=RETRY_SECONDS_MAX)
        self._resources: dict[tuple[str, str], Resource] = {}
        self._informers: dict[tuple[str, str], tuple[Informer[Any], asyncio.Task[None] | None]] = {}
        self._found: Discovery | None = None
        self._supervisor = Supervisor("garbage-collector")
        definitions = environment.informer(CustomResourceDefinition)
        definitions.add_handler(
            on_add=self._definition_changed,
            on_update=lambda _, new: self._definition_changed(new),
            on_delete=self._definition_changed,
        )

        services = environment.informer(APIService)
        services.add_handler(
            on_add=self._service_changed,
            on_update=lambda _, new: self._service_changed(new),
            on_delete=self._service_changed,
        )

    async def run(self) -> None:
        async with self._supervisor as supervisor:
            self._rediscover.add(_DISCOVERY)
            supervisor.spawn(self._discover, "discover")
            for number in range(WORKERS):
                supervisor.spawn(self._work, f"worker-{number}")
            await supervisor.wait()

    def _definition_changed(self, _: CustomResourceDefinition) -> None:
        # Its paths are served a moment later. What was served before may have another version by then.
        self._found = None
        self._rediscover.add_after(_DISCOVERY, 1.0)

    def _service_changed(self, service: APIService) -> None:
        # Of the groups that other servers serve; ours are known.
        if service.spec.service is not None:
            self._found = None
            self._rediscover.add_after(_DISCOVERY, 1.0)

    async def _discover(self) -> None:
        while True:
            key = await self._rediscover.get()
            try:
                await self._follow_resources()
            except (ApiError, OSError, TimeoutError) as error:
                seconds = self._rediscover.add_rate_limited(key)
                _logger.info("discovery failed", error=str(error), again_in_seconds=seconds)
            else:
                self._rediscover.forget(key)
            finally:
                self._rediscover.done(key)

    async def _follow_resources(self) -> None:
        found = self._found = await discover(self._client, self._found)
        served = {
            (r.group, r.plural): r
            for r in found.with_verbs("list", "watch", "delete")
            if (r.group, r.plural) not in _IGNORED
        }
        self._resources = {(r.group, r.kind): r for r in served.values()}
        failed = {name.partition("/")[0] for name in found.failed}
        for key in [key for key in self._informers if key not in served and key[0] not in failed]:
            self._unfollow(key)
        for key, resource in served.items():
            if key not in self._informers:
                self._follow(key, resource)
        if found.failed:
            raise ConnectionError(f"no answer of {', '.join(found.failed)}")

    def _follow(self, key: tuple[str, str], resource: Resource) -> None:
        informer = self._environment.informers.of_resource(resource)
        task: asyncio.Task[None] | None = None
        if informer is None:
            informer = Informer(self._client, metadata_only(resource), clock=self._environment.clock)
            task = self._supervisor.spawn(informer.run, f"informer/{resource.qualified}")
        self._informers[key] = (informer, task)
        informer.add_handler(
            on_add=lambda obj: self._seen(resource, obj),
            on_update=lambda _, obj: self._seen(resource, obj),
            on_delete=self._gone,
        )

    def _unfollow(self, key: tuple[str, str]) -> None:
        informer, task = self._informers.pop(key)
        if task is not None:
            task.cancel()
        for node in self.graph.of_resource(informer.view.resource):
            self._touch(self.graph.removed(node.uid))

    def _seen(self, resource: Resource, obj: Any) -> None:
        meta = obj.metadata
        self._touch(
            self.graph.observed(
                resource,
                uid=meta.uid or "",
                namespace=meta.namespace or "",
                name=meta.name or "",
                resource_version=meta.resource_version or "",
                owners=meta.owner_references,
                finalizers=meta.finalizers,
                deleting=meta.deletion_timestamp is not None,
            )
        )

    def _gone(self, obj: Any) -> None:
        self._touch(self.graph.removed(obj.metadata.uid or ""))

    def _touch(self, uids: set[str]) -> None:
        for uid in uids:
            self._queue.add(uid)

    async def _work(self) -> None:
        while True:
            try:
                uid = await self._queue.get()
            except ShutDown:
                return
            try:
                await self._look_at(uid)
                self._queue.forget(uid)
            except (ApiError, OSError, TimeoutError) as error:
                self._queue.add_rate_limited(uid)
                if not isinstance(error, ApiError) or error.code != 409:
                    _logger.info("garbage collection of an object failed", uid=uid, error=str(error))
            finally:
                self._queue.done(uid)

    async def _look_at(self, uid: str) -> None:
        node = self.graph.nodes.get(uid)
        if node is None:
            return
        if node.virtual:
            await self._verify(node)
            return
        known = {ref.uid: state for ref in node.owners if (state := self._known(node, ref)) is not None}
        action = reconcile.decide(node, known, self.graph.dependents(uid))
        if isinstance(action, reconcile.LookUp):
            found = {ref.uid: await self._ask(node, ref) for ref in action.references}
            action = reconcile.decide(node, {**known, **found}, self.graph.dependents(uid))
        await self._carry_out(node, action)

    def _known(self, node: Node, ref: OwnerReference) -> OwnerState | None:
        """What the graph says of an owner; None if it must be asked for."""
        owner = self.graph.nodes.get(ref.uid)
        if owner is not None and not owner.virtual and owner.namespace in ("", node.namespace):
            return OwnerState.WAITING if owner.deleting_dependents else OwnerState.SOLID
        return OwnerState.DANGLING if self.graph.is_absent(node.namespace, ref.uid) else None

    async def _verify(self, node: Node) -> None:
        """Is an owner that was never seen there at all?"""
        if node.reference is None:
            if not any(d.owners for d in self.graph.dependents(node.uid)):
                self.graph.nodes.pop(node.uid, None)
            return
        if await self._ask(node, node.reference) is OwnerState.DANGLING:
            current = self.graph.nodes.get(node.uid)
            if current is not None and current.virtual:
                self._touch(set(current.dependents))

    async def _ask(self, node: Node, ref: OwnerReference) -> OwnerState:
        """What the apiserver says of an owner."""
        group, _, _ = ref.api_version.rpartition("/")
        resource = self._resources.get((group, ref.kind))
        if resource is None:
            raise not_found(f"{ref.kind}.{group}" if group else ref.kind, ref.name)
        if resource.namespaced and not node.namespace:
            # A cluster-scoped object cannot be owned by a namespaced one: whether that exists cannot be known.
            return OwnerState.SOLID
        namespace = node.namespace if resource.namespaced else ""
        try:
            found = await self._client.get(metadata_only(resource), ref.name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            found = None
        if found is None or found.metadata.uid != ref.uid:
            self.graph.remember_absent(namespace, ref.uid)
            return OwnerState.DANGLING
        waiting = found.metadata.deletion_timestamp is not None and "foregroundDeletion" in found.metadata.finalizers
        return OwnerState.WAITING if waiting else OwnerState.SOLID

    async def _carry_out(self, node: Node, action: reconcile.Action) -> None:
        match action:
            case reconcile.Delete(policy):
                await self._delete(node, policy)
            case reconcile.DropOwners(uids):
                await self._drop_owners(node, uids)
            case reconcile.Unblock():
                kept = [{**_reference(ref), "blockOwnerDeletion": False} for ref in node.owners]
                await self._patch(node, {"ownerReferences": kept})
                await self._delete(node, "Foreground", at_version=False)
            case reconcile.RemoveFinalizer(finalizer):
                await self._remove_finalizer(node, finalizer)
            case reconcile.Orphan(dependents):
                await asyncio.gather(*(self._drop_owners(d, (node.uid,)) for d in dependents if not d.virtual))
                await self._remove_finalizer(node, ORPHAN)
            case _:
                return

    async def _delete(self, node: Node, policy: str, *, at_version: bool = True) -> None:
        if node.resource is None:
            return
        try:
            await self._client.delete(
                metadata_only(node.resource),
                node.name,
                node.namespace,
                uid=node.uid,
                # What was decided on must still hold: an owner may have been added meanwhile.
                resource_version=node.resource_version if at_version else "",
                propagation_policy=policy,
            )
        except ApiError as error:
            if error.code != 404:
                raise

    async def _drop_owners(self, node: Node, uids: tuple[str, ...]) -> None:
        kept = [_reference(ref) for ref in node.owners if ref.uid not in uids]
        if len(kept) < len(node.owners):
            await self._patch(node, {"ownerReferences": kept})

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        await self._patch(node, {"finalizers": [name for name in node.finalizers if name != finalizer]})

    async def _patch(self, node: Node, change: dict[str, Any]) -> None:
        if node.resource is None:
            return
        guarded = {"metadata": {"uid": node.uid, "resourceVersion": node.resource_version, **change}}
        try:
            await self._client.patch(metadata_only(node.resource), node.name, node.namespace, guarded, type="merge")
        except ApiError as error:
            if error.code not in (404, 422):
                raise


def _reference(ref: OwnerReference) -> dict[str, Any]:
    shown: dict[str, Any] = {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name, "uid": ref.uid}
    if ref.controller is not None:
        shown["controller"] = ref.controller
    if ref.block_owner_deletion is not None:
        shown["blockOwnerDeletion"] = ref.block_owner_deletion
    return shown
