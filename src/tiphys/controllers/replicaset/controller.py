"""Keeps each ReplicaSet (or ReplicationController) at its number of pods."""

from __future__ import annotations

from typing import Any

from tiphys.api.selectors import Selector
from tiphys.api.types.core_v1 import Pod
from tiphys.client import ObjectKey
from tiphys.client.ownership import controller_of
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pod_owner import PodOwnerController
from tiphys.controllers.pods import BY_CONTROLLER, POD_INDEXES, is_active, pod_from_template
from tiphys.controllers.replicaset import reconcile
from tiphys.controllers.replicaset.kinds import ReplicaSets, ReplicationControllers, SetKind
from tiphys.controllers.runtime import Environment


class _SetController(PodOwnerController):
    """The loop of one kind."""

    kind: SetKind

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, self.kind.type, self.kind.component)
        self._owners.add_index(BY_CONTROLLER, POD_INDEXES[BY_CONTROLLER])

    def selector_of(self, owner: Any) -> Selector:
        return self.kind.selector(owner)

    async def sync(self, key: ObjectKey) -> None:
        owner = self._owners.get(key.name, key.namespace)
        if owner is None:
            self._expectations.forget(key)
            return
        settled = self.is_settled(key)
        pods = await self.claimed(owner)
        desired = self.kind.desired(owner)
        failure: tuple[str, str] | None = None
        error: BaseException | None = None
        if settled and owner.metadata.deletion_timestamp is None:
            plan = reconcile.plan(desired, pods, self._ranks(owner, pods), self._clock.now())
            if plan.create and desired.template is not None:
                pod = pod_from_template(desired.template, owner)
                _, error = await self.create_pods(key, owner, [pod] * plan.create)
                failure = ("FailedCreate", str(error)) if error else None
            elif plan.delete:
                error = await self.delete_pods(key, owner, plan.delete)
                failure = ("FailedDelete", str(error)) if error else None
        await self._report(key, owner, desired, pods, failure)
        if error is not None and not is_terminating_namespace(error):
            raise error

    def _ranks(self, owner: Any, pods: list[Pod]) -> dict[str, int]:
        """Active pods by node, of this set and of its siblings under one Deployment."""
        ranks: dict[str, int] = {}
        reference = controller_of(owner)
        related = list(pods)
        if reference is not None:
            for sibling in self._owners.by_index(BY_CONTROLLER, reference.uid):
                if sibling.metadata.uid != owner.metadata.uid:
                    related += self.owned(sibling)
        for pod in related:
            if is_active(pod) and pod.spec.node_name:
                ranks[pod.spec.node_name] = ranks.get(pod.spec.node_name, 0) + 1
        return ranks

    async def _report(
        self,
        key: ObjectKey,
        owner: Any,
        desired: reconcile.Desired,
        pods: list[Pod],
        failure: tuple[str, str] | None,
    ) -> None:
        now = self._clock.now()
        observed = reconcile.observe(desired, pods, now)
        status = reconcile.status(desired, observed, self.kind.status_of(owner), failure, now)
        updated = self.kind.with_status(owner, status)
        if updated.status != owner.status:
            await self._client.update_status(updated)
        if observed.look_again_seconds is not None:
            self.queue.add_after(key, observed.look_again_seconds)


class ReplicaSetController(_SetController):
    name = "replicaset-controller"
    kind = ReplicaSets()


class ReplicationControllerController(_SetController):
    name = "replicationcontroller-controller"
    kind = ReplicationControllers()
