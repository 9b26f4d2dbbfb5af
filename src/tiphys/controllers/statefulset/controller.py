"""Brings each StatefulSet's pods and claims to what it asks for."""

from __future__ import annotations

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import Selector, from_label_selector
from tiphys.api.types.apps_v1 import ControllerRevision, StatefulSet
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod
from tiphys.client import NORMAL, WARNING, ObjectKey
from tiphys.controllers import history
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pod_owner import PodOwnerController
from tiphys.controllers.revision_keeper import RevisionKeeper
from tiphys.controllers.runtime import Environment
from tiphys.controllers.statefulset.identity import claims_of, ordinal_of
from tiphys.controllers.statefulset.reconcile import Decision, decide
from tiphys.controllers.statefulset.retention import is_leaving, owned_rightly

REVISION_HASH_LABEL = "controller.kubernetes.io/hash"


class StatefulSetController(PodOwnerController):
    name = "statefulset-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, StatefulSet, "statefulset-controller")
        self._claims = environment.informer(PersistentVolumeClaim)
        self._claims.add_handler(on_delete=self._claim_gone)
        self._keeper = RevisionKeeper(self._client, environment.informer(ControllerRevision), REVISION_HASH_LABEL)

    def selector_of(self, owner: StatefulSet) -> Selector:
        return from_label_selector(owner.spec.selector)

    def may_own(self, owner: StatefulSet, pod: Pod) -> bool:
        return ordinal_of(owner, pod) is not None

    async def sync(self, key: ObjectKey) -> None:
        stateful_set = self._owners.get(key.name, key.namespace)
        if stateful_set is None:
            self._expectations.forget(key)
            return
        if not self.is_settled(key):
            return
        pods = [pod for pod in await self.claimed(stateful_set) if ordinal_of(stateful_set, pod) is not None]
        revisions = await self._keeper.of(stateful_set, self.selector_of(stateful_set))
        update = await self._update_revision(stateful_set, revisions)
        current = next((r for r in revisions if r.metadata.name == stateful_set.status.current_revision), update)
        count = stateful_set.status.collision_count
        decision = decide(stateful_set, pods, current, update, count, self._clock.now())
        await self._settle_claims(key, stateful_set, pods)
        error = await self._carry_out(key, stateful_set, decision)
        if decision.status != stateful_set.status:
            await self._client.update_status(msgspec.structs.replace(stateful_set, status=decision.status))
        if decision.look_again_seconds is not None:
            self.queue.add_after(key, decision.look_again_seconds)
        live = {pod.metadata.labels.get(HASH_LABEL, "") for pod in pods}
        live |= {update.metadata.name or "", current.metadata.name or ""}
        await self._keeper.trim(revisions, live, stateful_set.spec.revision_history_limit)
        if error is not None and not is_terminating_namespace(error):
            raise error

    async def _settle_claims(self, key: ObjectKey, stateful_set: StatefulSet, pods: list[Pod]) -> None:
        """Before pods are deleted: a claim that is to go with its pod must be known to be the pod's."""
        for claim in owned_rightly(stateful_set, pods, lambda name: self._claims.get(name, key.namespace)):
            await self._client.update(claim)

    def _claim_gone(self, claim: PersistentVolumeClaim) -> None:
        for stateful_set in self._owners.list(claim.metadata.namespace or ""):
            if any(
                (claim.metadata.name or "").startswith(f"{template.metadata.name}-{stateful_set.metadata.name}-")
                for template in stateful_set.spec.volume_claim_templates
            ):
                self.enqueue(stateful_set)

    async def _update_revision(
        self, stateful_set: StatefulSet, revisions: list[ControllerRevision]
    ) -> ControllerRevision:
        template = stateful_set.spec.template
        if stateful_set.metadata.deletion_timestamp is not None:
            same = [revision for revision in revisions if history.equal(revision, template)]
            if same or revisions:
                return (same or revisions)[-1]
        try:
            return await self._keeper.current(stateful_set, template, revisions, template.metadata.labels)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                count = (stateful_set.status.collision_count or 0) + 1
                status = msgspec.structs.replace(stateful_set.status, collision_count=count)
                await self._client.update_status(msgspec.structs.replace(stateful_set, status=status))
            raise

    async def _carry_out(self, key: ObjectKey, stateful_set: StatefulSet, decision: Decision) -> BaseException | None:
        for pod in decision.recreated:
            text = f"StatefulSet {key} is recreating failed Pod {pod.metadata.name}"
            self._recorder.event(stateful_set, WARNING, "RecreatingFailedPod", text)
        for pod in decision.delete:
            await self._delete(key, stateful_set, pod)
        for pod in decision.create:
            try:
                await self._create(key, stateful_set, pod)
            except (ApiError, OSError) as error:
                return error
        return None

    async def _create(self, key: ObjectKey, stateful_set: StatefulSet, pod: Pod) -> None:
        name, set_name = pod.metadata.name or "", stateful_set.metadata.name
        try:
            if not await self._create_claims(stateful_set, pod):
                return
            self._expectations.expect_creations(key, 1)
            try:
                await self._client.create(pod)
            except BaseException as error:
                self._expectations.creation_failed(key, error)
                raise
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return
            if not is_terminating_namespace(error):
                text = f"create Pod {name} in StatefulSet {set_name} failed error: {error}"
                self._recorder.event(stateful_set, WARNING, "FailedCreate", text)
            raise
        text = f"create Pod {name} in StatefulSet {set_name} successful"
        self._recorder.event(stateful_set, NORMAL, "SuccessfulCreate", text)

    async def _create_claims(self, stateful_set: StatefulSet, pod: Pod) -> bool:
        """Whether the pod may be made: not while a claim of its predecessor is on its way out."""
        ordinal = ordinal_of(stateful_set, pod)
        for wanted in claims_of(stateful_set, ordinal or 0):
            name, namespace = wanted.metadata.name or "", wanted.metadata.namespace or ""
            existing = self._claims.get(name, namespace)
            if existing is not None:
                if is_leaving(existing, pod.metadata.name or ""):
                    return False
                continue
            try:
                await self._client.create(wanted)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    continue
                raise
            text = f"create Claim {name} Pod {pod.metadata.name} in StatefulSet {stateful_set.metadata.name} success"
            self._recorder.event(stateful_set, NORMAL, "SuccessfulCreate", text)
        return True

    async def _delete(self, key: ObjectKey, stateful_set: StatefulSet, pod: Pod) -> None:
        name, uid, set_name = pod.metadata.name or "", pod.metadata.uid or "", stateful_set.metadata.name
        self._expectations.expect_deletions(key, [uid])
        try:
            await self._client.delete(Pod, name, key.namespace, uid=uid)
        except BaseException as error:
            self._expectations.deletion_observed(key, uid)
            if isinstance(error, ApiError) and error.code in (404, 409):
                return
            if isinstance(error, Exception):
                text = f"delete Pod {name} in StatefulSet {set_name} failed error: {error}"
                self._recorder.event(stateful_set, WARNING, "FailedDelete", text)
            raise
        text = f"delete Pod {name} in StatefulSet {set_name} successful"
        self._recorder.event(stateful_set, NORMAL, "SuccessfulDelete", text)
