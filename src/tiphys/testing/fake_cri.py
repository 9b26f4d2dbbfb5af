"""A container runtime in memory, for tests of the kubelet: the same contract as CriRuntime, no process, no time.

A test says how a container behaves (``runtime.behaviours["web"] = Behaviour(exit_code=1)``), ends one
(``runtime.exit(container_id, 137)``), or makes a call fail (``runtime.fail("pull_image", error)``).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiphys.base.clock import Clock
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import (
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    EventType,
    ExecResult,
    Resources,
    RuntimeCondition,
    RuntimeStatus,
    RuntimeVersion,
    Sandbox,
    SandboxConfig,
    SandboxState,
    SandboxStatus,
)
from tiphys.testing.fake_images import FakeImages

ExecHandler = Callable[[Sequence[str]], ExecResult]


@dataclass
class Behaviour:
    """How containers of a name behave. ``exit_code`` not None: they end at once with it.

    ``ignores_stop``: only the kill at the end of the grace period ends them, with 137. ``exec`` answers exec_sync.
    """

    exit_code: int | None = None
    ignores_stop: bool = False
    exec: ExecHandler = field(default=lambda command: ExecResult(b"", b"", 0))


@dataclass
class _Sandbox:
    sandbox: Sandbox
    config: SandboxConfig
    ips: tuple[str, ...]


@dataclass
class _Container:
    status: ContainerStatus
    sandbox_id: str
    config: ContainerConfig


class FakeRuntime(FakeImages):
    """``tiphys.cri.runtime.Runtime`` in memory. ``calls`` names the calls made, in order."""

    def __init__(self, *, images: Sequence[str] = (), clock: Clock | None = None) -> None:
        super().__init__(images, clock)
        self.behaviours: dict[str, Behaviour] = {}
        self.network_ready = True
        self.stats: dict[str, ContainerStats] = {}
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._watchers: set[asyncio.Queue[ContainerEvent]] = set()
        self._numbers = itertools.count(1)
        self._addresses = itertools.count(2)

    @property
    def is_empty(self) -> bool:
        """Whether there is no sandbox and no container: a look, and no call that could fail."""
        return not self._sandboxes and not self._containers

    # -- what tests turn ---------------------------------------------------------------------------------------------

    def exit(self, container_id: str, exit_code: int = 0, *, reason: str = "") -> None:
        """A running container's process ends by itself (or by the kernel's hand: ``reason="OOMKilled"``)."""
        found = self._containers[container_id]
        if found.status.state is not ContainerState.RUNNING:
            return
        found.status = replace(
            found.status,
            state=ContainerState.EXITED,
            exit_code=exit_code,
            finished_at_nanoseconds=self._now(),
            reason=reason or ("Completed" if exit_code == 0 else "Error"),
        )
        self._tell(EventType.STOPPED, container_id, found.sandbox_id)

    def kill_sandbox(self, sandbox_id: str) -> None:
        """The sandbox's own process ends: it becomes NOT_READY, its containers end."""
        self._halt(sandbox_id)
        self._tell(EventType.STOPPED, sandbox_id, sandbox_id)

    def _tell(self, kind: EventType, container_id: str, sandbox_id: str) -> None:
        event = ContainerEvent(kind, container_id, self._now(), sandbox_id)
        for queue in self._watchers:
            queue.put_nowait(event)

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise _not_found("sandbox", sandbox_id) from None

    def _container(self, container_id: str) -> _Container:
        try:
            return self._containers[container_id]
        except KeyError:
            raise _not_found("container", container_id) from None

    def _halt(self, sandbox_id: str) -> None:
        found = self._sandboxes[sandbox_id]
        for container_id, container in list(self._containers.items()):
            if container.sandbox_id == sandbox_id:
                self.exit(container_id, 137)
        found.sandbox = replace(found.sandbox, state=SandboxState.NOT_READY)
        found.ips = ()

    # -- Runtime -----------------------------------------------------------------------------------------------------

    async def version(self) -> RuntimeVersion:
        self._enter("version")
        return RuntimeVersion("0.1.0", "fake", "1.0.0", "v1")

    async def status(self, *, verbose: bool = False) -> RuntimeStatus:
        self._enter("status")
        network = RuntimeCondition("NetworkReady", self.network_ready)
        return RuntimeStatus((RuntimeCondition("RuntimeReady", True), network))

    async def run_sandbox(self, config: SandboxConfig, *, runtime_handler: str = "") -> str:
        self._enter("run_sandbox")
        key = (config.name, config.namespace, config.uid, config.attempt)
        if any((s.name, s.namespace, s.uid, s.attempt) == key for s in self._listed_sandboxes()):
            raise CriError(CriCode.UNKNOWN, f'failed to reserve sandbox name "{config.name}": name is reserved')
        sandbox_id = f"{next(self._numbers):064x}"
        sandbox = Sandbox(
            id=sandbox_id,
            name=config.name,
            namespace=config.namespace,
            uid=config.uid,
            attempt=config.attempt,
            state=SandboxState.READY,
            created_at_nanoseconds=self._now(),
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            runtime_handler=runtime_handler,
        )
        number = next(self._addresses)
        ips = () if config.security.namespaces.network == 2 else (f"10.244.{number // 256}.{number % 256}",)
        self._sandboxes[sandbox_id] = _Sandbox(sandbox, config, ips)
        self._tell(EventType.STARTED, sandbox_id, sandbox_id)
        return sandbox_id

    def _listed_sandboxes(self) -> list[Sandbox]:
        return [found.sandbox for found in self._sandboxes.values()]

    async def stop_sandbox(self, sandbox_id: str) -> None:
        self._enter("stop_sandbox")
        if sandbox_id in self._sandboxes:
            self._halt(sandbox_id)
            self._tell(EventType.STOPPED, sandbox_id, sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self._enter("remove_sandbox")
        if sandbox_id in self._sandboxes:
            self._halt(sandbox_id)
            self._containers = {k: c for k, c in self._containers.items() if c.sandbox_id != sandbox_id}
            del self._sandboxes[sandbox_id]
            self._tell(EventType.DELETED, sandbox_id, sandbox_id)

    async def sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> SandboxStatus:
        self._enter("sandbox_status")
        found = self._sandbox(sandbox_id)
        return SandboxStatus(found.sandbox, found.ips, found.config.security.namespaces)

    async def list_sandboxes(
        self, *, id: str = "", state: SandboxState | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Sandbox]:
        self._enter("list_sandboxes")
        return [
            s.sandbox
            for s in self._sandboxes.values()
            if s.sandbox.id.startswith(id) and state in (None, s.sandbox.state) and _has(s.sandbox.labels, labels)
        ]

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        self._enter("create_container")
        found = self._sandbox(sandbox_id)
        if found.sandbox.state is not SandboxState.READY:
            raise CriError(CriCode.UNKNOWN, f'sandbox container "{sandbox_id}" is not running')
        image = self._find_image(config.image)
        if image is None:
            raise _not_found("image", config.image)
        container_id = f"{next(self._numbers):064x}"
        status = ContainerStatus(
            id=container_id,
            name=config.name,
            attempt=config.attempt,
            state=ContainerState.CREATED,
            created_at_nanoseconds=self._now(),
            started_at_nanoseconds=0,
            finished_at_nanoseconds=0,
            exit_code=0,
            image=image.repo_tags[0],
            image_ref=image.id,
            image_id=image.id,
            reason="",
            message="",
            log_path=f"{found.config.log_directory}/{config.log_path}" if config.log_path else "",
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            mounts=config.mounts,
            resources=config.resources,
        )
        self._containers[container_id] = _Container(status, sandbox_id, config)
        self._tell(EventType.CREATED, container_id, sandbox_id)
        return container_id

    async def start_container(self, container_id: str) -> None:
        self._enter("start_container")
        found = self._container(container_id)
        if found.status.state is not ContainerState.CREATED:
            raise CriError(CriCode.UNKNOWN, f'container "{container_id}" is in {found.status.state.name} state')
        found.status = replace(found.status, state=ContainerState.RUNNING, started_at_nanoseconds=self._now())
        self._tell(EventType.STARTED, container_id, found.sandbox_id)
        behaviour = self.behaviours.get(found.config.name)
        if behaviour is not None and behaviour.exit_code is not None:
            self.exit(container_id, behaviour.exit_code)

    async def stop_container(self, container_id: str, *, timeout_seconds: int) -> None:
        self._enter("stop_container")
        found = self._containers.get(container_id)
        if found is None or found.status.state is not ContainerState.RUNNING:
            return
        if self.behaviours.get(found.config.name, Behaviour()).ignores_stop and timeout_seconds > 0:
            await self._clock.sleep(timeout_seconds)
            self.exit(container_id, 137)
        else:
            self.exit(container_id, 143 if timeout_seconds > 0 else 137)

    async def remove_container(self, container_id: str) -> None:
        self._enter("remove_container")
        if container_id in self._containers:
            self.exit(container_id, 137)
            found = self._containers.pop(container_id)
            self._tell(EventType.DELETED, container_id, found.sandbox_id)

    async def container_status(self, container_id: str) -> ContainerStatus:
        self._enter("container_status")
        return self._container(container_id).status

    async def list_containers(
        self,
        *,
        id: str = "",
        sandbox_id: str = "",
        state: ContainerState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Container]:
        self._enter("list_containers")
        return [
            _listed(c)
            for c in self._containers.values()
            if c.status.id.startswith(id)
            and c.sandbox_id.startswith(sandbox_id)
            and state in (None, c.status.state)
            and _has(c.status.labels, labels)
        ]

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        self._enter("update_container_resources")
        found = self._container(container_id)
        found.status = replace(found.status, resources=resources)

    async def container_stats(self, container_id: str) -> ContainerStats:
        self._enter("container_stats")
        status = self._container(container_id).status
        return self.stats.get(container_id) or ContainerStats(status.id, status.name, status.labels, self._now(), 0)

    async def list_container_stats(
        self, *, sandbox_id: str = "", labels: Mapping[str, str] | None = None
    ) -> list[ContainerStats]:
        running = await self.list_containers(sandbox_id=sandbox_id, state=ContainerState.RUNNING, labels=labels)
        return [await self.container_stats(container.id) for container in running]

    async def reopen_container_log(self, container_id: str) -> None:
        self._enter("reopen_container_log")
        self._running(container_id)

    def _running(self, container_id: str) -> _Container:
        found = self._container(container_id)
        if found.status.state is not ContainerState.RUNNING:
            raise CriError(CriCode.UNKNOWN, f"container is in {found.status.state.name} state")
        return found

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_seconds: float = 0) -> ExecResult:
        self._enter("exec_sync")
        found = self._running(container_id)
        return self.behaviours.get(found.config.name, Behaviour()).exec(command)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        self._enter("exec_url")
        self._running(container_id)
        return f"http://127.0.0.1:1/exec/{container_id}"

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        self._enter("attach_url")
        self._running(container_id)
        return f"http://127.0.0.1:1/attach/{container_id}"

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int] = ()) -> str:
        self._enter("port_forward_url")
        self._sandbox(sandbox_id)
        return f"http://127.0.0.1:1/portforward/{sandbox_id}"

    async def events(self) -> AsyncIterator[ContainerEvent]:
        self._enter("events")
        queue: asyncio.Queue[ContainerEvent] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield ContainerEvent(EventType.CREATED, "", self._now())
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def close(self) -> None:
        self.calls.append("close")


def _not_found(what: str, name: str) -> CriError:
    return CriError(CriCode.NOT_FOUND, f'an error occurred when try to find {what} "{name}": not found')


def _has(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(labels.get(key) == value for key, value in (wanted or {}).items())


def _listed(container: _Container) -> Container:
    status = container.status
    return Container(
        id=status.id,
        sandbox_id=container.sandbox_id,
        name=status.name,
        attempt=status.attempt,
        image=status.image,
        image_ref=status.image_ref,
        state=status.state,
        created_at_nanoseconds=status.created_at_nanoseconds,
        labels=status.labels,
        annotations=status.annotations,
    )
