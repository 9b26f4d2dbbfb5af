"""A pod's worker: feeds its lifecycle with events and performs what it asks for. Between events it has no task."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import EphemeralContainer, Pod, PodStatus
from tiphys.base.backoff import Backoff
from tiphys.base.logging import get_logger
from tiphys.cri.errors import CriError
from tiphys.kubelet.hooks import HookError, run_hook
from tiphys.kubelet.images import ImageError
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.machine import PodLifecycle
from tiphys.kubelet.lifecycle.state import AnyContainer, SandboxStep, Stage, Step
from tiphys.kubelet.pods.early_exits import EarlyExits
from tiphys.kubelet.pods.probing import Probing
from tiphys.kubelet.pods.services import NodeServices
from tiphys.kubelet.pods.sightings import sighting
from tiphys.kubelet.pods.starting import config_of_sandbox, start_container, start_sandbox
from tiphys.kubelet.spec.container import container_resources
from tiphys.kubelet.spec.names import POD_UID, key_of, log_folder, uid_of
from tiphys.kubelet.volumes.payload import VolumeError, VolumeWaits

FIRST_LOOK_SECONDS: Final = 0.02
LAST_LOOK_SECONDS: Final = 2.0
REMOVAL_TRIES: Final = 12
_logger = get_logger(__name__)


class PodWorker:
    """One pod of the node. `on_forgotten` is called when nothing is left to do for it."""

    def __init__(self, pod: Pod, node: NodeServices, on_forgotten: Callable[[PodWorker], None]) -> None:
        self.uid = uid_of(pod)
        self.lifecycle = PodLifecycle(pod)
        self.api_pod = pod
        """The pod as the API has it; for a static pod its mirror. Events and deletions are about it."""
        self.has_api_object = True
        self._node = node
        self._on_forgotten = on_forgotten
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._expected: set[str] = set()
        self.early_exits = EarlyExits()
        self._exits: dict[str, list[asyncio.Future[None]]] = {}
        self._probing = Probing(node, self.handle, self.say, lambda: self.pod, lambda: self.pod_ips)
        self._performers: dict[type, Callable[[Any], None]] = {
            do.PrepareVolumes: self._later(self._prepare_volumes),
            do.StartSandbox: self._later(self._start_sandbox),
            do.StopSandbox: self._later(self._stop_sandbox),
            do.PullImage: self._later(self._pull_image),
            do.StartContainer: self._later(self._start_container),
            do.RunPostStart: self._later(self._post_start),
            do.StopContainer: self._later(self._stop_container),
            do.ResizeContainer: self._later(self._resize_container),
            do.RemoveContainer: self._later(self._remove_container),
            do.StartProbe: lambda i: self._probing.start(self._container(i.name), i),
            do.StopProbes: lambda i: self._probing.stop(i),
            do.Record: lambda i: self.say(i.type, i.reason, i.message, i.container),
            do.PublishStatus: lambda i: node.statuses.publish(self.uid, urgent=i.urgent),
            do.WakeAt: self._wake_at,
            do.CleanUp: self._later(self._clean_up),
            do.ConfirmDeletion: self._later(self._confirm_deletion),
            do.Forget: self._later(self._forget),
        }

    @property
    def pod(self) -> Pod:
        return self.lifecycle.state.pod

    @property
    def pod_ips(self) -> tuple[str, ...]:
        if self.pod.spec.host_network:
            return (self._node.config.node_ip,)
        sandbox = self.lifecycle.state.sandbox
        return sandbox.ips if sandbox is not None else ()

    @property
    def ended(self) -> bool:
        """Its containers are done for good: it takes no resources of the node."""
        return self.lifecycle.state.stage in (Stage.TERMINATED, Stage.REFUSED, Stage.FORGOTTEN)

    def status(self) -> PodStatus:
        return self.lifecycle.status(self._node.clock.now(), (self._node.config.node_ip,))

    def handle(self, event: events.Event) -> None:
        """Tell the lifecycle, and begin what it asks for."""
        if isinstance(event, events.ContainerSeen) and event.sighting.health is events.Health.EXITED:
            for waiter in self._exits.pop(event.sighting.id, ()):
                if not waiter.done():
                    waiter.set_result(None)
        for instruction in self.lifecycle.handle(event, self._node.clock.now()):
            self._performers[type(instruction)](instruction)

    def say(self, type_: str, reason: str, message: str, container: str = "") -> None:
        """Record an event about the pod or one of its containers."""
        path = self._node.field_path(self.pod, self._container(container)) if container else ""
        self._node.recorder.event(self.api_pod, type_, reason, message, field_path=path)

    def exit_of(self, container_id: str) -> asyncio.Future[None]:
        """Done when that instance runs no more; for followers of its log."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state = self.lifecycle.state
        if any(c.id == container_id and c.alive for c in state.containers.values()):
            self._exits.setdefault(container_id, []).append(waiter)
        else:
            waiter.set_result(None)
        return waiter

    def expect_exit(self, container_id: str) -> None:
        """The runtime hints that a container has exited: look, unless that is being done."""
        stopping = any(
            c.id == container_id and c.step is Step.STOPPING for c in self.lifecycle.state.containers.values()
        )
        if stopping or container_id in self._expected:
            return
        self._expected.add(container_id)
        self._begin(self._expect_exit(container_id), "expect exit")

    async def _expect_exit(self, id: str) -> None:
        # A runtime may tell of an exit before its own books have it.
        delay = FIRST_LOOK_SECONDS
        try:
            while delay < LAST_LOOK_SECONDS:
                await self._observe(id)
                if not any(c.id == id and c.alive for c in self.lifecycle.state.containers.values()):
                    return
                await self._node.clock.sleep(delay)
                delay *= 2
        finally:
            self._expected.discard(id)

    def running_containers(self) -> list[str]:
        return [c.id for c in self.lifecycle.state.containers.values() if c.alive and c.id]

    def ready_sandbox(self) -> str:
        """The sandbox's id while it should be up, else ""."""
        state = self.lifecycle.state
        return state.sandbox.id if state.sandbox is not None and state.sandbox_step is SandboxStep.READY else ""

    def retry_soon(self) -> None:
        """What a retry waits for may be there now."""
        self.lifecycle.hurry()
        self.handle(events.Tick())

    def refresh_volumes(self) -> None:
        """Objects, labels or tokens have changed."""
        self._begin(self._refresh_volumes(), "refresh volumes")

    async def close(self) -> None:
        """Stop working on the pod; its containers stay as they are."""
        self._probing.close()
        if self._alarm is not None:
            self._alarm.cancel()
        tasks = [t for t in self._tasks if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- performing ------------------------------------------------------------------------------------------------

    def _container(self, name: str) -> AnyContainer:
        return self.lifecycle.state.containers[name].spec

    def _later(self, perform: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
        return lambda instruction: self._begin(perform(instruction), type(instruction).__name__)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"{key_of(self.pod)}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("pod operation failed", task=task.get_name(), error=repr(task.exception()))

    def _wake_at(self, order: do.WakeAt) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        delay = max(order.time - self._node.clock.now(), 0.0)
        self._alarm = asyncio.get_running_loop().call_later(delay, self.handle, events.Tick())

    async def _prepare_volumes(self, order: do.PrepareVolumes) -> None:
        try:
            if self._node.cgroups is not None:
                self._node.cgroups.create(self.pod)
            await self._node.volumes.prepare(self.pod)
        except VolumeWaits as wait:
            self.handle(events.VolumesWaiting(str(wait)))
            return
        except (VolumeError, OSError, ApiError) as error:
            self.handle(events.VolumesFailed(str(error)))
            return
        self.handle(events.VolumesReady())

    async def _refresh_volumes(self) -> None:
        try:
            await self._node.volumes.refresh(self.pod)
        except (VolumeError, OSError) as error:
            _logger.warning("volumes not refreshed", pod=key_of(self.pod), error=str(error))
        # An object that was missing may be there now.
        self.retry_soon()

    async def _start_sandbox(self, order: do.StartSandbox) -> None:
        try:
            started = await start_sandbox(self._node, self.pod, order)
        except (CriError, ApiError, OSError) as error:
            self.handle(events.SandboxFailed(str(error)))
            return
        self.handle(started)

    async def _stop_sandbox(self, order: do.StopSandbox) -> None:
        backoff = Backoff(0.5, 2.0, 10.0)
        while True:
            try:
                await self._node.runtime.stop_sandbox(order.id)
                break
            except CriError as error:
                self.say("Warning", "FailedKillPod", f"error killing pod: {error}")
                await self._node.clock.sleep(backoff.next_seconds())
        self.handle(events.SandboxStopped())

    async def _pull_image(self, order: do.PullImage) -> None:
        container = self._container(order.name)
        state = self.lifecycle.state
        sandbox = config_of_sandbox(self._node, self.pod, state.sandbox.attempt if state.sandbox else 0)
        policy = container.image_pull_policy or "IfNotPresent"
        try:
            ref = await self._node.images.ensure(
                self.pod,
                order.name,
                container.image or "",
                policy,
                sandbox,
                lambda type_, reason, message: self.say(type_, reason, message, order.name),
            )
        except ImageError as error:
            self.handle(events.ImageFailed(order.name, error.reason, error.message))
            return
        except ApiError as error:
            self.handle(events.ImageFailed(order.name, "ErrImagePull", error.message))
            return
        self.handle(events.ImageReady(order.name, ref))

    async def _start_container(self, order: do.StartContainer) -> None:
        container = self._container(order.name)
        target = ""
        if isinstance(container, EphemeralContainer) and container.target_container_name:
            found = self.lifecycle.state.containers.get(container.target_container_name)
            target = found.id if found is not None else ""
        tell = partial(self.say, container=order.name)
        outcome: events.ContainerStarted | events.ContainerRefused
        with self.early_exits:
            try:
                outcome = await start_container(self._node, self.pod, container, order, self.pod_ips, target, tell)
            except CriError as error:
                outcome = events.ContainerRefused(order.name, "RunContainerError", str(error))
            self.handle(outcome)
            if isinstance(outcome, events.ContainerStarted) and outcome.sighting.id in self.early_exits:
                self.expect_exit(outcome.sighting.id)

    async def _post_start(self, order: do.RunPostStart) -> None:
        container = self._container(order.name)
        handler = container.lifecycle.post_start if container.lifecycle is not None else None
        try:
            if handler is not None:
                await self._run_hook(handler, container, order.id)
        except HookError as error:
            _logger.info("postStart hook failed", pod=key_of(self.pod), container=order.name, error=str(error))
            self.handle(events.HookFailed(order.name, order.id, "PostStartHook failed"))
            return
        self.handle(events.HookFinished(order.name, order.id))

    def _run_hook(self, handler: Any, container: AnyContainer, id: str) -> Awaitable[None]:
        ip = self.pod_ips[0] if self.pod_ips else ""
        return run_hook(handler, container, id, ip, self._node.runtime, self._node.clock)

    async def _stop_container(self, order: do.StopContainer) -> None:
        left = order.grace_seconds
        if order.pre_stop and left > 0:
            left = await self._pre_stop(order)
        try:
            await self._node.runtime.stop_container(order.id, timeout_seconds=max(round(left), 0))
        except CriError as error:
            self.handle(events.StopFailed(order.name, order.id, str(error)))
            return
        state = self.lifecycle.state.containers[order.name]
        if state.id == order.id and state.alive:
            await self._observe(order.id)

    async def _pre_stop(self, order: do.StopContainer) -> float:
        """Run the hook within the grace; what is left of it, two seconds at least if there was a hook."""
        container = self._container(order.name)
        handler = container.lifecycle.pre_stop if container.lifecycle is not None else None
        if handler is None:
            return order.grace_seconds
        clock = self._node.clock
        started = clock.monotonic()
        try:
            async with asyncio.timeout(order.grace_seconds):
                await self._run_hook(handler, container, order.id)
        except (HookError, TimeoutError) as error:
            _logger.info("preStop hook failed", pod=key_of(self.pod), container=order.name, error=str(error))
            self.say("Warning", "FailedPreStopHook", "PreStopHook failed", order.name)
        return max(order.grace_seconds - (clock.monotonic() - started), min(2.0, order.grace_seconds))

    async def _observe(self, id: str) -> None:
        try:
            status = await self._node.runtime.container_status(id)
        except CriError as error:
            if error.not_found:
                self.handle(events.ContainerVanished(id))
            else:
                _logger.info("container not seen", pod=key_of(self.pod), id=id, error=str(error))
            return
        self.handle(events.ContainerSeen(await sighting(status)))

    async def _resize_container(self, order: do.ResizeContainer) -> None:
        container = self._container(order.name)
        resources = container_resources(self.pod, container, self._node.memory_capacity_bytes)
        try:
            if self._node.cgroups is not None:
                self._node.cgroups.create(self.pod)
            await self._node.runtime.update_container_resources(order.id, resources)
        except (CriError, OSError) as error:
            self.handle(events.ResizeFailed(order.name, order.id, str(error)))
            return
        self.handle(events.ContainerResized(order.name, order.id))

    async def _remove_container(self, order: do.RemoveContainer) -> None:
        with contextlib.suppress(CriError):
            await self._node.runtime.remove_container(order.id)

    async def _clean_up(self, order: do.CleanUp) -> None:
        try:
            await self._node.volumes.clean(self.uid)
            if self._node.cgroups is not None:
                self._node.cgroups.remove(self.uid)
        except OSError as error:
            _logger.warning("clean-up failed; it is tried again", pod=key_of(self.pod), error=str(error))
            self.handle(events.CleanUpFailed(str(error)))
            return
        self.handle(events.CleanedUp())

    async def _confirm_deletion(self, order: do.ConfirmDeletion) -> None:
        if not self.has_api_object:
            self.handle(events.PodGone())
            return
        meta = self.api_pod.metadata
        backoff = Backoff(0.2, 2.0, 10.0)
        await self._node.statuses.flush(self.uid)
        while not self.lifecycle.state.gone:
            try:
                await self._node.client.delete(
                    Pod, meta.name or "", meta.namespace or "", uid=meta.uid or "", grace_period_seconds=0
                )
                return
            except ApiError as error:
                if error.code in (404, 409):
                    # Gone, or replaced by a namesake: either way this pod is no more.
                    self.handle(events.PodGone())
                    return
                _logger.info("pod not deleted; trying again", pod=key_of(self.pod), error=error.message)
            except (OSError, TimeoutError) as error:
                _logger.info("pod not deleted; trying again", pod=key_of(self.pod), error=repr(error))
            await self._node.clock.sleep(backoff.next_seconds())

    async def _remove_sandboxes(self) -> None:
        """Remove all the runtime keeps of the pod; what it refuses for minutes, the next kubelet removes."""
        backoff = Backoff(0.2, 2.0, 30.0)
        for _ in range(REMOVAL_TRIES):
            try:
                async with self._node.removal_slots:
                    for sandbox in await self._node.runtime.list_sandboxes(labels={POD_UID: self.uid}):
                        await self._node.runtime.remove_sandbox(sandbox.id)
                return
            except CriError as error:
                _logger.info("sandbox not removed; trying again", pod=key_of(self.pod), error=str(error))
            await self._node.clock.sleep(backoff.next_seconds())

    async def _forget(self, order: do.Forget) -> None:
        self._node.statuses.remove(self.uid)
        self._probing.close()
        if self._alarm is not None:
            self._alarm.cancel()
        self._on_forgotten(self)
        await self._remove_sandboxes()
        logs = Path(self._node.config.logs_dir) / log_folder(self.pod)
        await asyncio.to_thread(shutil.rmtree, logs, True)
