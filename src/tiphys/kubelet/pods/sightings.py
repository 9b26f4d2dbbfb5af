"""What the runtime reports, as lifecycle events see it; termination messages are read here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tiphys.cri.types import ContainerState, ContainerStatus, SandboxState, SandboxStatus
from tiphys.kubelet.lifecycle.events import Health, SandboxSighting, Sighting
from tiphys.kubelet.logs.reader import tail_text
from tiphys.kubelet.spec.names import (
    CONTAINER_NAME,
    DEFAULT_MESSAGE_PATH,
    TERMINATION_MESSAGE_PATH,
    TERMINATION_MESSAGE_POLICY,
)

MAX_MESSAGE_BYTES: Final = 4096
FALLBACK_LINES: Final = 80
FALLBACK_BYTES: Final = 2048
_HEALTH: Final = {
    ContainerState.CREATED: Health.CREATED,
    ContainerState.RUNNING: Health.RUNNING,
    ContainerState.EXITED: Health.EXITED,
    ContainerState.UNKNOWN: Health.UNKNOWN,
}


def sandbox_sighting(status: SandboxStatus) -> SandboxSighting:
    return SandboxSighting(
        status.id, status.sandbox.attempt, status.state is SandboxState.READY, tuple(ip for ip in status.ips if ip)
    )


async def sighting(status: ContainerStatus) -> Sighting:
    """The instance, with the message it left when it has exited."""
    message = status.message
    if status.state is ContainerState.EXITED:
        message = await asyncio.to_thread(_termination_message, status)
    user = status.user
    return Sighting(
        name=status.labels.get(CONTAINER_NAME, status.name),
        id=status.id,
        attempt=status.attempt,
        health=_HEALTH[status.state],
        image=status.image,
        image_id=status.image_ref or status.image_id,
        started_at=status.started_at_nanoseconds / 1e9,
        finished_at=status.finished_at_nanoseconds / 1e9,
        exit_code=status.exit_code,
        reason=status.reason,
        message=message,
        user=(user.uid, user.gid, user.supplemental_groups) if user is not None else None,
    )


def _termination_message(status: ContainerStatus) -> str:
    """The runtime's own message, else the container's file, else (if asked for) the end of its log."""
    parts = [status.message] if status.message else []
    path = status.annotations.get(TERMINATION_MESSAGE_PATH, DEFAULT_MESSAGE_PATH)
    said = ""
    for mount in status.mounts:
        if mount.container_path == path:
            try:
                with Path(mount.host_path).open("rb") as file:
                    said = file.read(MAX_MESSAGE_BYTES).decode(errors="replace")
            except OSError:
                said = ""
    fallback = status.annotations.get(TERMINATION_MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not said and fallback and status.exit_code != 0 and status.log_path:
        said = tail_text(Path(status.log_path), max_lines=FALLBACK_LINES, max_bytes=FALLBACK_BYTES)
    return ": ".join([*parts, said] if said else parts)
