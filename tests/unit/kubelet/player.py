"""Plays a pod's worker against its lifecycle: every instruction succeeds at once unless a test says otherwise."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api import codec
from tiphys.api.types.core_v1 import ContainerStatus, Pod
from tiphys.kubelet.lifecycle import events
from tiphys.kubelet.lifecycle import instructions as do
from tiphys.kubelet.lifecycle.events import Health, Sighting
from tiphys.kubelet.lifecycle.machine import PodLifecycle

START = 1_700_000_000.0


def pod(spec: dict[str, Any] | None = None, **metadata: Any) -> Pod:
    """A pod with one container ``web`` unless `spec` has its own."""
    body = {"containers": [container("web")], "terminationGracePeriodSeconds": 30, **(spec or {})}
    meta = {"name": "p", "namespace": "ns", "uid": "u1", "generation": 1, **metadata}
    return codec.from_dict(Pod, {"metadata": meta, "spec": body})


def container(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "img", **more}


class Player:
    """`hold` names instruction types that are collected in `held` and answered by the test."""

    def __init__(self, subject: Pod, *, adopt: bool = True) -> None:
        self.lifecycle = PodLifecycle(subject)
        self.now = START
        self.log: list[do.Instruction] = []
        self.held: list[do.Instruction] = []
        self.hold: set[type] = set()
        self.ids: dict[str, str] = {}
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.wake: float = 0.0
        self.published = 0
        if adopt:
            self.tell(events.Adopted((), ()))

    @property
    def state(self) -> Any:
        return self.lifecycle.state

    def status(self) -> Any:
        return self.lifecycle.status(self.now, ("10.0.0.1",))

    def container(self, name: str) -> ContainerStatus:
        status = self.status()
        every = (*status.init_container_statuses, *status.container_statuses, *status.ephemeral_container_statuses)
        return next(c for c in every if c.name == name)

    def condition(self, type_: str) -> str:
        return next(c.status for c in self.status().conditions if c.type == type_)

    def events(self, reason: str) -> list[str]:
        return [i.message for i in self.log if isinstance(i, do.Record) and i.reason == reason]

    def count(self, kind: type) -> int:
        return sum(isinstance(i, kind) for i in self.log)

    def tell(self, event: events.Event) -> None:
        pending = [event]
        while pending:
            for instruction in self.lifecycle.handle(pending.pop(0), self.now):
                self.log.append(instruction)
                if type(instruction) in self.hold:
                    self.held.append(instruction)
                    continue
                answer = self.answer(instruction)
                if answer is not None:
                    pending.append(answer)

    def answer(self, instruction: do.Instruction) -> events.Event | None:
        match instruction:
            case do.PrepareVolumes():
                return events.VolumesReady()
            case do.StartSandbox(attempt=attempt):
                return events.SandboxStarted(events.SandboxSighting(f"sb{attempt}", attempt, True, ("10.244.0.5",)))
            case do.StopSandbox():
                return events.SandboxStopped()
            case do.PullImage(name=name):
                return events.ImageReady(name, "sha256:img")
            case do.StartContainer(name=name, attempt=attempt):
                self.started.append(name)
                self.ids[name] = f"{name}-{attempt}"
                return events.ContainerStarted(self.sighting(name, Health.RUNNING, attempt=attempt))
            case do.RunPostStart(name=name, id=id):
                return events.HookFinished(name, id)
            case do.StopContainer(name=name):
                self.stopped.append(name)
                return events.ContainerSeen(self.sighting(name, Health.EXITED, code=143))
            case do.CleanUp():
                return events.CleanedUp()
            case do.WakeAt(time=time):
                self.wake = time
            case do.PublishStatus():
                self.published += 1
        return None

    def sighting(
        self, name: str, health: Health, *, code: int = 0, attempt: int | None = None, reason: str = ""
    ) -> Sighting:
        number = self.state.containers[name].attempt if attempt is None else attempt
        return Sighting(
            name=name,
            id=f"{name}-{number}",
            attempt=number,
            health=health,
            image="img:latest",
            image_id="sha256:img",
            started_at=self.now if health is Health.RUNNING else self.state.containers[name].started_at,
            finished_at=self.now if health is Health.EXITED else 0.0,
            exit_code=code,
            reason=reason,
        )

    def exit(self, name: str, code: int = 0, reason: str = "") -> None:
        """The container's process ends by itself."""
        self.tell(events.ContainerSeen(self.sighting(name, Health.EXITED, code=code, reason=reason)))

    def probe(self, name: str, kind: events.ProbeKind, healthy: bool) -> None:
        self.tell(events.ProbeChanged(name, self.state.containers[name].id, kind, healthy))

    def release(self, instruction: do.Instruction, event: events.Event | None = None) -> None:
        """Answer a held instruction (with success, unless `event`)."""
        self.held.remove(instruction)
        answer = event or self.answer(instruction)
        if answer is not None:
            self.tell(answer)

    def advance(self, seconds: float) -> None:
        """Time passes; wake-ups on the way happen at their time."""
        end = self.now + seconds
        while self.wake and self.wake <= end:
            self.now = max(self.now, self.wake)
            self.wake = 0.0
            self.tell(events.Tick())
        self.now = end

    def delete(self, grace_seconds: int = 30) -> None:
        meta = msgspec.structs.replace(
            self.state.pod.metadata,
            deletion_timestamp="2026-01-01T00:00:00Z",
            deletion_grace_period_seconds=grace_seconds,
        )
        self.tell(events.PodChanged(msgspec.structs.replace(self.state.pod, metadata=meta)))

    def of(self, kind: type) -> list[Any]:
        return [i for i in self.log if isinstance(i, kind)]
