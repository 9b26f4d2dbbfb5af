"""What a kubelet may ask of a container runtime.

``CriRuntime`` (client.py) speaks to containerd or CRI-O over their socket; ``tiphys.testing.fake_cri.FakeRuntime``
keeps it in memory. One contract suite runs on both.

A sandbox: READY ──stop──> NOT_READY ──remove──> gone. A sandbox whose pause process dies becomes NOT_READY by itself.
A container: CREATED ──start──> RUNNING ──exit or stop──> EXITED ──remove──> gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import (
    AuthConfig,
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    ExecResult,
    FilesystemUsage,
    Image,
    Resources,
    RuntimeStatus,
    RuntimeVersion,
    Sandbox,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)

__all__ = ["CriCode", "CriError", "Runtime"]


class Runtime(Protocol):
    """A container runtime. Every call raises CriError; none waits longer than its timeout."""

    async def version(self) -> RuntimeVersion: ...

    async def status(self, *, verbose: bool = False) -> RuntimeStatus: ...

    # -- pod sandboxes -----------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig, *, runtime_handler: str = "") -> str:
        """Make and start a sandbox with its network; returns its id. It is READY or the call raises."""
        ...

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill its containers and give its network back. Idempotent, also for ids the runtime does not know."""
        ...

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove it and its containers, by force. Idempotent, also for ids the runtime does not know."""
        ...

    async def sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> SandboxStatus:
        """NotFound when there is none."""
        ...

    async def list_sandboxes(
        self, *, id: str = "", state: SandboxState | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Sandbox]: ...

    # -- containers --------------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        """Make a container in the sandbox, not started; returns its id. The image must be present."""
        ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, *, timeout_seconds: int) -> None:
        """Stop signal, then SIGKILL after the timeout; returns when it has exited. 0 kills at once. Idempotent."""
        ...

    async def remove_container(self, container_id: str) -> None:
        """Remove it, by force when running. Idempotent, also for ids the runtime does not know."""
        ...

    async def container_status(self, container_id: str) -> ContainerStatus:
        """NotFound when there is none."""
        ...

    async def list_containers(
        self,
        *,
        id: str = "",
        sandbox_id: str = "",
        state: ContainerState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Container]: ...

    async def update_container_resources(self, container_id: str, resources: Resources) -> None: ...

    async def container_stats(self, container_id: str) -> ContainerStats: ...

    async def list_container_stats(
        self, *, sandbox_id: str = "", labels: Mapping[str, str] | None = None
    ) -> list[ContainerStats]: ...

    async def reopen_container_log(self, container_id: str) -> None:
        """After a rotation: go on writing to a new file at ``log_path``. FailedPrecondition unless RUNNING."""
        ...

    # -- commands and streams ----------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_seconds: float = 0) -> ExecResult:
        """Run to the end and return the output. DeadlineExceeded after the timeout (0: none), the command killed."""
        ...

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """A single-use URL of the runtime's streaming server (SPDY/3.1 or WebSocket upgrade)."""
        ...

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int] = ()) -> str: ...

    # -- images ------------------------------------------------------------------------------------------------------

    async def list_images(self) -> list[Image]: ...

    async def image_status(self, image: str) -> Image | None:
        """By reference (``nginx``, ``busybox:1.36``), digest or id; None when it is not present."""
        ...

    async def pull_image(
        self, image: str, *, auth: AuthConfig | None = None, sandbox: SandboxConfig | None = None
    ) -> str:
        """Fetch from its registry; returns the reference (id) that containers are created with."""
        ...

    async def remove_image(self, image: str) -> None:
        """Idempotent."""
        ...

    async def image_filesystems(self) -> list[FilesystemUsage]: ...

    # -- events ------------------------------------------------------------------------------------------------------

    def events(self) -> AsyncIterator[ContainerEvent]:
        """What happens to containers and sandboxes from now on; hints, never a full history.

        Ends with CriError: Unimplemented when the runtime cannot tell (list every so often instead), Unavailable
        when the connection is lost (list, then subscribe again). The first item, of type CREATED with an empty
        container_id, says that the subscription stands: list after it and nothing is missed.
        """
        ...

    async def close(self) -> None: ...
