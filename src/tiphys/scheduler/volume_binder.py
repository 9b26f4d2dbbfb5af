"""Gets a placed pod's claims their volumes, and says when all have them: the part of VolumeBinding that takes time.

start ──reserve──► claimRefs and selected-node written ──claims observed bound──► done(None)
            └─────────── refused, taken back, too late, pod gone ───────────────► done(error) or nothing
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from tiphys.api import persistent_volumes as facts
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, ObjectReference, PersistentVolume, PersistentVolumeClaim
from tiphys.base.clock import Clock
from tiphys.client import Client
from tiphys.scheduler.template import PodInfo
from tiphys.scheduler.volumes import ClaimKey, Plan, PodKey, VolumeTable, reachable

Done = Callable[[Exception | None], None]
_PREFIX = 'running PreBind plugin "VolumeBinding"'


class VolumesNotBound(TimeoutError):
    """The pod's claims did not get volumes on its node; the text is shown to users."""


class VolumeBinder:
    """One task a pod whose claims are not bound yet; none otherwise. Told of every change by `observed`."""

    def __init__(self, client: Client, table: VolumeTable, clock: Clock, bind_seconds: float) -> None:
        self._client = client
        self._table = table
        self._clock = clock
        self._bind_seconds = bind_seconds
        self._tasks: dict[PodKey, asyncio.Task[None]] = {}
        #: Who waits for a change of a claim, by its key, or of a volume, by ("", name).
        self._waiting: dict[ClaimKey, set[asyncio.Event]] = {}

    def start(self, info: PodInfo, node: Node, done: Done) -> None:
        """Have the claims of a pod placed on `node` bound; `done` is called at once if they are."""
        plan = self._table.plan(info.template.namespace, info.template.claims, node)
        if not plan.bind and not plan.provision:
            done(None)
            return
        self._table.reserve(info.key, plan)
        task = asyncio.get_running_loop().create_task(self._run(info.key, plan, node, done), name="scheduler/volumes")
        self._tasks[info.key] = task

    def observed(self, obj: Any) -> None:
        """An object of a storage kind came, changed or went: the table has it already."""
        if isinstance(obj, (PersistentVolume, PersistentVolumeClaim)):
            for event in self._waiting.get((obj.metadata.namespace or "", obj.metadata.name or ""), ()):
                event.set()

    def pod_gone(self, key: PodKey) -> None:
        """Nobody waits for its volumes any more. What is under way stays: another pod may use the claims."""
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, key: PodKey, plan: Plan, node: Node, done: Done) -> None:
        error: Exception | None = None
        try:
            await self._bind(plan, node)
        except (ApiError, OSError, TimeoutError) as failure:
            error = failure
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]
            self._table.release(key, plan)
        done(error)

    async def _bind(self, plan: Plan, node: Node) -> None:
        # Listened for before anything is written: the answer may be observed before the write returns.
        event = asyncio.Event()
        keys = [*plan.claims, *(("", volume) for _, volume in plan.bind)]
        for key in keys:
            self._waiting.setdefault(key, set()).add(event)
        timer = asyncio.ensure_future(self._clock.sleep(self._bind_seconds))
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
