"""Brings each StatefulSet's pods and claims to what it asks for."""

from __future__ import annotations

import msgspec

from tiphys.api.errors import ApiError
from tiphys.api.selectors import from_label_selector
from tiphys.api.types.apps_v1 import ControllerRevision, StatefulSet
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod
from tiphys.client import NORMAL, WARNING, ObjectKey, key_of
from tiphys.client.expectations import Expectations
from tiphys.client.ownership import claim, controller_of
from tiphys.controllers import history
from tiphys.controllers.history import HASH_LABEL
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.pods import BY_CONTROLLER, BY_ORPHANAGE, POD_INDEXES
from tiphys.controllers.revision_keeper import RevisionKeeper
from tiphys.controllers.runtime import Environment, KeyedController
from tiphys.controllers.statefulset.identity import claims_of, ordinal_of
from tiphys.controllers.statefulset.reconcile import Decision, decide

REVISION_HASH_LABEL = "controller.kubernetes.io/hash"


class StatefulSetController(KeyedController):
    name = "statefulset-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("statefulset-controller")
        self._expectations: Expectations[ObjectKey] = Expectations(environment.clock)
        self._sets = environment.informer(StatefulSet)
        self._pods = environment.informer(Pod)
        self._claims = environment.informer(PersistentVolumeClaim)
        self._keeper = RevisionKeeper(self._client, environment.informer(ControllerRevision), REVISION_HASH_LABEL)
        for name, indexer in POD_INDEXES.items():
            self._pods.add_index(name, indexer)
        self._sets.add_handler(on_add=self.enqueue, on_update=self.enqueue_changed, on_delete=self._set_deleted)
        self._pods.add_handler(on_add=self._pod_added, on_update=self._pod_changed, on_delete=self._pod_deleted)

    async def sync(self, key: ObjectKey) -> None:
        stateful_set = self._sets.get(key.name, key.namespace)
        if stateful_set is None:
            self._expectations.forget(key)
            return
        if not self._expectations.satisfied(key):
            self.queue.add_after(key, self._expectations.seconds_left(key))
            return
        selector = from_label_selector(stateful_set.spec.selector)
        orphans = self._pods.by_index(BY_ORPHANAGE, key.namespace)
        candidates = [*self._pods.by_index(BY_CONTROLLER, stateful_set.metadata.uid or ""), *orphans]
        named = [pod for pod in candidates if ordinal_of(stateful_set, pod) is not None]
        pods = await claim(self._client, stateful_set, selector, Pod, named)
        revisions = await self._keeper.of(stateful_set, selector)
        update = await self._update_revision(stateful_set, revisions)
        current = next((r for r in revisions if r.metadata.name == stateful_set.status.current_revision), update)
        count = stateful_set.status.collision_count
        decision = decide(stateful_set, pods, current, update, count, self._clock.now())
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
            await self._create_claims(stateful_set, pod)
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

    async def _create_claims(self, stateful_set: StatefulSet, pod: Pod) -> None:
        ordinal = ordinal_of(stateful_set, pod)
        for wanted in claims_of(stateful_set, ordinal or 0):
            name, namespace = wanted.metadata.name or "", wanted.metadata.namespace or ""
            if self._claims.get(name, namespace) is not None:
                continue
            try:
                await self._client.create(wanted)
            except ApiError as error:
                if error.reason == "AlreadyExists":
                    continue
                raise
            text = f"create Claim {name} Pod {pod.metadata.name} in StatefulSet {stateful_set.metadata.name} success"
            self._recorder.event(stateful_set, NORMAL, "SuccessfulCreate", text)

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

    def _set_deleted(self, stateful_set: StatefulSet) -> None:
        self._expectations.forget(key_of(stateful_set))

    def _owner_key(self, pod: Pod) -> ObjectKey | None:
        reference = controller_of(pod)
        if reference is None or reference.kind != "StatefulSet":
            return None
        owner = self._sets.get(reference.name, pod.metadata.namespace or "")
        return key_of(owner) if owner is not None and owner.metadata.uid == reference.uid else None

    def _pod_added(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            if pod.metadata.deletion_timestamp is None:
                self._expectations.creation_observed(key)
            self.queue.add(key)
        elif controller_of(pod) is None:
            self._enqueue_matching(pod)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        key = self._owner_key(new)
        if key is None:
            if controller_of(new) is None and (controller_of(old) or old.metadata.labels != new.metadata.labels):
                self._enqueue_matching(new)
            return
        if new.metadata.deletion_timestamp is not None:
            self._expectations.deletion_observed(key, new.metadata.uid or "")
        self.queue.add(key)

    def _pod_deleted(self, pod: Pod) -> None:
        key = self._owner_key(pod)
        if key is not None:
            self._expectations.deletion_observed(key, pod.metadata.uid or "")
            self.queue.add(key)

    def _enqueue_matching(self, pod: Pod) -> None:
        for stateful_set in self._sets.list(pod.metadata.namespace or ""):
            selector = from_label_selector(stateful_set.spec.selector)
            if ordinal_of(stateful_set, pod) is not None and selector.matches(pod.metadata.labels):
                self.enqueue(stateful_set)
