"""``ephemeral-volume-controller``: one claim for each ephemeral volume of each pod, gone with the pod."""

from __future__ import annotations

from tiphys.api.errors import ApiError
from tiphys.api.persistent_volumes import is_made_for
from tiphys.api.types.core_v1 import PersistentVolumeClaim, Pod
from tiphys.client import WARNING, ObjectKey
from tiphys.controllers.claims import BY_CLAIM, claim_keys
from tiphys.controllers.ephemeralvolume.reconcile import has_ephemeral, wanted
from tiphys.controllers.namespaced import is_terminating_namespace
from tiphys.controllers.runtime import Environment, KeyedController


class EphemeralVolumeController(KeyedController):
    """Makes what is missing; deletion is the garbage collector's, by the owner reference."""

    name = "ephemeral-volume-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._recorder = environment.recorder("ephemeral_volume")
        self._pods = environment.informer(Pod)
        self._claims = environment.informer(PersistentVolumeClaim)
        self._pods.add_index(BY_CLAIM, claim_keys)
        self._pods.add_handler(on_add=self._pod_added)
        self._claims.add_handler(on_delete=self._claim_deleted)

    async def sync(self, key: ObjectKey) -> None:
        pod = self._pods.get(key.name, key.namespace)
        if pod is None or not has_ephemeral(pod):
            return
        for volume_name, claim in wanted(pod):
            name = claim.metadata.name or ""
            found = self._claims.get(name, key.namespace)
            if found is None:
                try:
                    found = await self._client.create(claim)
                except ApiError as error:
                    if is_terminating_namespace(error):
                        return
                    if error.reason != "AlreadyExists":
                        text = f"ephemeral volume {volume_name}: create PVC {name}: {error}"
                        self._recorder.event(pod, WARNING, "FailedBinding", text)
                        raise
                    found = await self._client.get(PersistentVolumeClaim, name, key.namespace)
            if not is_made_for(found, pod):
                text = (
                    f"ephemeral volume {volume_name}: PVC {key.namespace}/{name} was not created for pod "
                    f"{key.namespace}/{key.name} (pod is not owner)"
                )
                self._recorder.event(pod, WARNING, "FailedBinding", text)

    def _pod_added(self, pod: Pod) -> None:
        if has_ephemeral(pod):
            self.enqueue(pod)

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        key = f"{claim.metadata.namespace}/{claim.metadata.name}"
        for pod in self._pods.by_index(BY_CLAIM, key):
            self._pod_added(pod)
