"""Taking over what a previous kubelet left: sandboxes and containers from the runtime, the rest from the API."""

from __future__ import annotations

from itertools import groupby

from tiphys.api.types.core_v1 import ContainerStatus
from tiphys.kubelet.lifecycle import times
from tiphys.kubelet.lifecycle.events import Adopted, Health, Sighting
from tiphys.kubelet.lifecycle.instructions import Instruction, RemoveContainer
from tiphys.kubelet.lifecycle.state import (
    ContainerState,
    Ending,
    Exit,
    PodState,
    Role,
    SandboxState,
    SandboxStep,
    Stage,
    Step,
)
from tiphys.kubelet.references import shown_image


def adopt(state: PodState, found: Adopted, now: float, out: list[Instruction]) -> list[ContainerState]:
    """Fill a fresh state; returns the running containers, whose probes are to be resumed."""
    status = state.pod.status
    state.conditions = {c.type: c for c in status.conditions}
    known = {
        s.name: s
        for s in (
            *status.init_container_statuses,
            *status.container_statuses,
            *status.ephemeral_container_statuses,
        )
    }
    _adopt_sandbox(state, found)
    by_name = {
        name: sorted(group, key=lambda s: s.attempt)
        for name, group in groupby(sorted(found.containers, key=lambda s: s.name), key=lambda s: s.name)
    }
    for name, container in state.containers.items():
        _adopt_container(container, by_name.get(name, []), known.get(name), out)
    state.initialized = any(c.id for c in state.by_role(Role.MAIN))
    if status.phase in ("Succeeded", "Failed"):
        _adopt_terminal(state, known)
    return [c for c in state.containers.values() if c.step is Step.RUNNING]


def _adopt_sandbox(state: PodState, found: Adopted) -> None:
    if not found.sandboxes:
        return
    newest = max(found.sandboxes, key=lambda s: s.attempt)
    state.next_sandbox_attempt = newest.attempt + 1
    state.sandbox = SandboxState(newest.id, newest.attempt, newest.ips)
    state.sandbox_step = SandboxStep.READY if newest.ready else SandboxStep.LOST
    state.stage = Stage.ACTIVE


def _adopt_container(
    container: ContainerState, instances: list[Sighting], status: ContainerStatus | None, out: list[Instruction]
) -> None:
    unfit = [s for s in instances if s.health in (Health.CREATED, Health.UNKNOWN)]
    out.extend(RemoveContainer(s.id) for s in unfit)
    instances = [s for s in instances if s not in unfit]
    if not instances:
        if status is not None and status.container_id:
            container.attempt = status.restart_count + 1
        if unfit:
            container.attempt = max(container.attempt, unfit[-1].attempt + 1)
        return
    newest = instances[-1]
    container.id, container.attempt = newest.id, newest.attempt
    container.image = shown_image(container.spec.image or "", newest.image)
    container.image_id = newest.image_id
    container.started_at, container.user = newest.started_at, newest.user
    container.dead_ids = [s.id for s in instances[:-1]]
    if len(instances) > 1:
        container.last_exit = _exit(instances[-2])
    if newest.health is Health.EXITED:
        container.step, container.exit = Step.EXITED, _exit(newest)
        return
    container.step = Step.RUNNING
    container.hooked = True
    container.applied = container.spec.resources
    if status is not None and (status.container_id or "").endswith(newest.id):
        container.started = bool(status.started)
        container.passing = status.ready
        if status.resources is not None:
            container.applied = status.resources


def _exit(seen: Sighting) -> Exit:
    reason = seen.reason or ("Completed" if seen.exit_code == 0 else "Error")
    return Exit(seen.id, seen.exit_code, reason, seen.message, seen.started_at, seen.finished_at)


def _adopt_terminal(state: PodState, known: dict[str, ContainerStatus]) -> None:
    """A pod that had ended stays ended; what the runtime has forgotten of it is what the API remembers."""
    for name, container in state.containers.items():
        status = known.get(name)
        ended = status.state.terminated if status is not None else None
        if container.id or status is None or ended is None:
            continue
        container.step = Step.EXITED
        container.attempt = status.restart_count
        container.image, container.image_id = status.image, status.image_id
        container.id = (ended.container_id or "").partition("://")[2]
        container.exit = Exit(
            container.id,
            ended.exit_code,
            ended.reason or "",
            ended.message or "",
            times.parse(ended.started_at),
            times.parse(ended.finished_at),
        )
    overall = state.pod.status
    if overall.reason:
        state.ending = Ending(overall.reason, overall.message or "", overall.phase == "Failed")
    state.stage = Stage.TERMINATING
    state.kill_deadline = 0.0
