"""A CSI volume as a pod wants it, whichever way it was asked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from tiphys.api.csi_volumes import inline_handle, unique_name
from tiphys.api.persistent_volumes import capacity
from tiphys.api.types.core_v1 import CSIVolumeSource, Pod, SecretReference
from tiphys.csi.types import Capability
from tiphys.csi.volume_access import access_mode
from tiphys.kubelet.volumes.claims import Claimed

EPHEMERAL, PERSISTENT = "Ephemeral", "Persistent"
Reference = tuple[str, str]
"""(namespace, name) of a Secret."""


@dataclass(frozen=True, slots=True)
class CsiVolume:
    """`name` is the PersistentVolume's, or the pod's name for an inline volume."""

    name: str
    driver: str
    handle: str
    fs_type: str = ""
    read_only: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)
    block: bool = False
    mount_options: tuple[str, ...] = ()
    claimed: Claimed | None = None
    """None for an inline volume."""
    pod_volume: str = ""
    """What the pod calls it."""
    stage_secret: Reference | None = None
    publish_secret: Reference | None = None
    expand_secret: Reference | None = None

    @property
    def unique(self) -> str:
        return unique_name(self.driver, self.handle)

    @property
    def lifecycle_mode(self) -> str:
        return PERSISTENT if self.claimed is not None else EPHEMERAL

    @property
    def size_bytes(self) -> int:
        return capacity(self.claimed.volume).value if self.claimed is not None else 0

    def capability(self, *, multi_writer: bool, mount_group: str = "") -> Capability:
        """`multi_writer`: the driver tells one pod of a node from several (SINGLE_NODE_MULTI_WRITER)."""
        mode = access_mode(self.access_modes[:1], multi_writer=multi_writer)
        if self.block:
            return Capability(mode, block=True)
        return Capability(mode, False, self.fs_type, self.mount_options, mount_group)


def of_claim(claimed: Claimed, pod_volume: str) -> CsiVolume:
    """The volume behind a claim whose PersistentVolume is of type ``csi``."""
    source = claimed.volume.spec.csi
    assert source is not None
    return CsiVolume(
        name=claimed.name,
        driver=source.driver,
        handle=source.volume_handle,
        fs_type=source.fs_type or "",
        read_only=bool(source.read_only) or claimed.read_only,
        attributes=source.volume_attributes,
        access_modes=claimed.volume.spec.access_modes or ("ReadWriteOnce",),
        block=claimed.block,
        mount_options=claimed.volume.spec.mount_options,
        claimed=claimed,
        pod_volume=pod_volume,
        stage_secret=_reference(source.node_stage_secret_ref),
        publish_secret=_reference(source.node_publish_secret_ref),
        expand_secret=_reference(source.node_expand_secret_ref),
    )


def inline(pod: Pod, name: str, source: CSIVolumeSource) -> CsiVolume:
    """A volume that a pod's spec describes itself."""
    secret = source.node_publish_secret_ref
    return CsiVolume(
        name=name,
        pod_volume=name,
        driver=source.driver,
        handle=inline_handle(pod.metadata.uid or "", name),
        fs_type=source.fs_type or "",
        read_only=bool(source.read_only),
        attributes=source.volume_attributes,
        publish_secret=(pod.metadata.namespace or "", secret.name or "") if secret is not None else None,
    )


def _reference(secret: SecretReference | None) -> Reference | None:
    return (secret.namespace or "", secret.name) if secret is not None and secret.name else None
