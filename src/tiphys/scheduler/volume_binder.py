"""Gets a placed pod's claims their volumes: the part of VolumeBinding that takes time.

reserve ──bind──► claimRefs and selected-node written ──claims observed bound──► returns; released
    └───────────── refused, taken back, too late, pod gone ────────────────────► raises; release
"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api.types.core_v1 import Node, ObjectReference, PersistentVolume, PersistentVolumeClaim
from tiphys.base.clock import Clock
from tiphys.client import Client
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.volumes import ClaimKey, Plan, PodKey, VolumeTable, reachable

_PREFIX = 'running PreBind plugin "VolumeBinding"'


class VolumesNotBound(TimeoutError):
    """The pod's claims did not get volumes on its node; the text is shown to users."""


class VolumeBinder:
    """Told of every change by `observed`. A pod without unbound claims costs nothing."""

    def __init__(self, client: Client, table: VolumeTable, clock: Clock) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._plans: dict[PodKey, tuple[Plan, Node]] = {}
        #: Who waits for a change of a claim, by its key, or of a volume, by ("", name).
        self._waiting: dict[ClaimKey, set[asyncio.Event]] = {}

    def reserve(self, info: PodInfo, node: Node) -> None:
        """Promise the pod, placed on `node`, the volumes its unbound claims get there; none if all are bound."""
        plan = self._table.plan(info.template.namespace, info.template.claims, node)
        if plan.bind or plan.provision:
            self._table.reserve(info.key, plan)
            self._plans[info.key] = (plan, node)

    def release(self, key: PodKey) -> None:
        """The pod has what it was promised, or will not get it. Idempotent."""
        promised = self._plans.pop(key, None)
        if promised is not None:
            self._table.release(key, promised[0])

    def is_promised(self, key: PodKey) -> bool:
        """Whether the pod's claims must be bound before it is."""
        return key in self._plans

    async def bind(self, key: PodKey, timeout_seconds: float) -> None:
        """Have the claims of a pod bound. Raises ApiError, OSError, and VolumesNotBound, also when it takes too long.

        What is under way stays when it is cancelled: another pod may use the claims.
        """
        plan, node = self._plans[key]
        await self._bind(plan, node, timeout_seconds)
        self.release(key)

    def observed(self, obj: Any) -> None:
        """An object of a storage kind came, changed or went: the table has it already."""
        if isinstance(obj, (PersistentVolume, PersistentVolumeClaim)):
            for event in self._waiting.get((obj.metadata.namespace or "", obj.metadata.name or ""), ()):
                event.set()

    async def _bind(self, plan: Plan, node: Node, timeout_seconds: float) -> None:
        # Listened for before anything is written: the answer may be observed before the write returns.
        event = asyncio.Event()
        keys = [*plan.claims, *(("", volume) for _, volume in plan.bind)]
        for key in keys:
            self._waiting.setdefault(key, set()).add(event)
        timer = asyncio.ensure_future(self._clock.sleep(timeout_seconds))
        timer.add_done_callback(lambda _: event.set())
        try:
            for claim_key, volume_name in plan.bind:
                await self._claim(claim_key, volume_name)
            for claim_key in plan.provision:
                await self._select(claim_key, plan.node)
            while not self._all_bound(plan, node):
                if timer.done():
                    raise VolumesNotBound(f"{_PREFIX}: binding volumes: context deadline exceeded")
                event.clear()
                await event.wait()
        finally:
            timer.cancel()
            for key in keys:
                waiting = self._waiting[key]
                waiting.discard(event)
                if not waiting:
                    del self._waiting[key]

    async def _claim(self, claim_key: ClaimKey, volume_name: str) -> None:
        """Write the claim into the volume's claimRef; the binder does the rest."""
        claim, volume = self._table.claims.get(claim_key), self._table.volumes.get(volume_name)
        if claim is None or volume is None:
            return
        reference, meta = volume.spec.claim_ref, claim.metadata
        if reference is not None and reference.uid == meta.uid:
            return
        wanted = ObjectReference(
            kind="PersistentVolumeClaim",
            api_version="v1",
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            resource_version=meta.resource_version,
        )
        annotations = {**volume.metadata.annotations}
        if not facts.refers_to(reference, claim):
            annotations.setdefault(facts.BOUND_BY_CONTROLLER, "yes")
        await self._client.update(
            replace(
                volume,
                metadata=replace(volume.metadata, annotations=annotations),
                spec=replace(volume.spec, claim_ref=wanted),
            )
        )

    async def _select(self, claim_key: ClaimKey, node_name: str) -> None:
        """Write the node into the claim, for its provisioner."""
        claim = self._table.claims.get(claim_key)
        if claim is None or claim.metadata.annotations.get(facts.SELECTED_NODE) == node_name:
            return
        annotations = {**claim.metadata.annotations, facts.SELECTED_NODE: node_name}
        written = await self._client.update(replace(claim, metadata=replace(claim.metadata, annotations=annotations)))
        # Taken in at once: it must not look as if the provisioner had taken the node back.
        shown = self._table.claims.get(claim_key)
        if shown is not None and shown.metadata.resource_version == claim.metadata.resource_version:
            self._table.observe(written)

    def _all_bound(self, plan: Plan, node: Node) -> bool:
        """Raises VolumesNotBound once it is plain that they will not be."""
        asked = (*plan.bind, *((key, "") for key in plan.provision))
        return all(self._is_bound(key, node, volume) for key, volume in asked)

    def _is_bound(self, key: ClaimKey, node: Node, volume_name: str) -> bool:
        name = "/".join(key)
        claim = self._table.claims.get(key)
        if claim is None or claim.metadata.deletion_timestamp is not None:
            raise VolumesNotBound(f'{_PREFIX}: binding volumes: PVC "{name}" is gone')
        if facts.is_bound(claim):
            volume = self._table.volumes.get(claim.spec.volume_name or "")
            if volume is not None and not reachable(volume, node):
                text = f'pv "{volume.metadata.name}" node affinity doesn\'t match node "{node.metadata.name}"'
                raise VolumesNotBound(f"{_PREFIX}: binding volumes: {text}")
            return volume is not None
        if volume_name:
            volume = self._table.volumes.get(volume_name)
            reference = volume.spec.claim_ref if volume is not None else None
            if volume is None or (reference is not None and not facts.refers_to(reference, claim)):
                text = f'persistentvolume "{volume_name}" is not available any more'
                raise VolumesNotBound(f"{_PREFIX}: binding volumes: {text}")
        elif claim.metadata.annotations.get(facts.SELECTED_NODE) != node.metadata.name:
            raise VolumesNotBound(f'{_PREFIX}: binding volumes: provisioning failed for PVC "{name}"')
        return False
