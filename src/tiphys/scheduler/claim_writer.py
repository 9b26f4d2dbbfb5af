"""Writes into claims' statuses who uses them, with which devices: conflict-safe, whatever others write meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from msgspec.structs import replace

from tiphys.api.errors import ApiError
from tiphys.api.resource_claims import FINALIZER, MAXIMUM_USERS
from tiphys.api.types.core_v1 import NodeSelector
from tiphys.api.types.resource_v1 import ResourceClaim, ResourceClaimConsumerReference
from tiphys.scheduler.devices.state import DeviceState
from tiphys.scheduler.framework import Rejected
from tiphys.scheduler.template import PodInfo

IN_USE: Final = "resourceclaim in use"
_TRIES: Final = 5
Write = Callable[[], Awaitable[ResourceClaim]]


class ClaimClient(Protocol):
    """What is needed of a Client."""

    async def get(self, kind: type[ResourceClaim], name: str, namespace: str = "") -> ResourceClaim: ...
    async def update(self, obj: ResourceClaim) -> ResourceClaim: ...
    async def update_status(self, obj: ResourceClaim) -> ResourceClaim: ...
    async def patch(
        self, kind: type[ResourceClaim], name: str, namespace: str, body: Any, *, type: str, subresource: str
    ) -> ResourceClaim: ...


class ClaimWriter:
    """Of the devices that `state` says claims are to get."""

    def __init__(self, client: ClaimClient, state: DeviceState) -> None:
        self._client = client
        self._state = state

    async def reserve(self, claim: ResourceClaim, info: PodInfo, is_here: Callable[[NodeSelector], bool]) -> None:
        """The pod is a user of the claim, and the claim has its devices. `is_here`: of the pod's node.

        Raises Rejected, ApiError.
        """
        current = claim
        for _ in range(_TRIES):
            if current.metadata.uid != claim.metadata.uid or current.metadata.deletion_timestamp is not None:
                raise Rejected(f'resourceclaim "{claim.metadata.name}" is being deleted')
            try:
                if current.status.allocation is None and FINALIZER not in current.metadata.finalizers:
                    kept = replace(current.metadata, finalizers=(*current.metadata.finalizers, FINALIZER))
                    current = await self._client.update(replace(current, metadata=kept))
                wanted = self._with_user(current, info, is_here)
                if wanted is not current:
                    self._state.observe_answer(await self._client.update_status(wanted))
                return
            except ApiError as error:
                if error.code != 409:
                    raise
            current = await self._client.get(ResourceClaim, claim.metadata.name or "", claim.metadata.namespace or "")
        raise Rejected(f'resourceclaim "{claim.metadata.name}" changes too often', unschedulable=False)

    def _with_user(self, claim: ResourceClaim, info: PodInfo, is_here: Callable[[NodeSelector], bool]) -> ResourceClaim:
        status, name = claim.status, claim.metadata.name
        mine = self._state.in_flight.get(claim.metadata.uid or "")
        if status.allocation is None:
            if mine is None:
                raise Rejected(f'resourceclaim "{name}" lost its devices', unschedulable=False)
            status = replace(status, allocation=mine)
        elif mine is not None and mine.devices != status.allocation.devices:
            raise Rejected(f'resourceclaim "{name}" was given other devices', unschedulable=False)
        elif status.allocation.node_selector is not None and not is_here(status.allocation.node_selector):
            raise Rejected(f'resourceclaim "{name}" not available on the node', unschedulable=False)
        if all(user.uid != info.uid for user in status.reserved_for):
            if len(status.reserved_for) >= MAXIMUM_USERS:
                raise Rejected(IN_USE)
            user = ResourceClaimConsumerReference(resource="pods", name=info.key[1], uid=info.uid)
            status = replace(status, reserved_for=(*status.reserved_for, user))
        return claim if status is claim.status else replace(claim, status=status)

    async def release(self, claim: ResourceClaim, uid: str) -> None:
        """The pod of that uid does not use the claim any more; its devices it keeps."""
        meta = claim.metadata
        body = {"metadata": {"uid": meta.uid}, "status": {"reservedFor": [{"$patch": "delete", "uid": uid}]}}
        await self._unless_changed(
            lambda: self._client.patch(
                ResourceClaim, meta.name or "", meta.namespace or "", body, type="strategic", subresource="status"
            )
        )

    async def deallocate(self, claim: ResourceClaim) -> None:
        """The claim has no devices any more. Does nothing if somebody has changed it."""
        status = replace(claim.status, allocation=None, devices=(), reserved_for=())
        await self._unless_changed(lambda: self._client.update_status(replace(claim, status=status)))

    async def _unless_changed(self, write: Write) -> None:
        try:
            self._state.observe_answer(await write())
        except ApiError as error:
            if error.code not in (404, 409):
                raise
