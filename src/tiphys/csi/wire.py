"""Messages of CSI v1 and of plugin registration, declared by their published numbers: no kept PyPI package has them.

Source: the Container Storage Interface specification 1.11 (package ``csi.v1``) and the kubelet's plugin registration
API (package ``pluginregistration``). Enumerations are carried as numbers, which is how they travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from tiphys.base.protobuf import MAP, Fields, declare

_ACCESS: Final[Fields] = (
    ("block", 1, "oneof Empty"),
    ("mount", 2, "oneof MountVolume"),
    ("access_mode", 3, "Typed"),
)
_CSI: Final[Mapping[str, Fields]] = {
    # One shape for all that holds nothing, and one for all that holds a single enumeration or RPC under number 1:
    # on the wire, messages have no names.
    "Empty": (),
    "Typed": (("type", 1, "int32"),),
    "Capability": (("service", 1, "oneof Typed"), ("volume_expansion", 2, "oneof Typed")),
    "Capabilities": (("capabilities", 1, "repeated Capability"),),
    "MountVolume": (
        ("fs_type", 1, "string"),
        ("mount_flags", 2, "repeated string"),
        ("volume_mount_group", 3, "string"),
    ),
    "VolumeCapability": _ACCESS,
    "Topology": (("segments", 1, MAP),),
    "TopologyRequirement": (("requisite", 1, "repeated Topology"), ("preferred", 2, "repeated Topology")),
    "CapacityRange": (("required_bytes", 1, "int64"), ("limit_bytes", 2, "int64")),
    "Identified": (("id", 1, "string"),),
    "VolumeContentSource": (("snapshot", 1, "oneof Identified"), ("volume", 2, "oneof Identified")),
    "Volume": (
        ("capacity_bytes", 1, "int64"),
        ("volume_id", 2, "string"),
        ("volume_context", 3, MAP),
        ("content_source", 4, "VolumeContentSource"),
        ("accessible_topology", 5, "repeated Topology"),
    ),
    "VolumeCondition": (("abnormal", 1, "bool"), ("message", 2, "string")),
    "VolumeUsage": (("available", 1, "int64"), ("total", 2, "int64"), ("used", 3, "int64"), ("unit", 4, "int32")),
    "GetPluginInfoResponse": (("name", 1, "string"), ("vendor_version", 2, "string"), ("manifest", 3, MAP)),
    "ProbeResponse": (("ready", 1, ".google.protobuf.BoolValue"),),
    "CreateVolumeRequest": (
        ("name", 1, "string"),
        ("capacity_range", 2, "CapacityRange"),
        ("volume_capabilities", 3, "repeated VolumeCapability"),
        ("parameters", 4, MAP),
        ("secrets", 5, MAP),
        ("volume_content_source", 6, "VolumeContentSource"),
        ("accessibility_requirements", 7, "TopologyRequirement"),
        ("mutable_parameters", 8, MAP),
    ),
    "CreateVolumeResponse": (("volume", 1, "Volume"),),
    "DeleteVolumeRequest": (("volume_id", 1, "string"), ("secrets", 2, MAP)),
    "ControllerPublishVolumeRequest": (
        ("volume_id", 1, "string"),
        ("node_id", 2, "string"),
        ("volume_capability", 3, "VolumeCapability"),
        ("readonly", 4, "bool"),
        ("secrets", 5, MAP),
        ("volume_context", 6, MAP),
    ),
    "ControllerPublishVolumeResponse": (("publish_context", 1, MAP),),
    "ControllerUnpublishVolumeRequest": (("volume_id", 1, "string"), ("node_id", 2, "string"), ("secrets", 3, MAP)),
    "GetCapacityRequest": (
        ("volume_capabilities", 1, "repeated VolumeCapability"),
        ("parameters", 2, MAP),
        ("accessible_topology", 3, "Topology"),
    ),
    "GetCapacityResponse": (
        ("available_capacity", 1, "int64"),
        ("maximum_volume_size", 2, ".google.protobuf.Int64Value"),
        ("minimum_volume_size", 3, ".google.protobuf.Int64Value"),
    ),
    "ControllerExpandVolumeRequest": (
        ("volume_id", 1, "string"),
        ("capacity_range", 2, "CapacityRange"),
        ("secrets", 3, MAP),
        ("volume_capability", 4, "VolumeCapability"),
    ),
    "ControllerExpandVolumeResponse": (("capacity_bytes", 1, "int64"), ("node_expansion_required", 2, "bool")),
    "NodeStageVolumeRequest": (
        ("volume_id", 1, "string"),
        ("publish_context", 2, MAP),
        ("staging_target_path", 3, "string"),
        ("volume_capability", 4, "VolumeCapability"),
        ("secrets", 5, MAP),
        ("volume_context", 6, MAP),
    ),
    "NodeUnstageVolumeRequest": (("volume_id", 1, "string"), ("staging_target_path", 2, "string")),
    "NodePublishVolumeRequest": (
        ("volume_id", 1, "string"),
        ("publish_context", 2, MAP),
        ("staging_target_path", 3, "string"),
        ("target_path", 4, "string"),
        ("volume_capability", 5, "VolumeCapability"),
        ("readonly", 6, "bool"),
        ("secrets", 7, MAP),
        ("volume_context", 8, MAP),
    ),
    "NodeUnpublishVolumeRequest": (("volume_id", 1, "string"), ("target_path", 2, "string")),
    "NodeGetVolumeStatsRequest": (
        ("volume_id", 1, "string"),
        ("volume_path", 2, "string"),
        ("staging_target_path", 3, "string"),
    ),
    "NodeGetVolumeStatsResponse": (("usage", 1, "repeated VolumeUsage"), ("volume_condition", 2, "VolumeCondition")),
    "NodeExpandVolumeRequest": (
        ("volume_id", 1, "string"),
        ("volume_path", 2, "string"),
        ("capacity_range", 3, "CapacityRange"),
        ("staging_target_path", 4, "string"),
        ("volume_capability", 5, "VolumeCapability"),
        ("secrets", 6, MAP),
    ),
    "NodeExpandVolumeResponse": (("capacity_bytes", 1, "int64"),),
    "NodeGetInfoResponse": (
        ("node_id", 1, "string"),
        ("max_volumes_per_node", 2, "int64"),
        ("accessible_topology", 3, "Topology"),
    ),
}
_REGISTRATION: Final[Mapping[str, Fields]] = {
    "InfoRequest": (),
    "PluginInfo": (
        ("type", 1, "string"),
        ("name", 2, "string"),
        ("endpoint", 3, "string"),
        ("supported_versions", 4, "repeated string"),
    ),
    "RegistrationStatus": (("plugin_registered", 1, "bool"), ("error", 2, "string")),
    "RegistrationStatusResponse": (),
}


class AccessMode(IntEnum):
    """VolumeCapability.AccessMode.Mode."""

    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7


class PluginService(IntEnum):
    """PluginCapability.Service.Type."""

    CONTROLLER_SERVICE = 1
    VOLUME_ACCESSIBILITY_CONSTRAINTS = 2


class ControllerRpc(IntEnum):
    """ControllerServiceCapability.RPC.Type: the ones Tiphys acts on."""

    CREATE_DELETE_VOLUME = 1
    PUBLISH_UNPUBLISH_VOLUME = 2
    GET_CAPACITY = 4
    PUBLISH_READONLY = 8
    EXPAND_VOLUME = 9
    SINGLE_NODE_MULTI_WRITER = 13


class NodeRpc(IntEnum):
    """NodeServiceCapability.RPC.Type."""

    STAGE_UNSTAGE_VOLUME = 1
    GET_VOLUME_STATS = 2
    EXPAND_VOLUME = 3
    VOLUME_CONDITION = 4
    SINGLE_NODE_MULTI_WRITER = 5
    VOLUME_MOUNT_GROUP = 6


class UsageUnit(IntEnum):
    """VolumeUsage.Unit."""

    BYTES = 1
    INODES = 2


CSI: Final = declare("csi.v1", _CSI)
REGISTRATION: Final = declare("pluginregistration", _REGISTRATION)

_LISTING: Final = frozenset({"GetPluginCapabilities", "ControllerGetCapabilities", "NodeGetCapabilities"})
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "Identity": ("GetPluginInfo", "GetPluginCapabilities", "Probe"),
    "Controller": (
        "CreateVolume",
        "DeleteVolume",
        "ControllerPublishVolume",
        "ControllerUnpublishVolume",
        "GetCapacity",
        "ControllerGetCapabilities",
        "ControllerExpandVolume",
    ),
    "Node": (
        "NodeStageVolume",
        "NodeUnstageVolume",
        "NodePublishVolume",
        "NodeUnpublishVolume",
        "NodeGetVolumeStats",
        "NodeExpandVolume",
        "NodeGetCapabilities",
        "NodeGetInfo",
    ),
}
"""The methods of ``csi.v1``'s services that Tiphys calls."""


def request_of(method: str) -> Any:
    """The class of a method's request."""
    return CSI.get(f"{method}Request", CSI["Empty"])


def response_of(method: str) -> Any:
    """The class of a method's answer."""
    if method in _LISTING:
        return CSI["Capabilities"]
    return CSI.get(f"{method}Response", CSI["Empty"])
