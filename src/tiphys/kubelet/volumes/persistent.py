"""Volumes behind claims, whatever they are made of: ``local``, ``hostPath`` and ``csi``. Others need a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tiphys.api.selectors.nodes import selects
from tiphys.api.types.core_v1 import PersistentVolume, Pod, Volume
from tiphys.client.client import Client
from tiphys.kubelet.volumes import hostpath
from tiphys.kubelet.volumes.claims import Claimed, claimed
from tiphys.kubelet.volumes.csi.mounter import CsiVolumes
from tiphys.kubelet.volumes.csi.volume import inline, of_claim
from tiphys.kubelet.volumes.local import LocalVolumes
from tiphys.kubelet.volumes.mounted import MountedVolume
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.payload import ClaimError, MountError, VolumeError, VolumeWaits

_NOT_SOURCES: Final = frozenset(
    {
        "access_modes", "capacity", "claim_ref", "mount_options", "node_affinity", "persistent_volume_reclaim_policy",
        "storage_class_name", "volume_attributes_class_name", "volume_mode",
    }
)  # fmt: skip


class PersistentVolumes:
    """Mounts claims' volumes and inline CSI volumes. `csi` None: this node has no drivers (hollow nodes)."""

    def __init__(self, client: Client, node: NodeVolumes, local: LocalVolumes, csi: CsiVolumes | None) -> None:
        self._client = client
        self._node = node
        self._local = local
        self.csi = csi

    async def mount(self, pod: Pod, volume: Volume) -> MountedVolume:
        """Idempotent. Raises VolumeError (MountError with the whole story, VolumeWaits), ApiError and OSError."""
        if volume.csi is not None:
            if self.csi is None:
                raise VolumeError("no volume plugin matched")
            return await self.csi.mount(pod, inline(pod, volume.name, volume.csi))
        try:
            found = await claimed(self._client, pod, volume)
        except ClaimError as error:
            lists = (
                f"unmounted volumes=[{volume.name}], unattached volumes=[], failed to process volumes=[{volume.name}]"
            )
            raise MountError(f"Unable to attach or mount volumes: {lists}: {error}") from None
        self._check_place(found)
        try:
            return await self._mount(pod, volume.name, found)
        except (MountError, VolumeWaits):
            raise
        except (VolumeError, OSError) as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{found.name}" : {error}') from error

    async def _mount(self, pod: Pod, name: str, found: Claimed) -> MountedVolume:
        spec = found.volume.spec
        if spec.host_path is not None:
            path = Path(spec.host_path.path)
            hostpath.check(path, spec.host_path.type or "")
            return MountedVolume(path, found.read_only)
        if spec.local is not None:
            return await self._local.mount(pod, found)
        if spec.csi is not None and self.csi is not None:
            return await self.csi.mount(pod, of_claim(found, name))
        raise MountError(
            f'MountVolume.SetUp failed for volume "{found.name}" : no volume plugin matched: {_source(found.volume)}'
        )

    def _check_place(self, found: Claimed) -> None:
        """A volume that is not of this node is not mounted here, whoever put its pod here."""
        affinity, node = found.volume.spec.node_affinity, self._node.node
        if affinity is None or affinity.required is None or node is None:
            return
        if not selects(affinity.required, node.metadata.labels, node.metadata.name or ""):
            text = f'MountVolume.NodeAffinity check failed for volume "{found.name}" : no matching NodeSelectorTerms'
            raise MountError(text)

    async def unmount_pod(self, uid: str) -> None:
        """Take back what drivers gave the pod. Raises OSError."""
        if self.csi is not None:
            await self.csi.unmount_pod(uid)

    async def keep_up(self) -> None:
        """One round of what volumes need while they are in use."""
        await self._local.release_unused()
        if self.csi is not None:
            await self.csi.keep_up()

    async def close(self) -> None:
        if self.csi is not None:
            await self.csi.close()


def _source(volume: PersistentVolume) -> str:
    """The name of the volume's type."""
    for name, encoded in zip(volume.spec.__struct_fields__, volume.spec.__struct_encode_fields__, strict=True):
        if name not in _NOT_SOURCES and getattr(volume.spec, name) is not None:
            return encoded
    return "none"
