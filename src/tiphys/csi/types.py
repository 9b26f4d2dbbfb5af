"""What CSI calls take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiphys.csi.wire import AccessMode, ControllerRpc, NodeRpc, PluginService

Context = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Capability:
    """How a volume is to be used. `block` True hands it out as a device; else as a file system of `fs_type`."""

    access_mode: AccessMode
    block: bool = False
    fs_type: str = ""
    mount_flags: tuple[str, ...] = ()
    mount_group: str = ""
    """The gid that shall be able to use the volume's files, for drivers that see to it (VOLUME_MOUNT_GROUP)."""


@dataclass(frozen=True, slots=True)
class TopologyRequirement:
    """Where a volume must be reachable from: any of `requisite`, the first of `preferred` if possible."""

    requisite: tuple[Context, ...] = ()
    preferred: tuple[Context, ...] = ()


@dataclass(frozen=True, slots=True)
class CreatedVolume:
    volume_id: str
    capacity_bytes: int
    """0 when the driver does not say."""
    context: Context = field(default_factory=dict)
    accessible_topology: tuple[Context, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """Who a driver says it is, and what its controller side can do."""

    name: str
    version: str
    services: frozenset[PluginService] = frozenset()


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """How a driver calls this node. `maximum_volumes` 0 means: as many as one likes."""

    node_id: str
    maximum_volumes: int = 0
    topology: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumeUsage:
    """Of a published volume: bytes, and inodes where the driver counts them (0 else)."""

    available_bytes: int = 0
    total_bytes: int = 0
    used_bytes: int = 0
    available_inodes: int = 0
    total_inodes: int = 0
    used_inodes: int = 0


NodeCapabilities = frozenset[NodeRpc]
ControllerCapabilities = frozenset[ControllerRpc]
