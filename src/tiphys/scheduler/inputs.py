"""What the scheduler watches, and how each change reaches queue, cache and cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from tiphys.api.selectors import Selector, from_label_selector, from_labels
from tiphys.api.types.apps_v1 import ReplicaSet, StatefulSet
from tiphys.api.types.core_v1 import (
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ReplicationController,
    Service,
)
from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment
from tiphys.base.clock import Clock
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, Informer
from tiphys.client.informer import without_managed_fields
from tiphys.scheduler.cache import PodCache
from tiphys.scheduler.cluster import Cluster, PodKey
from tiphys.scheduler.default_spread import SpreadOwners
from tiphys.scheduler.disruption_budgets import DisruptionBudgets
from tiphys.scheduler.framework import Disruption, Trigger
from tiphys.scheduler.gangs.membership import Gangs
from tiphys.scheduler.gangs.watching import PodGroupWatch
from tiphys.scheduler.lean import LeanNodes, LeanPods
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.queue import SchedulingQueue
from tiphys.scheduler.template import DEFAULT_SCHEDULER_NAME
from tiphys.scheduler.volume_binder import VolumeBinder

_STORAGE: Final = (
    StorageClass,
    PersistentVolume,
    PersistentVolumeClaim,
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    VolumeAttachment,
)
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"


class Inputs:
    """The informers. `happened` is called with what may help unschedulable pods: (trigger, the object before and now).

    It must only take note.
    """

    def __init__(
        self,
        client: Client,
        scheduler_names: frozenset[str],
        clock: Clock,
        queue: SchedulingQueue,
        cache: PodCache,
        cluster: Cluster,
        nominations: Nominations,
        happened: Callable[..., None],
        volumes: VolumeBinder,
        stop_binding: Callable[[PodKey], None],
        gangs: Gangs,
    ) -> None:
        self._scheduler_names = scheduler_names
        self._stop_binding = stop_binding
        self._gangs = gangs
        self._pod_groups = PodGroupWatch(client, gangs, self._reconsider, self._recount)
        self._clock = clock
        self._queue = queue
        self._cache = cache
        self._cluster = cluster
        self._nominations = nominations
        self._happened = happened
        self._volumes = volumes
        self.owners = SpreadOwners()
        self._nodes = Informer(client, Node, transform=LeanNodes())
        self._namespaces = Informer(client, Namespace, transform=without_managed_fields)
        self._pods = Informer(client, Pod, field_selector=_UNFINISHED, transform=LeanPods())
        self._services = Informer(client, Service, transform=without_managed_fields)
        self._budgets = Informer(client, PodDisruptionBudget, transform=without_managed_fields)
        self._disruptions = DisruptionBudgets()
        self._controllers: list[Informer[Any]] = [
            Informer(client, ReplicaSet, transform=without_managed_fields),
            Informer(client, StatefulSet, transform=without_managed_fields),
            Informer(client, ReplicationController, transform=without_managed_fields),
        ]
        self._storage: list[Informer[Any]] = [
            Informer(client, kind, transform=without_managed_fields) for kind in _STORAGE
        ]
        self._add_handlers()

    async def start(self, supervisor: Supervisor, plugins: Iterable[Informer[Any]] = ()) -> None:
        """Watch everything; returns when what decisions need is known. Nodes come before the pods on them.

        `plugins`: what plugins asked for besides.
        """
        first: list[Informer[Any]] = [
            self._nodes,
            self._namespaces,
            self._services,
            *self._controllers,
            *self._storage,
            *plugins,
        ]
        for informer in (*first, self._budgets):
            supervisor.spawn(informer.run, f"watch-{informer.view.resource.plural}")
        for informer in first:
            await informer.wait_synced()
        await self._pod_groups.start(supervisor)
        supervisor.spawn(self._pods.run, "watch-pods")
        await self._pods.wait_synced()

    def pod(self, key: PodKey) -> Pod | None:
        """The pod as last seen; None if it is gone or finished."""
        return self._pods.get(key[1], key[0])

    def disruptions(self) -> list[Disruption]:
        """The disruption budgets, for preemption."""
        return self._disruptions.of(self._budgets.list())

    def _add_handlers(self) -> None:
        self._nodes.add_handler(
            on_add=self._node_added,
            on_update=self._node_updated,
            on_delete=self._node_removed,
        )
        self._namespaces.add_handler(
            on_add=self._namespace_seen,
            on_update=lambda _, namespace: self._namespace_seen(namespace),
            on_delete=lambda namespace: self._set_namespace(namespace, None),
        )
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_updated, on_delete=self._pod_deleted)
        self._services.add_handler(
            on_add=self._service_seen,
            on_update=lambda _, service: self._service_seen(service),
            on_delete=lambda service: self._set_service(service, {}),
        )
        for informer in self._controllers:
            informer.add_handler(
                on_add=self._controller_seen,
                on_update=lambda _, controller: self._controller_seen(controller),
                on_delete=lambda controller: self.owners.set_controller(controller.metadata.uid, None),
            )

        for informer in self._storage:
            informer.add_handler(
                on_add=self._storage_seen,
                on_update=lambda _, obj: self._storage_seen(obj),
                on_delete=lambda obj: self._storage_seen(obj, gone=True),
            )

    def _storage_seen(self, obj: Any, *, gone: bool = False) -> None:
        self._cluster.volumes.observe(obj, gone=gone)
        self._volumes.observed(obj)
        self._happened(Trigger.STORAGE_CHANGED, obj if gone else None, None if gone else obj)

    def _node_added(self, node: Node) -> None:
        self._cluster.add_node(node)
        self._happened(Trigger.NODE_ADDED, None, node)

    def _node_updated(self, old: Node, node: Node) -> None:
        if self._cluster.update_node(node):
            self._happened(Trigger.NODE_CHANGED, old, node)

    def _node_removed(self, node: Node) -> None:
        name = node.metadata.name or ""
        self._cluster.remove_node(name)
        for info in self._nominations.on(name):
            # The room it waits for will not come: it needs another.
            self._queue.again(info.key, self._clock.monotonic())
        # Whoever must spread has a domain less to care about.
        self._happened(Trigger.NODE_CHANGED)

    def _namespace_seen(self, namespace: Namespace) -> None:
        self._set_namespace(namespace, namespace.metadata.labels)

    def _set_namespace(self, namespace: Namespace, labels: dict[str, str] | None) -> None:
        if self._cluster.set_namespace(namespace.metadata.name or "", labels):
            self._happened(Trigger.POD_CHANGED)

    def _service_seen(self, service: Service) -> None:
        self._set_service(service, service.spec.selector)

    def _set_service(self, service: Service, selector: dict[str, str]) -> None:
        self.owners.set_service(service.metadata.namespace or "", service.metadata.name or "", selector)

    def _controller_seen(self, controller: Any) -> None:
        self.owners.set_controller(controller.metadata.uid, selector_of(controller))

    def _recount(self) -> None:
        """What pods say of their groups means more than before."""
        for pod in self._pods.list():
            self._reconsider(self._gangs.seen(pod))

    def _reconsider(self, members: Iterable[PodKey]) -> None:
        """Something changed for these members of a gang."""
        keys = frozenset(members)
        if keys:
            now = self._clock.monotonic()
            self._queue.regate(lambda queued: queued.key in keys, now)
            for key in keys:
                self._queue.again(key, now)
            self._happened(Trigger(0))

    def _pod_added(self, pod: Pod) -> None:
        woken = self._gangs.seen(pod)
        if pod.spec.node_name:
            self._assigned(pod)
        elif self._ours(pod):
            self._queue.add(pod, self._clock.monotonic())
            self._happened(Trigger(0))
        self._reconsider(woken)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if old.metadata.labels != new.metadata.labels:
            self._reconsider(self._gangs.seen(new))
        if old.metadata.uid != new.metadata.uid:
            self._pod_deleted(old)
            self._pod_added(new)
        elif new.spec.node_name:
            self._assigned(new, old)
        elif self._ours(new) and not self._cache.is_assumed((new.metadata.namespace or "", new.metadata.name or "")):
            claims = old.status.resource_claim_statuses != new.status.resource_claim_statuses
            matters = claims or old.spec != new.spec or old.metadata.labels != new.metadata.labels
            self._queue.update(new, self._clock.monotonic(), matters=matters)
            self._happened(Trigger(0))

    def _assigned(self, pod: Pod, old: Pod | None = None) -> None:
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        self._queue.remove(key)
        self._nominations.remove(key)
        known = self._cache.get(key) is not None
        if self._cache.observe(pod):
            self._happened(Trigger.POD_CHANGED if known else Trigger.POD_PLACED, old, pod)

    def _pod_deleted(self, pod: Pod) -> None:
        key = (pod.metadata.namespace or "", pod.metadata.name or "")
        self._queue.remove(key)
        kept = self._nominations.remove(key)
        self._gangs.gone(key)
        self._stop_binding(key)
        if self._cache.gone(key) is not None or kept:
            self._happened(Trigger.POD_GONE, pod, None)

    def _ours(self, pod: Pod) -> bool:
        return (pod.spec.scheduler_name or DEFAULT_SCHEDULER_NAME) in self._scheduler_names


def selector_of(controller: ReplicaSet | StatefulSet | ReplicationController) -> Selector:
    """The pods that a controller counts as its own."""
    if isinstance(controller, ReplicationController):
        return from_labels(controller.spec.selector)
    return from_label_selector(controller.spec.selector)
