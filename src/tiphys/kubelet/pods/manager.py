"""All pods of the node: a worker each, told by the API's changes and the runtime's."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tiphys.api.types.core_v1 import Node, Pod
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriError
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle.events import Adopted
from tiphys.kubelet.lifecycle.state import VolumeStep
from tiphys.kubelet.pods.admission import admit, resize_refusal
from tiphys.kubelet.pods.eviction import REASON, choose
from tiphys.kubelet.pods.resources import as_running, resources_differ, with_resources_of
from tiphys.kubelet.pods.services import NodeServices
from tiphys.kubelet.pods.worker import PodWorker
from tiphys.kubelet.spec.names import is_mirror, key_of, uid_of

_logger = get_logger(__name__)


class Mirrors(Protocol):
    """Who keeps static pods' objects in the API."""

    def seen(self, mirror: Pod) -> None:
        """A mirror of a pod that runs here."""
        ...

    def lost(self, mirror: Pod) -> None:
        """The API has it no more, though its pod runs."""
        ...

    def stale(self, mirror: Pod) -> None:
        """A mirror of no pod that runs here."""
        ...


class NoMirrors:
    """Of a node without static pods."""

    def seen(self, mirror: Pod) -> None:
        return

    lost = stale = seen


class PodManager:
    """The node's pods by uid. `node_object` gives the node as the API has it, for admission."""

    def __init__(
        self, node: NodeServices, node_object: Callable[[], Node | None], mirrors: Mirrors | None = None
    ) -> None:
        self.node = node
        self._mirrors = mirrors or NoMirrors()
        self._node_object = node_object
        self._workers: dict[str, PodWorker] = {}
        self._found: dict[str, Adopted] = {}
        self._deferred: set[str] = set()

    def all(self) -> list[PodWorker]:
        return list(self._workers.values())

    def get(self, uid: str) -> PodWorker | None:
        return self._workers.get(uid)

    def by_name(self, namespace: str, name: str) -> PodWorker | None:
        """The newest pod of that name."""
        found = [
            w for w in self._workers.values() if w.pod.metadata.name == name and w.pod.metadata.namespace == namespace
        ]
        return max(found, key=lambda w: w.pod.metadata.creation_timestamp or "", default=None)

    def recovered(self, found: dict[str, Adopted]) -> None:
        """What the runtime holds; pods that turn up take theirs, `remove_orphans` the rest."""
        self._found = found

    # -- the API ---------------------------------------------------------------------------------------------------

    def added(self, pod: Pod) -> None:
        """A pod was assigned to this node (or is seen for the first time)."""
        uid = uid_of(pod)
        if uid in self._workers:
            self.changed(pod, pod)
            return
        if is_mirror(pod):
            self._mirrors.stale(pod)
            return
        self._begin(pod, static=False)

    def _begin(self, pod: Pod, *, static: bool) -> None:
        uid = uid_of(pod)
        running = as_running(pod)
        worker = PodWorker(running, self.node, self._forgotten)
        worker.api_pod = pod
        self._workers[uid] = worker
        worker.has_api_object = not static
        if not static:
            self.node.statuses.add(uid, pod, worker.status)
        adopted = self._found.pop(uid, Adopted((), ()))
        new = not adopted.containers and pod.status.phase in (None, "", "Pending")
        if new and not worker.lifecycle.state.deleted:
            self._admit(worker)
        if not worker.ended:
            worker.handle(adopted)
        if resources_differ(pod, running):
            worker.handle(events.PodChanged(self._resized(worker, pod)))

    def _admit(self, worker: PodWorker) -> None:
        """Refuse a pod the node cannot take."""
        node = self._node_object()
        if node is None:
            return
        refusal = admit(
            worker.pod, self._beside(worker), node, allowed_unsafe_sysctls=self.node.config.allowed_unsafe_sysctls
        )
        if refusal is not None:
            worker.say("Warning", refusal.reason, refusal.message)
            worker.handle(events.Refused(refusal.reason, refusal.message))

    def _beside(self, worker: PodWorker) -> list[Pod]:
        """The pods whose room is taken. One that is gone from the API has none, though its containers may still end:
        the scheduler has given its room away."""
        return [
            other.pod
            for other in self._workers.values()
            if other is not worker and not other.ended and not other.lifecycle.state.gone
        ]

    def changed(self, old: Pod, pod: Pod) -> None:
        worker = self._workers.get(uid_of(pod))
        if worker is None:
            self.added(pod)
            return
        worker.api_pod = pod
        self.node.statuses.add(worker.uid, pod, worker.status)
        if is_mirror(pod):
            self._mirrors.seen(pod)
            self.node.statuses.publish(worker.uid, urgent=False)
            return
        worker.handle(events.PodChanged(self._resized(worker, pod)))
        described = old.metadata.labels != pod.metadata.labels or old.metadata.annotations != pod.metadata.annotations
        if described and worker.lifecycle.state.volumes is VolumeStep.READY:
            worker.refresh_volumes()
        if old.status.conditions != pod.status.conditions and pod.spec.readiness_gates:
            self.node.statuses.publish(worker.uid, urgent=True)

    def _resized(self, worker: PodWorker, pod: Pod) -> Pod:
        """The pod with the resources it is to have now: those of its spec if the node can give them, else its own."""
        if not resources_differ(pod, worker.pod):
            self._deferred.discard(worker.uid)
            if worker.lifecycle.state.resize_pending is not None:
                worker.handle(events.ResizePending(""))
            return pod
        node = self._node_object()
        refusal = resize_refusal(pod, self._beside(worker), node) if node is not None else None
        if refusal is None:
            self._deferred.discard(worker.uid)
            worker.handle(events.ResizePending(""))
            return pod
        if refusal.reason == "Deferred":
            self._deferred.add(worker.uid)
        worker.handle(events.ResizePending(refusal.reason, refusal.message))
        return with_resources_of(pod, worker.pod)

    def _retry_resizes(self) -> None:
        """Room was made: pods that wait to grow may fit."""
        for uid in list(self._deferred):
            worker = self._workers.get(uid)
            if worker is None:
                self._deferred.discard(uid)
            else:
                worker.handle(events.PodChanged(self._resized(worker, worker.api_pod)))

    def removed(self, pod: Pod) -> None:
        """The API object is gone."""
        worker = self._workers.get(uid_of(pod))
        if worker is None:
            return
        self.node.statuses.remove(worker.uid)
        if is_mirror(pod):
            self._mirrors.lost(pod)
            return
        worker.handle(events.PodGone(pod))

    # -- manifests on the node -------------------------------------------------------------------------------------

    def add_static(self, pod: Pod) -> None:
        """Run a pod of the node's own; its status is told once its mirror is seen in the API."""
        self._begin(pod, static=True)

    def remove_static(self, uid: str) -> None:
        """Its manifest is gone."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.handle(events.PodGone())

    def objects_changed(self, uids: frozenset[str]) -> None:
        """ConfigMaps or Secrets these pods use have changed."""
        for uid in uids:
            worker = self._workers.get(uid)
            if worker is not None and worker.lifecycle.state.volumes is VolumeStep.READY:
                worker.refresh_volumes()
            elif worker is not None:
                worker.retry_soon()

    def volumes_may_mount(self) -> None:
        """A volume was attached, or a driver came: pods that wait for volumes try again."""
        for worker in list(self._workers.values()):
            if worker.lifecycle.state.volumes is VolumeStep.NONE and not worker.ended:
                worker.retry_soon()

    def renew_tokens(self, now: float) -> None:
        """Refresh the volumes of pods whose tokens are old."""
        for worker in self._workers.values():
            due = self.node.volumes.renew_at(worker.uid)
            if due and now >= due:
                worker.refresh_volumes()

    async def relieve_memory(self, available_bytes: int, threshold_bytes: int) -> None:
        """Evict the pod that should go first. Raises CriError."""
        running = [w.pod for w in self._workers.values() if not w.ended]
        stats = await self.node.runtime.list_container_stats()
        choice = choose(running, stats, available_bytes=available_bytes, threshold_bytes=threshold_bytes)
        worker = self._workers.get(choice.uid) if choice is not None else None
        if choice is not None and worker is not None:
            worker.say("Warning", REASON, choice.message)
            worker.handle(events.Evicted(REASON, choice.message, 0))

    def _forgotten(self, worker: PodWorker) -> None:
        if self._workers.get(worker.uid) is worker:
            del self._workers[worker.uid]
            self._retry_resizes()

    # -- the runtime (pleg.Watched) --------------------------------------------------------------------------------

    def running_containers(self) -> frozenset[str]:
        return frozenset(id for w in self._workers.values() for id in w.running_containers())

    def ready_sandboxes(self) -> frozenset[str]:
        return frozenset(id for w in self._workers.values() if (id := w.ready_sandbox()))

    def container_changed(self, container_id: str) -> None:
        for worker in self._workers.values():
            if container_id in worker.running_containers():
                worker.expect_exit(container_id)
                return
        for worker in self._workers.values():
            worker.early_exits.note(container_id)

    def sandbox_lost(self, sandbox_id: str) -> None:
        for worker in self._workers.values():
            if worker.ready_sandbox() == sandbox_id:
                worker.handle(events.SandboxLost(sandbox_id))
                return

    # -- housekeeping ----------------------------------------------------------------------------------------------

    async def remove_orphans(self) -> None:
        """Stop and remove what belongs to pods the API does not know, and their folders and cgroups."""
        orphans, self._found = self._found, {}
        for uid, found in orphans.items():
            _logger.info("removing an orphaned pod", uid=uid)
            for sandbox in found.sandboxes:
                with contextlib.suppress(CriError):
                    await self.node.runtime.stop_sandbox(sandbox.id)
                    await self.node.runtime.remove_sandbox(sandbox.id)
        await self.remove_leftovers()
        for folder in self._log_folders():
            if folder.name.rpartition("_")[2] not in self._workers:
                await asyncio.to_thread(shutil.rmtree, folder, True)
        if self.node.cgroups is not None:
            for uid in self.node.cgroups.leftovers() - self._workers.keys():
                try:
                    self.node.cgroups.remove(uid)
                except OSError as error:
                    _logger.warning("leftover cgroup not removed", uid=uid, error=str(error))

    async def remove_leftovers(self) -> None:
        """Volumes of pods the node knows nothing of: what cannot be given back yet is tried by the next call."""
        for uid in self.node.volumes.leftovers():
            if uid not in self._workers:
                try:
                    await self.node.volumes.clean(uid)
                except OSError as error:
                    _logger.warning("leftover volumes not removed", uid=uid, error=str(error))

    def _log_folders(self) -> list[Path]:
        try:
            return list(self.node.config.logs_dir.iterdir())
        except FileNotFoundError:
            return []

    async def close(self) -> None:
        """Let go of all pods; they run on."""
        await asyncio.gather(*(w.close() for w in self._workers.values()))
        _logger.debug("pods let go", pods=[key_of(w.pod) for w in self._workers.values()])
