"""The door to a pod's lifecycle: `handle` an event, perform the instructions it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.types.core_v1 import Pod, PodStatus
from tiphys.kubelet.lifecycle import adoption, ending, events, instances, progress, resize, status
from tiphys.kubelet.lifecycle.events import Event, Health, ProbeKind
from tiphys.kubelet.lifecycle.instructions import (
    Instruction,
    PublishStatus,
    Record,
    RunPostStart,
    StopProbes,
    WakeAt,
)
from tiphys.kubelet.lifecycle.restart import next_backoff
from tiphys.kubelet.lifecycle.state import (
    ContainerState,
    PodState,
    Role,
    SandboxState,
    SandboxStep,
    Stage,
    Step,
    VolumeStep,
    containers_of,
)

PULL_INITIAL_SECONDS = 10.0
PULL_MAXIMUM_SECONDS = 300.0
REFUSED_RETRY_SECONDS = 10.0
VOLUMES_WAIT_SECONDS = 123.0
"""How long volumes may take to be attached before users are told that they do, as upstream."""
VOLUMES_LOOK_SECONDS = 10.0
FLIP_AFTER_SECONDS = 5.0
"""How long ErrImagePull is shown before it reads ImagePullBackOff."""


class PodLifecycle:
    """One pod's life. Deterministic: the same events at the same times give the same instructions."""

    def __init__(self, pod: Pod) -> None:
        self.state = PodState(pod=pod, containers=containers_of(pod))
        self._out: list[Instruction] = []
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            events.PodChanged: self._pod_changed,
            events.PodGone: self._pod_gone,
            events.Tick: self._tick,
            events.Adopted: self._adopted,
            events.Refused: self._refused,
            events.Evicted: self._evicted,
            events.ResizePending: self._resize_pending,
            events.ContainerResized: self._container_resized,
            events.ResizeFailed: self._resize_failed,
            events.VolumesReady: self._volumes_ready,
            events.VolumesFailed: self._volumes_failed,
            events.VolumesWaiting: self._volumes_waiting,
            events.SandboxStarted: self._sandbox_started,
            events.SandboxFailed: self._sandbox_failed,
            events.SandboxLost: self._sandbox_lost,
            events.SandboxStopped: self._sandbox_stopped,
            events.ImageReady: self._image_ready,
            events.ImageFailed: self._image_failed,
            events.ContainerStarted: self._container_started,
            events.ContainerRefused: self._container_refused,
            events.ContainerSeen: self._container_seen,
            events.ContainerVanished: self._container_vanished,
            events.HookFinished: self._hook_finished,
            events.HookFailed: self._hook_failed,
            events.ProbeChanged: self._probe_changed,
            events.StopFailed: self._stop_failed,
            events.CleanedUp: self._cleaned_up,
            events.CleanUpFailed: self._cleanup_failed,
        }

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take the event in and decide what to do next. `now` is epoch seconds and never goes back."""
        out: list[Instruction] = []
        self._out = out
        state = self.state
        if not state.start_time:
            state.start_time = status.start_time_of(state.pod) or now
        self._handlers[type(event)](event, now)
        wakes: list[float] = []
        if state.stage in (Stage.SETTING_UP, Stage.ACTIVE):
            ending.begin_if_due(state, now, out, wakes)
        if state.stage in (Stage.SETTING_UP, Stage.ACTIVE):
            progress.advance(state, now, out, wakes)
            resize.advance(state, now, out)
        if state.stage not in (Stage.SETTING_UP, Stage.ACTIVE):
            ending.advance(state, now, out, wakes)
        self._wake(wakes, now)
        return out

    def hurry(self) -> None:
        """Try again at once what waits for something outside the pod: volumes, and refused configurations."""
        self.state.volumes_retry_at = 0.0
        for container in self.state.containers.values():
            if container.waiting_reason == "CreateContainerConfigError":
                container.retry_at = 0.0

    def status(self, now: float, host_ips: tuple[str, ...] = ()) -> PodStatus:
        """The pod's status as it stands; remembers conditions so that transition times only move with changes."""
        return status.build(self.state, now, host_ips)

    def _wake(self, wakes: list[float], now: float) -> None:
        due = min((w for w in wakes if w > now), default=0.0)
        if due != self.state.wake_at:
            self.state.wake_at = due
            if due:
                self._out.append(WakeAt(due))

    def _changed(self, *, urgent: bool = False) -> None:
        self._out.append(PublishStatus(urgent))

    def _find(self, name: str, id: str) -> ContainerState | None:
        container = self.state.containers.get(name)
        return container if container is not None and container.id == id else None

    # -- the API ---------------------------------------------------------------------------------------------------

    def _pod_changed(self, event: events.PodChanged, now: float) -> None:
        state = self.state
        state.pod = event.pod
        for ephemeral in event.pod.spec.ephemeral_containers:
            if ephemeral.name not in state.containers:
                state.containers[ephemeral.name] = ContainerState(ephemeral, Role.EPHEMERAL)
                self._changed()
        # Other parts of a container's spec are immutable, or (image, resources) take effect on its next start.
        for spec in (*event.pod.spec.init_containers, *event.pod.spec.containers):
            container = state.containers.get(spec.name)
            if container is not None:
                if container.spec.image != spec.image:
                    container.image_ref = ""
                    progress.image_changed(state, container, now, self._out)
                if container.resize_error and container.spec.resources != spec.resources:
                    container.resize_error = ""
                container.spec = spec

    def _resize_pending(self, event: events.ResizePending, now: float) -> None:
        pending = (event.reason, event.message) if event.reason else None
        if self.state.resize_pending != pending:
            self.state.resize_pending = pending
            if pending is not None:
                self._out.append(
                    Record("Warning", f"Resize{event.reason}", f"Pod resize {event.reason}: {event.message}")
                )
            self._changed(urgent=True)

    def _container_resized(self, event: events.ContainerResized, now: float) -> None:
        resize.done(self.state, self.state.containers[event.name], event, self._out)

    def _resize_failed(self, event: events.ResizeFailed, now: float) -> None:
        resize.failed(self.state.containers[event.name], event, self._out)

    def _pod_gone(self, event: events.PodGone, now: float) -> None:
        self.state.gone = True
        if event.pod is not None:
            self.state.pod = event.pod

    def _tick(self, event: events.Tick, now: float) -> None:
        self.state.wake_at = 0.0

    def _adopted(self, event: events.Adopted, now: float) -> None:
        for container in adoption.adopt(self.state, event, now, self._out):
            instances.resume(self.state, container, self._out)
        self._changed()

    def _refused(self, event: events.Refused, now: float) -> None:
        self.state.stage = Stage.REFUSED
        self.state.refusal = (event.reason, event.message)
        self._changed(urgent=True)

    def _evicted(self, event: events.Evicted, now: float) -> None:
        ending.begin(
            self.state,
            now,
            event.grace_seconds,
            self._out,
            reason=event.reason,
            message=event.message,
            failed=True,
            disruption=True,
        )

    # -- volumes and sandbox ---------------------------------------------------------------------------------------

    def _volumes_ready(self, event: events.VolumesReady, now: float) -> None:
        self.state.volumes = VolumeStep.READY
        self.state.volumes_backoff_seconds = self.state.volumes_waiting_since = 0.0

    def _volumes_failed(self, event: events.VolumesFailed, now: float) -> None:
        state = self.state
        state.volumes = VolumeStep.NONE
        state.volumes_backoff_seconds = next_backoff(state.volumes_backoff_seconds, 0.5, 122.0)
        state.volumes_retry_at = now + state.volumes_backoff_seconds
        self._out.append(Record("Warning", "FailedMount", event.message))

    def _volumes_waiting(self, event: events.VolumesWaiting, now: float) -> None:
        state = self.state
        state.volumes = VolumeStep.NONE
        state.volumes_backoff_seconds = 0.0
        state.volumes_retry_at = now + VOLUMES_LOOK_SECONDS
        state.volumes_waiting_since = state.volumes_waiting_since or now
        if now - state.volumes_waiting_since >= VOLUMES_WAIT_SECONDS:
            state.volumes_waiting_since = now
            self._out.append(Record("Warning", "FailedMount", event.message))

    def _sandbox_started(self, event: events.SandboxStarted, now: float) -> None:
        state = self.state
        seen = event.sandbox
        state.sandbox = SandboxState(seen.id, seen.attempt, seen.ips)
        state.sandbox_step = SandboxStep.READY
        state.sandbox_backoff_seconds = 0.0
        if state.stage is Stage.SETTING_UP:
            state.stage = Stage.ACTIVE
        self._changed()

    def _sandbox_failed(self, event: events.SandboxFailed, now: float) -> None:
        state = self.state
        state.sandbox_step = SandboxStep.LOST if state.sandbox else SandboxStep.NONE
        state.sandbox_backoff_seconds = next_backoff(state.sandbox_backoff_seconds, 1.0, 60.0)
        state.sandbox_retry_at = now + state.sandbox_backoff_seconds
        text = f"Failed to create pod sandbox: {event.message}"
        self._out.append(Record("Warning", "FailedCreatePodSandBox", text))

    def _sandbox_lost(self, event: events.SandboxLost, now: float) -> None:
        state = self.state
        if state.sandbox is None or state.sandbox.id != event.id or state.sandbox_step is not SandboxStep.READY:
            return
        state.sandbox_step = SandboxStep.LOST
        self._changed(urgent=True)

    def _sandbox_stopped(self, event: events.SandboxStopped, now: float) -> None:
        self.state.sandbox_step = SandboxStep.STOPPED

    # -- images and starts -----------------------------------------------------------------------------------------

    def _image_ready(self, event: events.ImageReady, now: float) -> None:
        container = self.state.containers[event.name]
        if container.step is Step.PULLING:
            container.step = Step.WAITING
            container.image_ref = event.image_ref
            container.pull_backoff_seconds = container.retry_at = container.flip_at = 0.0

    def _image_failed(self, event: events.ImageFailed, now: float) -> None:
        container = self.state.containers[event.name]
        if container.step is not Step.PULLING:
            return
        container.step = Step.WAITING
        container.waiting_reason, container.waiting_message = event.reason, event.message
        container.pull_backoff_seconds = next_backoff(
            container.pull_backoff_seconds, PULL_INITIAL_SECONDS, PULL_MAXIMUM_SECONDS
        )
        container.retry_at = now + container.pull_backoff_seconds
        container.flip_at = now + FLIP_AFTER_SECONDS if event.reason == "ErrImagePull" else 0.0
        self._changed(urgent=True)

    def _container_started(self, event: events.ContainerStarted, now: float) -> None:
        seen = event.sighting
        container = self.state.containers[seen.name]
        if container.step is not Step.STARTING:
            return
        container.id, container.attempt = seen.id, seen.attempt
        container.waiting_reason = container.waiting_message = ""
        container.retry_at = 0.0
        instances.learn(container, seen)
        if seen.health is Health.EXITED:
            self._exited(container, seen, now)
            return
        container.step = Step.RUNNING
        container.applied = container.starting
        lifecycle = container.spec.lifecycle
        if lifecycle is not None and lifecycle.post_start is not None and self.state.stage is Stage.ACTIVE:
            self._out.append(RunPostStart(container.name, container.id))
        else:
            instances.hooked(self.state, container, self._out)
        self._changed(urgent=self._all_ready())

    def _all_ready(self) -> bool:
        """A pod that has just become ready is worth telling at once."""
        return all(c.ready for c in self.state.by_role(Role.MAIN, Role.SIDECAR))

    def _container_refused(self, event: events.ContainerRefused, now: float) -> None:
        container = self.state.containers[event.name]
        if container.step is not Step.STARTING:
            return
        if event.sighting is not None and event.sighting.health is Health.EXITED:
            container.id, container.attempt = event.sighting.id, event.sighting.attempt
            self._exited(container, event.sighting, now)
            container.waiting_reason, container.waiting_message = event.reason, event.message
            return
        container.step = Step.WAITING
        container.waiting_reason, container.waiting_message = event.reason, event.message
        container.retry_at = now + REFUSED_RETRY_SECONDS
        container.image_ref = ""
        self._changed(urgent=True)

    # -- what containers do ----------------------------------------------------------------------------------------

    def _exited(self, container: ContainerState, seen: events.Sighting, now: float) -> None:
        instances.exited(container, seen, now, self._out)
        self._changed(urgent=not self.state.deleted)

    def _container_seen(self, event: events.ContainerSeen, now: float) -> None:
        container = self._find(event.sighting.name, event.sighting.id)
        if container is None or container.step not in (Step.RUNNING, Step.STOPPING):
            return
        if event.sighting.health is Health.EXITED:
            self._exited(container, event.sighting, now)

    def _container_vanished(self, event: events.ContainerVanished, now: float) -> None:
        container = next((c for c in self.state.containers.values() if c.id == event.id), None)
        if container is None or container.step not in (Step.RUNNING, Step.STOPPING):
            return
        text = "The container could not be located when the pod was terminated"
        if self.state.stage is Stage.ACTIVE:
            text = "The container could not be located when the pod was deleted.  The container used to be Running"
        seen = events.Sighting(
            name=container.name,
            id=event.id,
            attempt=container.attempt,
            health=Health.EXITED,
            started_at=container.started_at,
            finished_at=now,
            exit_code=137,
            reason="ContainerStatusUnknown",
            message=text,
        )
        self._exited(container, seen, now)

    def _hook_finished(self, event: events.HookFinished, now: float) -> None:
        container = self._find(event.name, event.id)
        if container is not None and container.step is Step.RUNNING and not container.hooked:
            instances.hooked(self.state, container, self._out)
            self._changed(urgent=self._all_ready())

    def _hook_failed(self, event: events.HookFailed, now: float) -> None:
        container = self._find(event.name, event.id)
        if container is None or container.step is not Step.RUNNING:
            return
        container.hooked = True
        self._out.append(Record("Warning", "FailedPostStartHook", event.message, container.name))
        progress.condemn(self.state, container, now, self._out, "FailedPostStartHook")

    def _probe_changed(self, event: events.ProbeChanged, now: float) -> None:
        container = self._find(event.name, event.id)
        if container is None or container.step not in (Step.RUNNING, Step.STOPPING):
            return
        if event.kind is ProbeKind.READINESS:
            if container.passing != event.healthy:
                container.passing = event.healthy
                self._changed(urgent=True)
        elif container.step is Step.STOPPING:
            return
        elif event.kind is ProbeKind.STARTUP and event.healthy:
            self._out.append(StopProbes(container.name, (ProbeKind.STARTUP,)))
            container.probing.discard(ProbeKind.STARTUP.value)
            if not container.started:
                instances.fully_started(self.state, container, self._out)
                self._changed(urgent=True)
        elif not event.healthy and self.state.stage is Stage.ACTIVE:
            probe = container.spec.liveness_probe if event.kind is ProbeKind.LIVENESS else container.spec.startup_probe
            grace = probe.termination_grace_period_seconds if probe is not None else None
            text = f"Container {container.name} failed {event.kind.value.lower()} probe"
            if container.role is Role.SIDECAR or self.state.restart_policy != "Never":
                text = f"{text}, will be restarted"
            progress.condemn(self.state, container, now, self._out, text, grace)

    def _stop_failed(self, event: events.StopFailed, now: float) -> None:
        container = self._find(event.name, event.id)
        if container is not None and container.step is Step.STOPPING:
            container.step = Step.RUNNING
            container.retry_at = now + 1.0
            self._out.append(Record("Warning", "FailedKillPod", f"error killing pod: {event.message}"))

    # -- the end ---------------------------------------------------------------------------------------------------

    def _cleaned_up(self, event: events.CleanedUp, now: float) -> None:
        self.state.volumes = VolumeStep.CLEAN

    def _cleanup_failed(self, event: events.CleanUpFailed, now: float) -> None:
        self.state.volumes = VolumeStep.READY
        self.state.cleanup_retry_at = now + 2.0
