"""A pod's conditions, in upstream's reasons and words."""

from __future__ import annotations

from msgspec.structs import replace

from tiphys.api.types.core_v1 import PodCondition
from tiphys.kubelet.lifecycle import times
from tiphys.kubelet.lifecycle.state import ContainerState, PodState, Role, SandboxStep, Step

PASSING = ("PodResizePending", "PodResizeInProgress")
"""Conditions that are there only while they hold."""


def conditions(state: PodState, phase: str, now: float) -> tuple[PodCondition, ...]:
    """What the kubelet says about the pod; transition times move only when a status does."""
    containers_ready = _containers_ready(state, phase)
    wanted = {
        "PodReadyToStartContainers": _condition(
            "PodReadyToStartContainers", state.sandbox_step is SandboxStep.READY and phase in ("Pending", "Running")
        ),
        "Initialized": _initialized(state, phase),
        "Ready": _ready(state, containers_ready),
        "ContainersReady": containers_ready,
        "PodScheduled": _condition("PodScheduled", True),
    }
    if state.ending is not None and state.ending.disruption:
        wanted["DisruptionTarget"] = _condition("DisruptionTarget", True, "TerminationByKubelet", state.ending.message)
    if state.resize_pending is not None:
        wanted["PodResizePending"] = _condition("PodResizePending", True, *state.resize_pending)
    errors = [c.resize_error for c in state.containers.values() if c.resize_error]
    if errors or any(c.resizing is not None for c in state.containers.values()):
        reason = "Error" if errors else ""
        wanted["PodResizeInProgress"] = _condition("PodResizeInProgress", True, reason, "; ".join(errors))
    generation = state.pod.metadata.generation
    result = []
    for type_, condition in wanted.items():
        before = state.conditions.get(type_)
        if before is not None and before.status == condition.status:
            since = before.last_transition_time
        else:
            since = times.render(now)
        result.append(replace(condition, last_transition_time=since, observed_generation=generation))
    for passing in PASSING:
        if passing not in wanted:
            state.conditions.pop(passing, None)
    state.conditions = {**state.conditions, **{c.type: c for c in result}}
    return tuple(result)


def _condition(type_: str, holds: bool, reason: str = "", message: str = "") -> PodCondition:
    status = "True" if holds else "False"
    return PodCondition(type=type_, status=status, reason=reason or None, message=message or None)


def _listed(containers: list[ContainerState]) -> str:
    return "[" + " ".join(c.name for c in containers) + "]"


def _initialized(state: PodState, phase: str) -> PodCondition:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    incomplete = [] if state.initialized else [c for c in state.by_role(Role.INIT, Role.SIDECAR) if not _done(c)]
    if not incomplete:
        return _condition("Initialized", True)
    text = f"containers with incomplete status: {_listed(incomplete)}"
    return _condition("Initialized", False, "ContainersNotInitialized", text)


def _done(container: ContainerState) -> bool:
    if container.role is Role.SIDECAR:
        return container.step is Step.RUNNING and container.started
    return container.exit is not None and container.exit.code == 0


def _containers_ready(state: PodState, phase: str) -> PodCondition:
    if phase == "Succeeded":
        return _condition("ContainersReady", False, "PodCompleted")
    if phase == "Failed":
        return _condition("ContainersReady", False, "PodFailed")
    unready = [c for c in state.by_role(Role.SIDECAR, Role.MAIN) if not c.ready]
    if unready:
        text = f"containers with unready status: {_listed(unready)}"
        return _condition("ContainersReady", False, "ContainersNotReady", text)
    return _condition("ContainersReady", True)


def _ready(state: PodState, containers_ready: PodCondition) -> PodCondition:
    if containers_ready.status != "True":
        return replace(containers_ready, type="Ready")
    messages = []
    gates = {c.type: c for c in state.pod.status.conditions}
    for gate in state.pod.spec.readiness_gates:
        found = gates.get(gate.condition_type)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif found.status != "True":
            messages.append(
                f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {found.status}'
            )
    if messages:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True)
