"""``device-taint-eviction-controller``: deletes the pods of claims whose devices evict them, each at its time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.resource_claims import claim_names
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.resource_v1 import DeviceTaint, ResourceClaim, ResourceSlice
from tiphys.base.clock import rfc3339
from tiphys.client import NORMAL, ObjectKey
from tiphys.controllers.devicetainteviction.reconcile import DeviceId, evict_at, evicting, pool_of
from tiphys.controllers.runtime import Environment, KeyedController

_BY_POOL: Final = "devicetainteviction/pool"
_BY_UID: Final = "devicetainteviction/uid"
_SOON_SECONDS: Final = 0.001


class DeviceTaintEvictionController(KeyedController):
    """Its keys are claims: a slice's change looks at those that have devices of its pool."""

    name = "device-taint-eviction-controller"

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._recorder = environment.recorder("device-taint-eviction")
        self._slices = environment.informer(ResourceSlice)
        self._claims = environment.informer(ResourceClaim)
        self._pods = environment.informer(Pod)
        #: By pool, the devices that evict: most pools have none.
        self._evicting: dict[tuple[str, str], dict[DeviceId, tuple[DeviceTaint, ...]]] = {}
        self._slices.add_index(_BY_POOL, lambda found: (_text(pool_of(found)),))
        self._claims.add_index(_BY_POOL, _pools_of)
        self._pods.add_index(_BY_UID, lambda pod: (pod.metadata.uid or "",))
        self._slices.add_handler(
            on_add=self._slice_seen, on_update=lambda _, new: self._slice_seen(new), on_delete=self._slice_seen
        )
        self._pods.add_handler(on_update=self._pod_changed)
        self._claims.add_handler(on_add=self._claim_seen, on_update=lambda _, new: self._claim_seen(new))

    async def sync(self, key: ObjectKey) -> None:
        claim = self._claims.get(key.name, key.namespace)
        if claim is None or not claim.status.reserved_for:
            return
        now = self._clock.now()
        moment = evict_at(claim, self._taints_of, now)
        if moment is None:
            return
        if moment - now > _SOON_SECONDS:
            self.queue.add_after(key, moment - now)
            return
        for user in claim.status.reserved_for:
            for pod in self._pods.by_index(_BY_UID, user.uid):
                if pod.spec.node_name and pod.metadata.deletion_timestamp is None:
                    await self._evict(pod)

    def _taints_of(self, device: DeviceId) -> tuple[DeviceTaint, ...]:
        return self._evicting.get(device[:2], {}).get(device, ())

    async def _evict(self, pod: Pod) -> None:
        name, namespace = pod.metadata.name or "", pod.metadata.namespace or ""
        self._recorder.event(pod, NORMAL, "DeviceTaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByDeviceTaintManager",
            "message": "Device Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        change = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(Pod, name, namespace, change, type="strategic", subresource="status")
            await self._client.delete(Pod, name, namespace, uid=pod.metadata.uid or "")
        except ApiError as error:
            if error.code not in (404, 409, 422):
                raise

    def _slice_seen(self, changed: ResourceSlice) -> None:
        pool = pool_of(changed)
        before = self._evicting.pop(pool, {})
        found = evicting(self._slices.by_index(_BY_POOL, _text(pool)))
        if found:
            self._evicting[pool] = found
        if found != before:
            for claim in self._claims.by_index(_BY_POOL, _text(pool)):
                self.enqueue(claim)

    def _claim_seen(self, claim: ResourceClaim) -> None:
        if self._evicting and evict_at(claim, self._taints_of, self._clock.now()) is not None:
            self.enqueue(claim)

    def _pod_changed(self, old: Pod, new: Pod) -> None:
        if self._evicting and new.spec.node_name and not old.spec.node_name:
            # Its claims had their devices before it had its node.
            for name in claim_names(new):
                if (claim := self._claims.get(name, new.metadata.namespace or "")) is not None:
                    self._claim_seen(claim)


def _text(pool: tuple[str, str]) -> str:
    return "/".join(pool)


def _pools_of(claim: ResourceClaim) -> Iterable[str]:
    allocation = claim.status.allocation
    if allocation is None or allocation.devices is None:
        return ()
    return {_text((result.driver, result.pool)) for result in allocation.devices.results}
