"""The runtime behind a CRI v1 socket: containerd or CRI-O, over gRPC."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Before gRPC is imported: no process of ours goes on after a fork with the parent's channels, and gRPC would log each.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio
from cri_api.v1 import api_pb2
from cri_api.v1.api_pb2_grpc import ImageServiceStub, RuntimeServiceStub

from tiphys.cri import containerd_events, requests, responses
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import (
    AuthConfig,
    Container,
    ContainerConfig,
    ContainerEvent,
    ContainerState,
    ContainerStats,
    ContainerStatus,
    EventType,
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

pb: Any = api_pb2  # the stubs want enum members where the wire takes numbers

DEFAULT_TIMEOUT_SECONDS = 120.0
RUN_SANDBOX_TIMEOUT_SECONDS = 240.0
PULL_TIMEOUT_SECONDS = 3600.0
MAXIMUM_MESSAGE_BYTES = 16 * 1024 * 1024
RECONNECT_MINIMUM_MILLISECONDS = 50
RECONNECT_MAXIMUM_MILLISECONDS = 1000

_CODES: dict[grpc.StatusCode, CriCode] = {
    grpc.StatusCode.NOT_FOUND: CriCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: CriCode.ALREADY_EXISTS,
    grpc.StatusCode.INVALID_ARGUMENT: CriCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION: CriCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED: CriCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED: CriCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: CriCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED: CriCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: CriCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: CriCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: CriCode.CANCELLED,
    grpc.StatusCode.INTERNAL: CriCode.INTERNAL,
}


def _error(error: grpc.aio.AioRpcError) -> CriError:
    return CriError(_CODES.get(error.code(), CriCode.UNKNOWN), error.details() or "")


class CriRuntime:
    """``Runtime`` over a unix socket. Connects on first use and again, by itself, after the runtime restarts."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.aio.insecure_channel(
            f"unix://{socket}",
            options=[
                ("grpc.max_receive_message_length", MAXIMUM_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAXIMUM_MESSAGE_BYTES),
                ("grpc.min_reconnect_backoff_ms", RECONNECT_MINIMUM_MILLISECONDS),
                ("grpc.initial_reconnect_backoff_ms", RECONNECT_MINIMUM_MILLISECONDS),
                ("grpc.max_reconnect_backoff_ms", RECONNECT_MAXIMUM_MILLISECONDS),
                ("grpc.enable_http_proxy", 0),
                ("grpc.default_authority", "localhost"),
            ],
        )
        self._runtime: Any = RuntimeServiceStub(self._channel)
        self._images: Any = ImageServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close(grace=None)

    async def _call(self, method: Any, request: Any, timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS) -> Any:
        try:
            return await method(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise _error(error) from None

    async def version(self) -> RuntimeVersion:
        answer = await self._call(self._runtime.Version, pb.VersionRequest())
        return RuntimeVersion(answer.version, answer.runtime_name, answer.runtime_version, answer.runtime_api_version)

    async def status(self, *, verbose: bool = False) -> RuntimeStatus:
        return responses.runtime_status(await self._call(self._runtime.Status, pb.StatusRequest(verbose=verbose)))

    # -- pod sandboxes -----------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig, *, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=requests.sandbox_config(config), runtime_handler=runtime_handler)
        answer = await self._call(self._runtime.RunPodSandbox, request, RUN_SANDBOX_TIMEOUT_SECONDS)
        return str(answer.pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._forgiving(self._runtime.StopPodSandbox, pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._forgiving(self._runtime.RemovePodSandbox, pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id))

    async def sandbox_status(self, sandbox_id: str, *, verbose: bool = False) -> SandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=verbose)
        return responses.sandbox_status(await self._call(self._runtime.PodSandboxStatus, request))

    async def list_sandboxes(
        self, *, id: str = "", state: SandboxState | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Sandbox]:
        wanted = pb.PodSandboxFilter(id=id, label_selector=dict(labels or {}))
        if state is not None:
            wanted.state.CopyFrom(pb.PodSandboxStateValue(state=state.value))
        answer = await self._call(self._runtime.ListPodSandbox, pb.ListPodSandboxRequest(filter=wanted))
        return [responses.sandbox(item) for item in answer.items]

    # -- containers --------------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id,
            config=requests.container_config(config),
            sandbox_config=requests.sandbox_config(sandbox),
        )
        answer = await self._call(self._runtime.CreateContainer, request)
        return str(answer.container_id)

    async def start_container(self, container_id: str) -> None:
        await self._call(self._runtime.StartContainer, pb.StartContainerRequest(container_id=container_id))

    async def stop_container(self, container_id: str, *, timeout_seconds: int) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=timeout_seconds)
        await self._forgiving(self._runtime.StopContainer, request, timeout_seconds + DEFAULT_TIMEOUT_SECONDS)

    async def remove_container(self, container_id: str) -> None:
        await self._forgiving(self._runtime.RemoveContainer, pb.RemoveContainerRequest(container_id=container_id))

    async def container_status(self, container_id: str) -> ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id)
        return responses.container_status((await self._call(self._runtime.ContainerStatus, request)).status)

    async def list_containers(
        self,
        *,
        id: str = "",
        sandbox_id: str = "",
        state: ContainerState | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Container]:
        wanted = pb.ContainerFilter(id=id, pod_sandbox_id=sandbox_id, label_selector=dict(labels or {}))
        if state is not None:
            wanted.state.CopyFrom(pb.ContainerStateValue(state=state.value))
        answer = await self._call(self._runtime.ListContainers, pb.ListContainersRequest(filter=wanted))
        return [responses.container(item) for item in answer.containers]

    async def update_container_resources(self, container_id: str, resources: Resources) -> None:
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=requests.resources(resources))
        await self._call(self._runtime.UpdateContainerResources, request)

    async def container_stats(self, container_id: str) -> ContainerStats:
        request = pb.ContainerStatsRequest(container_id=container_id)
        return responses.container_stats((await self._call(self._runtime.ContainerStats, request)).stats)

    async def list_container_stats(
        self, *, sandbox_id: str = "", labels: Mapping[str, str] | None = None
    ) -> list[ContainerStats]:
        wanted = pb.ContainerStatsFilter(pod_sandbox_id=sandbox_id, label_selector=dict(labels or {}))
        answer = await self._call(self._runtime.ListContainerStats, pb.ListContainerStatsRequest(filter=wanted))
        return [responses.container_stats(item) for item in answer.stats]

    async def reopen_container_log(self, container_id: str) -> None:
        await self._call(self._runtime.ReopenContainerLog, pb.ReopenContainerLogRequest(container_id=container_id))

    # -- commands and streams ----------------------------------------------------------------------------------------

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_seconds: float = 0) -> ExecResult:
        # CRI counts whole seconds; the runtime kills the command, we only wait a little longer than it does.
        whole_seconds = -int(-timeout_seconds // 1)
        request = pb.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=whole_seconds)
        wait = whole_seconds + DEFAULT_TIMEOUT_SECONDS if whole_seconds else None
        answer = await self._call(self._runtime.ExecSync, request, wait)
        return ExecResult(answer.stdout, answer.stderr, answer.exit_code)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=list(command), tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await self._call(self._runtime.Exec, request)).url)

    async def attach_url(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return str((await self._call(self._runtime.Attach, request)).url)

    async def port_forward_url(self, sandbox_id: str, ports: Sequence[int] = ()) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=list(ports))
        return str((await self._call(self._runtime.PortForward, request)).url)

    # -- images ------------------------------------------------------------------------------------------------------

    async def list_images(self) -> list[Image]:
        answer = await self._call(self._images.ListImages, pb.ListImagesRequest())
        return [responses.image(item) for item in answer.images]

    async def image_status(self, image: str) -> Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
        answer = await self._call(self._images.ImageStatus, request)
        return responses.image(answer.image) if answer.HasField("image") else None

    async def pull_image(
        self, image: str, *, auth: AuthConfig | None = None, sandbox: SandboxConfig | None = None
    ) -> str:
        request = pb.PullImageRequest(
            image=pb.ImageSpec(image=image),
            auth=requests.auth_config(auth),
            sandbox_config=None if sandbox is None else requests.sandbox_config(sandbox),
        )
        return str((await self._call(self._images.PullImage, request, PULL_TIMEOUT_SECONDS)).image_ref)

    async def remove_image(self, image: str) -> None:
        await self._forgiving(self._images.RemoveImage, pb.RemoveImageRequest(image=pb.ImageSpec(image=image)))

    async def image_filesystems(self) -> list[FilesystemUsage]:
        answer = await self._call(self._images.ImageFsInfo, pb.ImageFsInfoRequest())
        return [responses.filesystem(item) for item in answer.image_filesystems]

    # -- events ------------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[ContainerEvent]:
        """See ``Runtime.events``: CRI's stream where there is one, else containerd's own."""
        stream = self._runtime.GetContainerEvents(pb.GetEventsRequest())
        convert: Callable[[Any], ContainerEvent | None] = responses.event
        try:
            if not await _opened(stream):
                stream = self._channel.unary_stream(
                    containerd_events.SUBSCRIBE_METHOD,
                    request_serializer=bytes,
                    response_deserializer=containerd_events.Envelope.FromString,
                )(containerd_events.subscribe_request())
                convert = containerd_events.event
                if not await _opened(stream):
                    raise CriError(CriCode.UNIMPLEMENTED, "the runtime has no event stream")
            yield ContainerEvent(EventType.CREATED, "", time.time_ns())
            async for message in stream:
                event = convert(message)
                if event is not None:
                    yield event
            raise CriError(CriCode.UNAVAILABLE, "the event stream ended")
        except grpc.aio.AioRpcError as error:
            raise _error(error) from None
        finally:
            stream.cancel()

    async def _forgiving(self, method: Any, request: Any, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """A call that is done when its object is not there."""
        try:
            await self._call(method, request, timeout_seconds)
        except CriError as error:
            if not error.not_found:
                raise


SUBSCRIBE_GRACE_SECONDS = 0.25


async def _opened(stream: Any) -> bool:
    """Whether a server stream stands; False when the method is not implemented.

    A server need not send anything before the first event, so a refusal is what is waited for, and briefly.
    """
    try:
        async with asyncio.timeout(SUBSCRIBE_GRACE_SECONDS):
            code = await stream.code()
    except TimeoutError:
        return True
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return False
    raise CriError(_CODES.get(code, CriCode.UNKNOWN), await stream.details() or "the event stream ended")
