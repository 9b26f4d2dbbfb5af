"""Rolls Deployments out over ReplicaSets."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.errors import ApiError, already_exists
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.api.types.core_v1 import Pod
from tiphys.client import WARNING, ObjectKey, key_of
from tiphys.client.ownership import claim, controller_of, is_controlled_by
from tiphys.controllers.deployment import progress, revisions
from tiphys.controllers.deployment.reconcile import Decision, decide
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES, is_terminal
from tiphys.controllers.runtime import Environment, KeyedController


class DeploymentController(KeyedController):
    """One step of a Deployment's rollout a sync; the ReplicaSets' changes bring the next."""

    name = "deployment-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("deployment-controller")
        self._deployments = environment.informer(Deployment)
        self._replica_sets = environment.informer(ReplicaSet)
        self._pods = environment.informer(Pod)
        self._replica_sets.add_index(BY_CONTROLLER, POD_INDEXES[BY_CONTROLLER])
        self._replica_sets.add_index(BY_ORPHANAGE, POD_INDEXES[BY_ORPHANAGE])
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self.watch(self._deployments)
        self._replica_sets.add_handler(
            on_add=self._replica_set_changed, on_update=self._replica_set_updated, on_delete=self._replica_set_changed
        )
        self._pods.add_handler(on_delete=self._pod_deleted)

    async def sync(self, key: ObjectKey) -> None:
        deployment = self._deployments.get(key.name, key.namespace)
        if deployment is None:
            return
        selector = from_label_selector(deployment.spec.selector)
        if selector.is_everything:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, WARNING, "SelectingAll", text)
            return
        orphans = self._replica_sets.by_index(BY_ORPHANAGE, key.namespace)
        candidates = [*self._replica_sets.by_index(BY_CONTROLLER, deployment.metadata.uid or ""), *orphans]
        owned = await claim(self._client, deployment, selector, ReplicaSet, candidates)
        running = not revisions.is_rolling(deployment) and self._old_pods_running(deployment, owned)
        decision = decide(deployment, owned, old_pods_running=running, now=self._clock.now())
        await self._carry_out(deployment, decision)
        if decision.look_again_seconds is not None:
            self.queue.add_after(key, decision.look_again_seconds)

    def _old_pods_running(self, deployment: Deployment, owned: list[ReplicaSet]) -> bool:
        new = revisions.find_new(deployment, owned)
        return any(
            not is_terminal(pod)
            for rs in owned
            if rs is not new
            for pod in self._pods.by_index(BY_CONTROLLER, rs.metadata.uid or "")
        )

    async def _carry_out(self, deployment: Deployment, decision: Decision) -> None:
        if decision.create is not None:
            await self._create(deployment, decision.create)
        for replica_set in decision.update:
            await self._client.update(replica_set)
        for event in decision.events:
            self._recorder.event(deployment, event.type, event.reason, event.message)
        for replica_set in decision.delete:
            await self._delete(replica_set)
        current = deployment
        if decision.revision is not None:
            annotations = {**deployment.metadata.annotations, revisions.REVISION: decision.revision}
            meta = msgspec.structs.replace(deployment.metadata, annotations=annotations)
            current = await self._client.update(msgspec.structs.replace(deployment, metadata=meta))
        if decision.status is not None and decision.status != deployment.status:
            await self._client.update_status(msgspec.structs.replace(current, status=decision.status))

    async def _create(self, deployment: Deployment, replica_set: ReplicaSet) -> None:
        try:
            await self._client.create(replica_set)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                await self._existing(deployment, replica_set)
                return
            if is_terminating_namespace(error):
                return
            if progress.has_deadline(deployment):
                text = f'Failed to create new replica set "{replica_set.metadata.name}": {error}'
                failed = progress.condition(
                    progress.PROGRESSING, "False", progress.FAILED_CREATE, text, self._clock.now()
                )
                status = progress.with_condition(deployment.status, failed)
                if status is not deployment.status:
                    await self._client.update_status(msgspec.structs.replace(deployment, status=status))
            self._recorder.event(
                deployment,
                WARNING,
                progress.FAILED_CREATE,
                f'Failed to create new replica set "{replica_set.metadata.name}": {error}',
            )
            raise

    async def _existing(self, deployment: Deployment, replica_set: ReplicaSet) -> None:
        """The name is taken: by what an earlier sync made and the informer lacks, or by another template."""
        name, namespace = replica_set.metadata.name or "", replica_set.metadata.namespace or ""
        found = await self._client.get(ReplicaSet, name, namespace)
        same = revisions.without_hash(found.spec.template) == revisions.without_hash(deployment.spec.template)
        if is_controlled_by(found, deployment) and same:
            return
        count = (deployment.status.collision_count or 0) + 1
        status = msgspec.structs.replace(deployment.status, collision_count=count)
        await self._client.update_status(msgspec.structs.replace(deployment, status=status))
        raise already_exists("replicasets.apps", name)

    async def _delete(self, replica_set: ReplicaSet) -> None:
        try:
            await self._client.delete(
                ReplicaSet,
                replica_set.metadata.name or "",
                replica_set.metadata.namespace or "",
                uid=replica_set.metadata.uid or "",
                propagation_policy="Background",
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _replica_set_updated(self, old: ReplicaSet, new: ReplicaSet) -> None:
        if controller_of(old) != controller_of(new):
            self._replica_set_changed(old)
        self._replica_set_changed(new)

    def _replica_set_changed(self, replica_set: ReplicaSet) -> None:
        reference = controller_of(replica_set)
        if reference is None:
            self._enqueue_matching(replica_set)
        elif reference.kind == "Deployment":
            self.queue.add(ObjectKey(replica_set.metadata.namespace or "", reference.name))

    def _enqueue_matching(self, replica_set: ReplicaSet) -> None:
        for deployment in self._deployments.list(replica_set.metadata.namespace or ""):
            selector = from_label_selector(deployment.spec.selector)
            if not selector.is_everything and selector.matches(replica_set.metadata.labels):
                self.queue.add(key_of(deployment))

    def _pod_deleted(self, pod: Pod) -> None:
        # Only Recreate waits for pods to be gone; rolling updates follow the ReplicaSets' counts.
        reference = controller_of(pod)
        if reference is None or reference.kind != "ReplicaSet":
            return
        replica_set = self._replica_sets.get(reference.name, pod.metadata.namespace or "")
        owner: Any = controller_of(replica_set) if replica_set else None
        if owner is None or owner.kind != "Deployment":
            return
        deployment = self._deployments.get(owner.name, pod.metadata.namespace or "")
        if deployment is not None and not revisions.is_rolling(deployment):
            self.enqueue(deployment)
