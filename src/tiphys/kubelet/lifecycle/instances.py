"""What happens to one instance of a container: it starts, its hook ends, it is probed, it exits."""

from __future__ import annotations

from tiphys.kubelet.lifecycle.events import ProbeKind, Sighting
from tiphys.kubelet.lifecycle.instructions import Instruction, StartProbe, StopProbes
from tiphys.kubelet.lifecycle.state import ContainerState, Exit, PodState, Role, Stage, Step
from tiphys.kubelet.references import shown_image


def learn(container: ContainerState, seen: Sighting) -> None:
    """Take in what the runtime tells of the current instance."""
    container.image = shown_image(container.spec.image or "", seen.image or container.image)
    container.image_id = seen.image_id or container.image_id
    container.started_at = seen.started_at or container.started_at
    container.user = seen.user or container.user


def hooked(state: PodState, container: ContainerState, out: list[Instruction]) -> None:
    """The instance runs and its postStart hook is over: probe it."""
    container.hooked = True
    if container.spec.startup_probe is None or container.role is Role.EPHEMERAL:
        fully_started(state, container, out)
    else:
        _probe(container, ProbeKind.STARTUP, out)


def fully_started(state: PodState, container: ContainerState, out: list[Instruction]) -> None:
    """The startup probe has succeeded, or there is none."""
    container.started = True
    if container.role is Role.EPHEMERAL:
        container.passing = True
        return
    if container.spec.liveness_probe is not None and state.stage is Stage.ACTIVE:
        _probe(container, ProbeKind.LIVENESS, out)
    if container.spec.readiness_probe is not None:
        _probe(container, ProbeKind.READINESS, out)
    else:
        container.passing = True


def resume(state: PodState, container: ContainerState, out: list[Instruction]) -> None:
    """Probe an adopted instance, from as far as it had come."""
    if container.started:
        fully_started(state, container, out)
    else:
        hooked(state, container, out)


def _probe(container: ContainerState, kind: ProbeKind, out: list[Instruction]) -> None:
    if kind.value not in container.probing:
        container.probing.add(kind.value)
        out.append(StartProbe(container.name, container.id, kind))


def exited(container: ContainerState, seen: Sighting, now: float, out: list[Instruction]) -> None:
    """The instance has ended."""
    learn(container, seen)
    container.step = Step.EXITED
    container.exit = Exit(
        id=seen.id,
        code=seen.exit_code,
        reason=seen.reason or ("Completed" if seen.exit_code == 0 else "Error"),
        message=seen.message,
        started_at=seen.started_at,
        finished_at=seen.finished_at or now,
    )
    container.hooked = container.started = container.passing = False
    container.condemned = ""
    container.applied = container.resizing = None
    container.resize_error = ""
    container.retry_at = container.stop_by = 0.0
    container.waiting_reason = container.waiting_message = ""
    container.crash_announced = False
    if container.probing:
        container.probing.clear()
        out.append(StopProbes(container.name, tuple(ProbeKind)))
