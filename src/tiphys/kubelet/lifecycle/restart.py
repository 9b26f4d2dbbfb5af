"""Whether and when an exited container starts again.

Source: the Kubernetes documentation, "Pod Lifecycle": after containers exit, the kubelet restarts them with an
exponential back-off delay (10s, 20s, 40s, …) capped at 300 seconds; once a container has executed for 10 minutes
without any problems, the back-off is reset. The first restart is immediate.
"""

from __future__ import annotations

from typing import Final

from tiphys.api.types.core_v1 import Container
from tiphys.kubelet.lifecycle.state import ContainerState, Exit, PodState, Role

INITIAL_BACKOFF_SECONDS: Final = 10.0
MAXIMUM_BACKOFF_SECONDS: Final = 300.0
RESET_AFTER_SECONDS: Final = 600.0
"""A back-off older than this at the time of an exit is forgotten."""


def restarts(pod: PodState, container: ContainerState) -> bool:
    """Whether the container, which has exited, is to run again (now or later)."""
    if container.exit is None:
        return False
    if container.renew:
        return True
    if container.role is Role.SIDECAR:
        return True
    if container.role is Role.EPHEMERAL:
        return False
    if isinstance(container.spec, Container):
        for rule in container.spec.restart_policy_rules:
            if rule.action == "Restart" and rule.exit_codes is not None:
                listed = container.exit.code in rule.exit_codes.values
                if listed == (rule.exit_codes.operator == "In"):
                    return True
    policy = container.spec.restart_policy or pod.restart_policy
    if container.role is Role.INIT:
        return container.exit.code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and container.exit.code != 0)


def restart_due_at(container: ContainerState, exited: Exit) -> float:
    """The earliest time of the next start; 0.0 when it is due at once."""
    if not container.crash_backoff_seconds:
        return 0.0
    if exited.finished_at - container.crash_backoff_set_at > RESET_AFTER_SECONDS:
        return 0.0
    return exited.finished_at + container.crash_backoff_seconds


def note_restart(container: ContainerState, exited: Exit, now: float) -> None:
    """Lengthen (or begin, or begin again) the back-off that the exit after this restart will meet."""
    expired = exited.finished_at - container.crash_backoff_set_at > RESET_AFTER_SECONDS
    if not container.crash_backoff_seconds or expired:
        container.crash_backoff_seconds = INITIAL_BACKOFF_SECONDS
    else:
        container.crash_backoff_seconds = min(container.crash_backoff_seconds * 2, MAXIMUM_BACKOFF_SECONDS)
    container.crash_backoff_set_at = now


def next_backoff(current_seconds: float, initial_seconds: float, maximum_seconds: float) -> float:
    """The wait after one more failure."""
    return min(current_seconds * 2, maximum_seconds) if current_seconds else initial_seconds
