"""The driver's three services, as plain functions of messages; `server.py` puts them on a socket.

State is on disk, so that a driver that is killed goes on where it was: ``<state>/disks/<id>.img`` and ``<id>.json``
(name, size, where it is attached and staged). ``<state>/faults.json`` makes calls slow or fail, for tests:
``{"NodeStageVolume": {"delay_seconds": 5, "code": "INTERNAL", "times": 1}}``.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from tests.csi_driver.disks import DiskError, Disks
from tiphys.csi.wire import CSI, AccessMode, ControllerRpc, NodeRpc, PluginService, UsageUnit

SMALLEST_BYTES = 16 << 20
LARGEST_BYTES = 8 << 30


class Refuse(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class DriverConfig:
    name: str
    node_id: str
    state: Path
    """Shared by all nodes."""
    topology: dict[str, str] = field(default_factory=dict)
    """Where this node is; a driver with a topology makes disks for one place only."""
    attaches: bool = True
    maximum_volumes: int = 0
    capacity_bytes: int = LARGEST_BYTES
    """All disks together may be so large."""


class TestDriver:
    """One node's instance, controller included: all of them work on the same state."""

    __test__ = False

    def __init__(self, config: DriverConfig, disks: Disks) -> None:
        self.config = config
        self._disks = disks
        self._folder = config.state / "disks"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.calls: list[str] = []
        self.secrets: dict[str, dict[str, str]] = {}
        """By method, those of its last call."""

    async def call(self, method: str, request: Any) -> Any:
        """Answer one call. Raises Refuse."""
        self.calls.append(method)
        self.secrets[method] = dict(getattr(request, "secrets", {}))
        with (self.config.state / "calls.log").open("a") as log:
            log.write(f"{self.config.node_id} {method} {getattr(request, 'volume_id', '')}\n")
        await self._fault(method)
        try:
            return await getattr(self, _snake(method))(request)
        except DiskError as error:
            raise Refuse(grpc.StatusCode.INTERNAL, str(error)) from None

    async def _fault(self, method: str) -> None:
        path = self.config.state / "faults.json"
        faults = json.loads(path.read_text()) if path.exists() else {}
        fault = faults.get(method)
        if fault is None:
            return
        if "times" in fault:
            fault["times"] -= 1
            if fault["times"] <= 0:
                del faults[method]
            path.write_text(json.dumps(faults))
        await asyncio.sleep(fault.get("delay_seconds", 0))
        if "code" in fault:
            raise Refuse(grpc.StatusCode[fault["code"]], fault.get("message", "injected"))

    # -- state -----------------------------------------------------------------------------------------------------

    def _image(self, volume_id: str) -> Path:
        return self._folder / f"{volume_id}.img"

    def _read(self, volume_id: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._folder / f"{volume_id}.json").read_text())
        except FileNotFoundError:
            raise Refuse(grpc.StatusCode.NOT_FOUND, f"volume {volume_id} not found") from None
        return found

    def _write(self, volume_id: str, facts: dict[str, Any]) -> None:
        path = self._folder / f"{volume_id}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(facts))
        fresh.replace(path)

    def _used_bytes(self) -> int:
        return sum(json.loads(path.read_text())["size"] for path in self._folder.glob("*.json"))

    # -- identity --------------------------------------------------------------------------------------------------

    async def get_plugin_info(self, request: Any) -> Any:
        return CSI["GetPluginInfoResponse"](name=self.config.name, vendor_version="1.0.0")

    async def get_plugin_capabilities(self, request: Any) -> Any:
        services = [PluginService.CONTROLLER_SERVICE]
        if self.config.topology:
            services.append(PluginService.VOLUME_ACCESSIBILITY_CONSTRAINTS)
        return _capabilities(services)

    async def probe(self, request: Any) -> Any:
        return CSI["ProbeResponse"]()

    # -- controller ------------------------------------------------------------------------------------------------

    async def controller_get_capabilities(self, request: Any) -> Any:
        able = [ControllerRpc.CREATE_DELETE_VOLUME, ControllerRpc.EXPAND_VOLUME, ControllerRpc.GET_CAPACITY]
        return _capabilities([*able, *([ControllerRpc.PUBLISH_UNPUBLISH_VOLUME] if self.config.attaches else [])])

    async def create_volume(self, request: Any) -> Any:
        for capability in request.volume_capabilities:
            if capability.access_mode.type in (AccessMode.MULTI_NODE_MULTI_WRITER, AccessMode.MULTI_NODE_SINGLE_WRITER):
                raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "a disk has one writer")
        size = max(request.capacity_range.required_bytes, SMALLEST_BYTES)
        place = dict(request.accessibility_requirements.preferred[0].segments) if self.config.topology else {}
        volume_id = f"disk-{request.name}"
        try:
            facts = self._read(volume_id)
        except Refuse:
            if self._used_bytes() + size > self.config.capacity_bytes:
                raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room for the disk") from None
            facts = {"size": size, "place": place, "attached": "", "staged": "", "parameters": dict(request.parameters)}
            with self._image(volume_id).open("wb") as image:
                image.truncate(size)
            self._write(volume_id, facts)
        if facts["size"] < size:
            raise Refuse(grpc.StatusCode.ALREADY_EXISTS, f"volume {volume_id} exists and is smaller")
        volume = CSI["Volume"](volume_id=volume_id, capacity_bytes=facts["size"], volume_context={"made-by": "test"})
        if facts["place"]:
            volume.accessible_topology.append(CSI["Topology"](segments=facts["place"]))
        return CSI["CreateVolumeResponse"](volume=volume)

    async def delete_volume(self, request: Any) -> Any:
        try:
            facts = self._read(request.volume_id)
        except Refuse:
            return CSI["Empty"]()
        if facts["attached"] or facts["staged"]:
            raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, f"volume {request.volume_id} is in use")
        self._image(request.volume_id).unlink(missing_ok=True)
        (self._folder / f"{request.volume_id}.json").unlink()
        return CSI["Empty"]()

    async def controller_publish_volume(self, request: Any) -> Any:
        facts = self._read(request.volume_id)
        if facts["attached"] not in ("", request.node_id):
            raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, f"volume is attached to {facts['attached']}")
        self._write(request.volume_id, {**facts, "attached": request.node_id})
        return CSI["ControllerPublishVolumeResponse"](publish_context={"attached-to": request.node_id})

    async def controller_unpublish_volume(self, request: Any) -> Any:
        try:
            facts = self._read(request.volume_id)
        except Refuse:
            return CSI["Empty"]()
        if facts["staged"] == request.node_id:
            # Nobody detaches what is in use, unless the node is known to be dead.
            await self._disks.fence(self._image(request.volume_id))
            facts["staged"] = ""
        if facts["attached"] == request.node_id:
            self._write(request.volume_id, {**facts, "attached": ""})
        return CSI["Empty"]()

    async def get_capacity(self, request: Any) -> Any:
        return CSI["GetCapacityResponse"](available_capacity=self.config.capacity_bytes - self._used_bytes())

    async def controller_expand_volume(self, request: Any) -> Any:
        facts, size = self._read(request.volume_id), request.capacity_range.required_bytes
        if size > LARGEST_BYTES:
            raise Refuse(grpc.StatusCode.OUT_OF_RANGE, f"a disk has {LARGEST_BYTES} bytes at most")
        if size > facts["size"]:
            os.truncate(self._image(request.volume_id), size)
            self._write(request.volume_id, {**facts, "size": size})
        return CSI["ControllerExpandVolumeResponse"](
            capacity_bytes=max(size, facts["size"]), node_expansion_required=True
        )

    # -- node ------------------------------------------------------------------------------------------------------

    async def node_get_info(self, request: Any) -> Any:
        answer = CSI["NodeGetInfoResponse"](
            node_id=self.config.node_id, max_volumes_per_node=self.config.maximum_volumes
        )
        if self.config.topology:
            answer.accessible_topology.segments.update(self.config.topology)
        return answer

    async def node_get_capabilities(self, request: Any) -> Any:
        able = (NodeRpc.STAGE_UNSTAGE_VOLUME, NodeRpc.GET_VOLUME_STATS, NodeRpc.EXPAND_VOLUME)
        return _capabilities(able)

    async def node_stage_volume(self, request: Any) -> Any:
        facts, mine = self._read(request.volume_id), self.config.node_id
        if self.config.attaches:
            if facts["attached"] != mine:
                raise Refuse(
                    grpc.StatusCode.FAILED_PRECONDITION, f"volume is attached to {facts['attached'] or 'none'}"
                )
            if request.publish_context.get("attached-to") != mine:
                raise Refuse(grpc.StatusCode.INVALID_ARGUMENT, "the publish context is another node's")
        if facts["place"] not in ({}, self.config.topology):
            raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, f"volume is in {facts['place']}")
        if facts["staged"] not in ("", mine):
            raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, f"volume is staged on {facts['staged']}")
        self._write(request.volume_id, {**facts, "staged": mine})
        capability = request.volume_capability
        await self._disks.stage(
            self._image(request.volume_id),
            Path(request.staging_target_path),
            block=capability.HasField("block"),
            fs_type=capability.mount.fs_type or "ext4",
            flags=tuple(capability.mount.mount_flags),
        )
        return CSI["Empty"]()

    async def node_unstage_volume(self, request: Any) -> Any:
        try:
            facts = self._read(request.volume_id)
        except Refuse:
            return CSI["Empty"]()
        if facts["staged"] == self.config.node_id:
            await self._disks.unstage(self._image(request.volume_id), Path(request.staging_target_path))
            self._write(request.volume_id, {**self._read(request.volume_id), "staged": ""})
        return CSI["Empty"]()

    async def node_publish_volume(self, request: Any) -> Any:
        target, block = Path(request.target_path), request.volume_capability.HasField("block")
        if request.volume_context.get("csi.storage.k8s.io/ephemeral") == "true":
            await self._publish_inline(request, target)
            return CSI["Empty"]()
        if self._read(request.volume_id)["staged"] != self.config.node_id:
            raise Refuse(grpc.StatusCode.FAILED_PRECONDITION, "volume is not staged here")
        staging = Path(request.staging_target_path)
        await self._disks.publish(
            self._image(request.volume_id), staging, target, block=block, read_only=request.readonly
        )
        return CSI["Empty"]()

    async def _publish_inline(self, request: Any, target: Path) -> None:
        """A disk of the pod's own, gone with it; it holds what the pod is called."""
        folder = self.config.state / "inline" / request.volume_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "context.json").write_text(json.dumps({"context": dict(request.volume_context),
                                                         "secrets": dict(request.secrets)}))  # fmt: skip
        image = Path()
        await self._disks.publish(image, folder, target, block=False, read_only=request.readonly)

    async def node_unpublish_volume(self, request: Any) -> Any:
        await self._disks.unpublish(Path(request.target_path))
        folder = self.config.state / "inline" / request.volume_id
        if folder.is_dir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        return CSI["Empty"]()

    async def node_expand_volume(self, request: Any) -> Any:
        facts = self._read(request.volume_id)
        capability = request.volume_capability
        await self._disks.grow(
            self._image(request.volume_id),
            Path(request.staging_target_path or request.volume_path),
            block=capability.HasField("block"),
            fs_type=capability.mount.fs_type or "ext4",
        )
        return CSI["NodeExpandVolumeResponse"](capacity_bytes=facts["size"])

    async def node_get_volume_stats(self, request: Any) -> Any:
        size = self._disks.usage(Path(request.volume_path))
        unit, total = size.f_frsize, size.f_blocks * size.f_frsize
        usage = CSI["VolumeUsage"]
        return CSI["NodeGetVolumeStatsResponse"](
            usage=[
                usage(
                    available=size.f_bavail * unit, total=total, used=total - size.f_bfree * unit, unit=UsageUnit.BYTES
                ),
                usage(
                    available=size.f_favail,
                    total=size.f_files,
                    used=size.f_files - size.f_ffree,
                    unit=UsageUnit.INODES,
                ),
            ]
        )


def _capabilities(numbers: Any) -> Any:
    entries = [CSI["Capability"](service=CSI["Typed"](type=int(number))) for number in numbers]
    return CSI["Capabilities"](capabilities=entries)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
