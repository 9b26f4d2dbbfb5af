"""Pods that have a node, or need none any more: explained from their status, briefly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from tiphys.api.types.core_v1 import ContainerStatus, Pod
from tiphys.scheduler.explaining.explanation import ContainerState, Explanation, Verdict, shorten

_FINISHED: Final = {"Succeeded": "It has finished: all its containers ended well", "Failed": "It has failed"}
#: What a waiting container's reason means to a person.
_MEANINGS: Final = {
    "ImagePullBackOff": "its image cannot be pulled, and it is tried again with pauses",
    "ErrImagePull": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node and imagePullPolicy is Never",
    "InvalidImageName": "its image's name cannot be read",
    "CrashLoopBackOff": "it ends again and again, and is started again with pauses",
    "CreateContainerConfigError": "something its configuration refers to is missing",
    "CreateContainerError": "the runtime could not create it",
    "RunContainerError": "the runtime could not start it",
    "ContainerCreating": "it is being created: volumes, network and image are made ready",
    "PodInitializing": "it waits for the init containers",
}
MAXIMUM_CONTAINERS: Final = 8


def settled(pod: Pod, base: Explanation) -> Explanation | None:
    """The answer if no scheduler has to do with the pod any more; else None."""
    phase = pod.status.phase or "Pending"
    base = replace(base, node=pod.spec.node_name or "")
    if phase in _FINISHED:
        said = _FINISHED[phase] + (f": {_sentence(pod)}" if _sentence(pod) else "")
        return replace(base, verdict=Verdict.FINISHED, summary=f"{said}.", containers=_states(pod))
    where = f" on node {pod.spec.node_name}" if pod.spec.node_name else ""
    if pod.metadata.deletion_timestamp is not None:
        said = f"It is being deleted{where} since {pod.metadata.deletion_timestamp}"
        if pod.metadata.finalizers:
            said += f" and waits for its finalizers: {', '.join(pod.metadata.finalizers[:3])}"
        return replace(base, verdict=Verdict.TERMINATING, summary=f"{said}.")
    if not pod.spec.node_name:
        return None
    since = _since(pod)
    placed = f"It was scheduled to node {pod.spec.node_name}" + (f" at {since}" if since else "")
    base = replace(base, since=since, reported="")
    if phase == "Running" and _condition(pod, "Ready") == "True":
        return replace(base, verdict=Verdict.RUNNING, summary=f"{placed}, runs and is ready.")
    states = _states(pod)
    if states:
        first = states[0]
        told = f"{first.name}: {first.detail or first.state}"
    elif pod.status.conditions and _condition(pod, "Ready") == "False" and phase == "Running":
        told = _sentence(pod) or "it is not ready"
    else:
        told = _sentence(pod) or f"the kubelet of {pod.spec.node_name} has not reported about it yet"
    return replace(
        base, verdict=Verdict.STARTING, summary=f"{placed}, and is not ready: {shorten(told)}.", containers=states
    )


def _states(pod: Pod) -> tuple[ContainerState, ...]:
    status = pod.status
    found = [*_init_states(pod), *(s for c in status.container_statuses if (s := _state(c, init=False)) is not None)]
    return tuple(found[:MAXIMUM_CONTAINERS])


def _init_states(pod: Pod) -> Iterator[ContainerState]:
    for container in pod.status.init_container_statuses:
        state = _state(container, init=True)
        if state is not None:
            yield state


def _state(container: ContainerStatus, *, init: bool) -> ContainerState | None:
    """What is to be said of a container; None if it is as it should be."""
    state = container.state
    kind = "init container" if init else "container"
    if state is not None and state.waiting is not None:
        reason = state.waiting.reason or "Waiting"
        detail = _MEANINGS.get(reason, reason)
        if reason in ("PodInitializing", "ContainerCreating") and init:
            return None
        last = container.last_state.terminated if container.last_state is not None else None
        if last is not None:
            detail += f"; last time it ended with code {last.exit_code}" + (f" ({last.reason})" if last.reason else "")
        if state.waiting.message:
            detail += f": {state.waiting.message}"
        return ContainerState(name=f"{kind} {container.name}", state=reason, detail=shorten(detail))
    if state is not None and state.terminated is not None:
        if init and state.terminated.exit_code == 0:
            return None
        reason = state.terminated.reason or "Terminated"
        detail = f"it ended with code {state.terminated.exit_code}"
        return ContainerState(name=f"{kind} {container.name}", state=reason, detail=detail)
    if init:
        if state is not None and state.running is not None and not container.ready:
            return ContainerState(name=f"{kind} {container.name}", state="Running", detail="it still runs")
        return None
    if state is not None and state.running is not None and not container.ready:
        waits = "its startup probe has not succeeded yet" if container.started is False else "its readiness probe fails"
        return ContainerState(name=f"{kind} {container.name}", state="NotReady", detail=f"it runs, but {waits}")
    return None


def _condition(pod: Pod, kind: str) -> str:
    return next((condition.status for condition in pod.status.conditions if condition.type == kind), "")


def _since(pod: Pod) -> str:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True":
            return condition.last_transition_time or ""
    return ""


def _sentence(pod: Pod) -> str:
    """What the status itself says."""
    status = pod.status
    if status.message or status.reason:
        return shorten(": ".join(filter(None, (status.reason, status.message))))
    for condition in status.conditions:
        if condition.status == "False" and condition.type != "PodScheduled" and condition.message:
            return shorten(condition.message)
    return ""
