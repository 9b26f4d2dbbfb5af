"""Keeps the status of PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.selectors import from_label_selector
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet, StatefulSet
from tiphys.api.types.core_v1 import Pod, ReplicationController
from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.client import Informer, ObjectKey
from tiphys.client.ownership import controller_of
from tiphys.controllers.disruption.reconcile import status
from tiphys.controllers.pods import is_ready
from tiphys.controllers.runtime import Environment, KeyedController


class DisruptionController(KeyedController):
    name = "disruption-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._budgets = environment.informer(PodDisruptionBudget)
        self._pods = environment.informer(Pod)
        self._owners: dict[str, Informer[Any]] = {
            "ReplicaSet": environment.informer(ReplicaSet),
            "StatefulSet": environment.informer(StatefulSet),
            "ReplicationController": environment.informer(ReplicationController),
            "Deployment": environment.informer(Deployment),
        }
        self.watch(self._budgets)
        self._pods.add_handler(on_add=self._pod_seen, on_update=self._pod_changed, on_delete=self._pod_seen)
        for informer in self._owners.values():
            informer.add_handler(on_update=self._owner_changed)

    async def sync(self, key: ObjectKey) -> None:
        budget = self._budgets.get(key.name, key.namespace)
        if budget is None:
            return
        selector = from_label_selector(budget.spec.selector)
        pods = self._pods.list(key.namespace, selector)
        scales = {uid: scale for pod in pods for uid, scale in self._scale_of(pod)}
        wanted, wait_seconds = status(budget, pods, scales, self._clock.now())
        if wanted != budget.status:
            await self._client.update_status(msgspec.structs.replace(budget, status=wanted))
        if wait_seconds is not None:
            self.queue.add_after(key, wait_seconds)

    def _scale_of(self, pod: Pod) -> list[tuple[str, int]]:
        """The replicas wanted by the pod's controller, or by the Deployment above it (whose rollouts have several)."""
        reference = controller_of(pod)
        owner = self._owner(reference.kind, reference.name, pod) if reference else None
        if reference is None or owner is None or owner.metadata.uid != reference.uid:
            return []
        above = controller_of(owner)
        if above is not None:
            deployment = self._owner(above.kind, above.name, pod)
            if deployment is not None and deployment.metadata.uid == above.uid:
                # During a rollout its pods are of several ReplicaSets: what counts is what the Deployment wants.
                return [(above.uid, 1 if deployment.spec.replicas is None else deployment.spec.replicas)]
        return [(reference.uid, 1 if owner.spec.replicas is None else owner.spec.replicas)]

    def _owner(self, kind: str, name: str, pod: Pod) -> Any:
        informer = self._owners.get(kind)
        return informer.get(name, pod.metadata.namespace or "") if informer is not None else None

    def _pod_seen(self, pod: Pod) -> None:
        for budget in self._budgets.list(pod.metadata.namespace or ""):
            if from_label_selector(budget.spec.selector).matches(pod.metadata.labels):
                self.enqueue(budget)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        counted = (
            is_ready(old) != is_ready(new)
            or old.status.phase != new.status.phase
            or old.metadata.deletion_timestamp != new.metadata.deletion_timestamp
        )
        if counted or old.metadata.labels != new.metadata.labels:
            self._pod_seen(new)
        if old.metadata.labels != new.metadata.labels:
            self._pod_seen(old)

    def _owner_changed(self, old: Any, new: Any) -> None:
        if old.spec.replicas == new.spec.replicas:
            return
        for budget in self._budgets.list(new.metadata.namespace or ""):
            self.enqueue(budget)
