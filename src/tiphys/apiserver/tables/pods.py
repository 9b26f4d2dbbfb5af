"""The table of pods: upstream's summary of phase, conditions and containers in one word."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api.types.core_v1 import ContainerStateTerminated, ContainerStatus, Pod
from tiphys.apiserver.tables.ages import age, duration, seconds_of
from tiphys.apiserver.tables.text import NONE

COLUMNS: Final = "Name|Ready|Status|Restarts|Age|IP*1|Node*1|Nominated Node*1|Readiness Gates*1"
_COMPLETED: Final = {
    "Succeeded": ("Succeeded", "The pod has completed successfully."),
    "Failed": ("Failed", "The pod failed."),
}


def cells(pod: Pod, now: float) -> list[Any]:
    """NAME READY STATUS RESTARTS AGE, and IP NODE NOMINATED-NODE READINESS-GATES for wide output."""
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    summary = _Summary(pod)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({duration(now - summary.last_restart)} ago)"
    return [
        metadata.name,
        f"{summary.ready}/{summary.total}",
        summary.reason,
        restarts,
        age(metadata.creation_timestamp, now),
        (status.pod_ips[0].ip if status.pod_ips else "") or NONE,
        spec.node_name or NONE,
        status.nominated_node_name or NONE,
        _readiness_gates(pod),
    ]


def conditions(pod: Pod) -> list[dict[str, str]] | None:
    """The row's conditions: kubectl prints finished pods apart."""
    done = _COMPLETED.get(pod.status.phase or "")
    if done is None:
        return None
    return [{"type": "Completed", "status": "True", "reason": done[0], "message": done[1]}]


class _Summary:
    """What the containers' states come to. last_restart: epoch seconds, 0 if unknown."""

    __slots__ = ("last_restart", "ready", "reason", "restarts", "total")

    def __init__(self, pod: Pod) -> None:
        spec, status = pod.spec, pod.status
        self.ready = 0
        self.total = len(spec.containers)
        self.restarts = 0
        self.last_restart = 0.0
        self.reason = status.reason or status.phase or ""
        initialized = False
        for condition in status.conditions:
            if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
                self.reason = "SchedulingGated"
            elif condition.type == "Initialized" and condition.status == "True":
                initialized = True
        initializing = False
        if spec.init_containers:
            initializing = self._look_at_init_containers(pod, initialized)
        if not initializing or initialized:
            self._look_at_containers(pod)
        if pod.metadata.deletion_timestamp:
            if status.reason == "NodeLost":
                self.reason = "Unknown"
            elif status.phase not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _count(self, container: ContainerStatus) -> None:
        self.restarts += container.restart_count
        self.last_restart = max(self.last_restart, _last_end(container))

    def _look_at_init_containers(self, pod: Pod, initialized: bool) -> bool:
        """True if one has not finished (or, a sidecar, not started)."""
        sidecars = {item.name for item in pod.spec.init_containers if item.restart_policy == "Always"}
        self.total += len(sidecars)
        initializing = False
        restarts, last_restart = 0, 0.0
        for index, container in enumerate(pod.status.init_container_statuses):
            self._count(container)
            if container.name in sidecars:
                restarts += container.restart_count
                last_restart = max(last_restart, _last_end(container))
            terminated = container.state.terminated
            if terminated is not None and terminated.exit_code == 0:
                continue
            if container.name in sidecars and container.started:
                self.ready += container.ready
                continue
            self.reason = _init_reason(container, index, len(pod.spec.init_containers))
            initializing = True
            break
        if not initializing or initialized:
            # Once a pod is initialized only containers that may still restart count.
            self.restarts, self.last_restart = restarts, last_restart
        return initializing

    def _look_at_containers(self, pod: Pod) -> None:
        running = False
        for container in reversed(pod.status.container_statuses):
            self._count(container)
            state = container.state
            if state.waiting is not None and state.waiting.reason:
                self.reason = state.waiting.reason
            elif state.terminated is not None:
                self.reason = _exit_reason(state.terminated)
            elif container.ready and state.running is not None:
                running = True
                self.ready += 1
        if running and self.reason == "Completed":
            ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)
            self.reason = "Running" if ready else "NotReady"


def _last_end(container: ContainerStatus) -> float:
    terminated = container.last_state.terminated
    return seconds_of(terminated.finished_at) if terminated is not None and terminated.finished_at else 0.0


def _init_reason(container: ContainerStatus, index: int, total: int) -> str:
    state = container.state
    if state.terminated is not None:
        return f"Init:{_exit_reason(state.terminated)}"
    if state.waiting is not None and state.waiting.reason and state.waiting.reason != "PodInitializing":
        return f"Init:{state.waiting.reason}"
    return f"Init:{index}/{total}"


def _exit_reason(terminated: ContainerStateTerminated) -> str:
    if terminated.reason:
        return terminated.reason
    return f"Signal:{terminated.signal}" if terminated.signal else f"ExitCode:{terminated.exit_code}"


def _readiness_gates(pod: Pod) -> str:
    gates = pod.spec.readiness_gates
    if not gates:
        return NONE
    status = {condition.type: condition.status for condition in reversed(pod.status.conditions)}
    return f"{sum(status.get(gate.condition_type) == 'True' for gate in gates)}/{len(gates)}"
