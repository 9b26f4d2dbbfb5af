"""A driver behind its socket: the identity, controller and node services of CSI v1, over gRPC."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeVar

# Before gRPC is imported, as in tiphys.cri: no process of ours goes on after a fork with the parent's channels.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc
import grpc.aio

from tiphys.csi import wire
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.types import (
    Capability,
    Context,
    ControllerCapabilities,
    CreatedVolume,
    NodeCapabilities,
    NodeInfo,
    PluginInfo,
    TopologyRequirement,
    VolumeUsage,
)
from tiphys.csi.wire import CSI, ControllerRpc, NodeRpc, PluginService, UsageUnit

TIMEOUT_SECONDS: Final = 120.0
"""As upstream: a mount or a format may take its time; a driver that works on finds the call repeated."""
PROBE_TIMEOUT_SECONDS: Final = 15.0
_CODES: Final = {code.name: code for code in CsiCode}
_E = TypeVar("_E", bound=IntEnum)


def connect(socket: Path) -> grpc.aio.Channel:
    """A channel to a unix socket; it connects on first use, and again after the driver was restarted."""
    return grpc.aio.insecure_channel(
        f"unix://{socket}",
        options=[
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.enable_http_proxy", 0),
            ("grpc.default_authority", "localhost"),
            # Two channels to one socket must not share what one of them closes.
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


class CsiDriver:
    """One driver. Every method raises CsiError; all of them may be repeated (CSI calls are idempotent)."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._channel = connect(socket)
        self._methods: dict[str, Any] = {
            method: self._channel.unary_unary(
                f"/csi.v1.{service}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=wire.response_of(method).FromString,
            )
            for service, methods in wire.METHODS.items()
            for method in methods
        }

    async def close(self) -> None:
        await self._channel.close(grace=None)

    async def _call(self, method: str, timeout_seconds: float = TIMEOUT_SECONDS, **fields: Any) -> Any:
        try:
            return await self._methods[method](wire.request_of(method)(**fields), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise CsiError(_CODES.get(error.code().name, CsiCode.UNKNOWN), error.details() or "") from None

    # -- identity --------------------------------------------------------------------------------------------------

    async def plugin_info(self) -> PluginInfo:
        answer = await self._call("GetPluginInfo", PROBE_TIMEOUT_SECONDS)
        listed = await self._call("GetPluginCapabilities", PROBE_TIMEOUT_SECONDS)
        services = _known(PluginService, (c.service.type for c in listed.capabilities if c.HasField("service")))
        return PluginInfo(answer.name, answer.vendor_version, services)

    async def ready(self) -> bool:
        """What Probe says; a driver that leaves it open is ready."""
        answer = await self._call("Probe", PROBE_TIMEOUT_SECONDS)
        return not answer.HasField("ready") or bool(answer.ready.value)

    # -- controller ------------------------------------------------------------------------------------------------

    async def controller_capabilities(self) -> ControllerCapabilities:
        answer = await self._call("ControllerGetCapabilities", PROBE_TIMEOUT_SECONDS)
        return _known(ControllerRpc, (c.service.type for c in answer.capabilities))

    async def create_volume(
        self,
        name: str,
        *,
        required_bytes: int,
        limit_bytes: int = 0,
        capabilities: Iterable[Capability],
        parameters: Context,
        secrets: Context,
        topology: TopologyRequirement | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> CreatedVolume:
        answer = await self._call(
            "CreateVolume",
            timeout_seconds,
            name=name,
            capacity_range=CSI["CapacityRange"](required_bytes=required_bytes, limit_bytes=limit_bytes),
            volume_capabilities=[capability_message(c) for c in capabilities],
            parameters=dict(parameters),
            secrets=dict(secrets),
            accessibility_requirements=_topology_message(topology),
        )
        volume = answer.volume
        return CreatedVolume(
            volume.volume_id,
            volume.capacity_bytes,
            dict(volume.volume_context),
            tuple(dict(t.segments) for t in volume.accessible_topology),
        )

    async def delete_volume(self, volume_id: str, secrets: Context) -> None:
        await self._call("DeleteVolume", volume_id=volume_id, secrets=dict(secrets))

    async def controller_publish(
        self,
        volume_id: str,
        node_id: str,
        capability: Capability,
        *,
        read_only: bool,
        secrets: Context,
        volume_context: Context,
    ) -> dict[str, str]:
        """Attach; what is returned (the publish context) is for the node's calls."""
        answer = await self._call(
            "ControllerPublishVolume",
            volume_id=volume_id,
            node_id=node_id,
            volume_capability=capability_message(capability),
            readonly=read_only,
            secrets=dict(secrets),
            volume_context=dict(volume_context),
        )
        return dict(answer.publish_context)

    async def controller_unpublish(self, volume_id: str, node_id: str, secrets: Context) -> None:
        await self._call("ControllerUnpublishVolume", volume_id=volume_id, node_id=node_id, secrets=dict(secrets))

    async def controller_expand(
        self, volume_id: str, required_bytes: int, capability: Capability, secrets: Context
    ) -> tuple[int, bool]:
        """(the new size in bytes, whether the node has to do something too)."""
        answer = await self._call(
            "ControllerExpandVolume",
            volume_id=volume_id,
            capacity_range=CSI["CapacityRange"](required_bytes=required_bytes),
            secrets=dict(secrets),
            volume_capability=capability_message(capability),
        )
        return answer.capacity_bytes, answer.node_expansion_required

    async def capacity(
        self, capabilities: Iterable[Capability], parameters: Context, topology: Context | None
    ) -> tuple[int, int]:
        """(bytes available, largest volume or 0) at a place."""
        answer = await self._call(
            "GetCapacity",
            volume_capabilities=[capability_message(c) for c in capabilities],
            parameters=dict(parameters),
            accessible_topology=CSI["Topology"](segments=dict(topology)) if topology is not None else None,
        )
        return answer.available_capacity, answer.maximum_volume_size.value

    # -- node ------------------------------------------------------------------------------------------------------

    async def node_info(self) -> NodeInfo:
        answer = await self._call("NodeGetInfo", PROBE_TIMEOUT_SECONDS)
        return NodeInfo(answer.node_id, answer.max_volumes_per_node, dict(answer.accessible_topology.segments))

    async def node_capabilities(self) -> NodeCapabilities:
        answer = await self._call("NodeGetCapabilities", PROBE_TIMEOUT_SECONDS)
        return _known(NodeRpc, (c.service.type for c in answer.capabilities))

    async def node_stage(
        self,
        volume_id: str,
        staging_path: Path,
        capability: Capability,
        *,
        publish_context: Context,
        volume_context: Context,
        secrets: Context,
    ) -> None:
        await self._call(
            "NodeStageVolume",
            volume_id=volume_id,
            publish_context=dict(publish_context),
            staging_target_path=str(staging_path),
            volume_capability=capability_message(capability),
            secrets=dict(secrets),
            volume_context=dict(volume_context),
        )

    async def node_unstage(self, volume_id: str, staging_path: Path) -> None:
        await self._call("NodeUnstageVolume", volume_id=volume_id, staging_target_path=str(staging_path))

    async def node_publish(
        self,
        volume_id: str,
        target_path: Path,
        capability: Capability,
        *,
        staging_path: Path | None,
        read_only: bool,
        publish_context: Context,
        volume_context: Context,
        secrets: Context,
    ) -> None:
        await self._call(
            "NodePublishVolume",
            volume_id=volume_id,
            publish_context=dict(publish_context),
            staging_target_path=str(staging_path) if staging_path is not None else "",
            target_path=str(target_path),
            volume_capability=capability_message(capability),
            readonly=read_only,
            secrets=dict(secrets),
            volume_context=dict(volume_context),
        )

    async def node_unpublish(self, volume_id: str, target_path: Path) -> None:
        await self._call("NodeUnpublishVolume", volume_id=volume_id, target_path=str(target_path))

    async def node_expand(
        self,
        volume_id: str,
        volume_path: Path,
        required_bytes: int,
        capability: Capability,
        *,
        staging_path: Path | None,
        secrets: Context,
    ) -> int:
        """The new size in bytes; 0 when the driver does not say."""
        answer = await self._call(
            "NodeExpandVolume",
            volume_id=volume_id,
            volume_path=str(volume_path),
            capacity_range=CSI["CapacityRange"](required_bytes=required_bytes),
            staging_target_path=str(staging_path) if staging_path is not None else "",
            volume_capability=capability_message(capability),
            secrets=dict(secrets),
        )
        return int(answer.capacity_bytes)

    async def node_volume_stats(self, volume_id: str, volume_path: Path, staging_path: Path | None) -> VolumeUsage:
        answer = await self._call(
            "NodeGetVolumeStats",
            PROBE_TIMEOUT_SECONDS,
            volume_id=volume_id,
            volume_path=str(volume_path),
            staging_target_path=str(staging_path) if staging_path is not None else "",
        )
        usage = {entry.unit: (entry.available, entry.total, entry.used) for entry in answer.usage}
        none = (0, 0, 0)
        return VolumeUsage(*usage.get(UsageUnit.BYTES, none), *usage.get(UsageUnit.INODES, none))


def _known(kind: type[_E], numbers: Iterable[int]) -> frozenset[_E]:
    """Those of `numbers` that are known: a newer driver may say more than we understand."""
    values = {int(member) for member in kind}
    return frozenset(kind(n) for n in numbers if n in values)


def capability_message(capability: Capability) -> Any:
    """The wire form of a capability."""
    mode = CSI["Typed"](type=int(capability.access_mode))
    if capability.block:
        return CSI["VolumeCapability"](block=CSI["Empty"](), access_mode=mode)
    mount = CSI["MountVolume"](
        fs_type=capability.fs_type,
        mount_flags=list(capability.mount_flags),
        volume_mount_group=capability.mount_group,
    )
    return CSI["VolumeCapability"](mount=mount, access_mode=mode)


def _topology_message(topology: TopologyRequirement | None) -> Any:
    if topology is None:
        return None

    def messages(places: Iterable[Mapping[str, str]]) -> list[Any]:
        return [CSI["Topology"](segments=dict(segments)) for segments in places]

    return CSI["TopologyRequirement"](requisite=messages(topology.requisite), preferred=messages(topology.preferred))
