"""Makes volumes larger when their claims ask for more: upstream's external-resizer.

claim asks for more ──► ControllerResizeInProgress ──driver──► capacity written          (the driver did it all)
                                 │                        └──► NodeResizePending ──kubelet──► capacity written
                                 └── refused for good ──► ControllerResizeInfeasible, tried again seldom
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.persistent_volumes import STORAGE, capacity, requested
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from tiphys.base.clock import rfc3339
from tiphys.client import NORMAL, WARNING, ObjectKey
from tiphys.controllers.csi.config import CsiControllerConfig
from tiphys.controllers.csi.driver import Driver, secret_data
from tiphys.controllers.csi.reconcile import quantity_of
from tiphys.controllers.runtime import Environment, KeyedController, TryAgain
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.wire import ControllerRpc

RESIZING: Final = "Resizing"
ON_NODE: Final = "FileSystemResizePending"
ON_NODE_MESSAGE: Final = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."
IN_PROGRESS: Final = "ControllerResizeInProgress"
INFEASIBLE: Final = "ControllerResizeInfeasible"
NODE_PENDING: Final = "NodeResizePending"
_NODE_STEPS: Final = (NODE_PENDING, "NodeResizeInProgress", "NodeResizeInfeasible")
_FOR_GOOD: Final = frozenset({CsiCode.INVALID_ARGUMENT, CsiCode.OUT_OF_RANGE, CsiCode.NOT_FOUND})


class VolumeResizer(KeyedController):
    """Its keys are claims."""

    name = "csi-resizer"

    def __init__(self, environment: Environment, driver: Driver, config: CsiControllerConfig) -> None:
        super().__init__()
        self._client = environment.client
        self._clock = environment.clock
        self._driver = driver
        self._recorder = environment.recorder(f"external-resizer {driver.name}")
        self._claims = environment.informer(PersistentVolumeClaim)
        self._volumes = environment.informer(PersistentVolume)
        self.watch(self._claims)

    async def sync(self, key: ObjectKey) -> None:
        claim = self._claims.get(key.name, key.namespace)
        volume = self._volumes.get(claim.spec.volume_name or "") if claim is not None else None
        if claim is None or volume is None or not self._must_grow(claim, volume):
            return
        # The informers may not show yet what the last sync wrote, and drivers should not be asked twice.
        claim = await self._client.get(PersistentVolumeClaim, key.name, key.namespace)
        volume = await self._client.get(PersistentVolume, volume.metadata.name or "")
        if not self._must_grow(claim, volume):
            return
        wanted = requested(claim)
        await self._begin(claim, volume, wanted)
        try:
            size, on_node = await self._expand(volume, wanted)
        except (CsiError, TryAgain) as error:
            text = f'resize volume "{volume.metadata.name}" by resizer "{self._driver.name}" failed: {error}'
            self._recorder.event(claim, WARNING, "VolumeResizeFailed", text)
            if isinstance(error, CsiError) and error.code in _FOR_GOOD:
                await self._write(claim, {"allocatedResourceStatuses": {STORAGE: INFEASIBLE}})
            raise TryAgain(text) from None
        if capacity(volume).value < size.value:
            change = {"spec": {"capacity": {STORAGE: str(size)}}}
            await self._client.patch(PersistentVolume, volume.metadata.name or "", "", change)
        if on_node:
            condition = self._condition(ON_NODE, ON_NODE_MESSAGE)
            status: dict[str, Any] = {"allocatedResourceStatuses": {STORAGE: NODE_PENDING}}
            await self._write(claim, {**status, "conditions": [condition, _without(RESIZING)]})
            text = "Require file system resize of volume on node"
            self._recorder.event(claim, NORMAL, "FileSystemResizeRequired", text)
        else:
            done = {"capacity": {STORAGE: str(size)}, "allocatedResourceStatuses": {STORAGE: None}}
            await self._write(claim, {**done, "conditions": [_without(RESIZING), _without(ON_NODE)]})
            self._recorder.event(claim, NORMAL, "VolumeResizeSuccessful", "Resize volume succeeded")

    def _must_grow(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
        source, reference = volume.spec.csi, volume.spec.claim_ref
        if source is None or source.driver != self._driver.name or claim.status.phase != "Bound":
            return False
        if reference is None or reference.uid != claim.metadata.uid or claim.metadata.deletion_timestamp is not None:
            return False
        wanted, has = requested(claim), claim.status.capacity.get(STORAGE)
        if has is None or wanted.value <= has.value:
            return False
        waits_for_node = claim.status.allocated_resource_statuses.get(STORAGE) in _NODE_STEPS
        return not (waits_for_node and capacity(volume).value >= wanted.value)

    async def _begin(self, claim: PersistentVolumeClaim, volume: PersistentVolume, wanted: Quantity) -> None:
        if claim.status.allocated_resource_statuses.get(STORAGE) == IN_PROGRESS:
            return
        await self._write(
            claim,
            {
                "allocatedResources": {STORAGE: str(wanted)},
                "allocatedResourceStatuses": {STORAGE: IN_PROGRESS},
                "conditions": [self._condition(RESIZING, "")],
            },
        )
        text = f"External resizer is resizing volume {volume.metadata.name}"
        self._recorder.event(claim, NORMAL, RESIZING, text)

    async def _expand(self, volume: PersistentVolume, wanted: Quantity) -> tuple[Quantity, bool]:
        """(the size it has now, whether its node must do the rest). Raises CsiError, TryAgain and ApiError."""
        csi = volume.spec.csi
        assert csi is not None
        if not self._driver.can(ControllerRpc.EXPAND_VOLUME):
            return wanted, True
        secrets = await secret_data(self._client, csi.controller_expand_secret_ref)
        size, on_node = await self._driver.calls.controller_expand(
            csi.volume_handle, wanted.value, self._driver.capability_of(volume), secrets
        )
        return (wanted if size <= wanted.value else quantity_of(size)), on_node

    def _condition(self, kind: str, message: str) -> dict[str, str]:
        condition = {"type": kind, "status": "True", "lastTransitionTime": rfc3339(self._clock.now())}
        return {**condition, "message": message} if message else condition

    async def _write(self, claim: PersistentVolumeClaim, status: dict[str, Any]) -> None:
        meta = claim.metadata
        change = {"metadata": {"uid": meta.uid}, "status": status}
        await self._client.patch(
            PersistentVolumeClaim, meta.name or "", meta.namespace or "", change, type="strategic", subresource="status"
        )


def _without(condition: str) -> dict[str, str]:
    """In a strategic merge patch: remove the condition."""
    return {"$patch": "delete", "type": condition}
