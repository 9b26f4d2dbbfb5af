"""A node's volumes, pod by pod."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap, EmptyDirVolumeSource, Pod, Secret, Volume
from tiphys.base.clock import Clock
from tiphys.client.client import Client
from tiphys.kubelet.spec.downward import NodeFacts
from tiphys.kubelet.spec.names import uid_of
from tiphys.kubelet.volumes import atomic, hostpath, ownership, subpath
from tiphys.kubelet.volumes.atomic import FileContent
from tiphys.kubelet.volumes.contents import Contents
from tiphys.kubelet.volumes.local import LocalVolumes
from tiphys.kubelet.volumes.mounted import MountedVolume
from tiphys.kubelet.volumes.mounts import mount_tmpfs, mounts_below, unmount
from tiphys.kubelet.volumes.node_volumes import NodeVolumes
from tiphys.kubelet.volumes.objects import ObjectKey, ReferencedObjects
from tiphys.kubelet.volumes.payload import MountError, VolumeError, VolumeWaits
from tiphys.kubelet.volumes.persistent import PersistentVolumes
from tiphys.kubelet.volumes.tokens import Tokens

SUBPATHS: Final = "volume-subpaths"


class VolumeManager:
    """Makes, refreshes and removes pods' volumes. `on_change(uids)`: an object these pods use has changed."""

    def __init__(
        self,
        client: Client,
        pods_dir: Path,
        clock: Clock,
        *,
        facts: Callable[[Pod], NodeFacts],
        on_change: Callable[[frozenset[str]], None],
        mounts: bool = True,
        persistent: PersistentVolumes | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        """`mounts` False, or not being root, keeps every volume in a plain folder owned by whoever runs this.

        Without `persistent` there are local and hostPath volumes, but none of drivers.
        """
        self._client = client
        self._pods_dir = pods_dir
        self._facts = facts
        self.objects = ReferencedObjects(client, clock, lambda _key, users: on_change(users))
        self._contents = Contents(self.objects, tokens or Tokens(client, clock))
        self._mounted: dict[str, dict[str, MountedVolume]] = {}
        self._stamps = itertools.count(int(clock.now() * 1e6))
        self._privileged = mounts and os.geteuid() == 0
        self.persistent = persistent or PersistentVolumes(
            client, NodeVolumes(lambda: None), LocalVolumes(pods_dir.parent, privileged=self._privileged), None
        )

    def pod_dir(self, uid: str) -> Path:
        return self._pods_dir / uid

    def mounted(self, uid: str) -> dict[str, MountedVolume]:
        """The pod's volumes by name; empty before `prepare`."""
        return self._mounted.get(uid, {})

    def renew_at(self, uid: str) -> float:
        """When the pod's tokens are to be renewed by `refresh` (epoch seconds); 0.0 for never."""
        return self._contents.renew_at.get(uid, 0.0)

    async def get_object(self, pod: Pod, kind: str, name: str) -> ConfigMap | Secret | None:
        """An object of the pod's namespace, kept up to date while the pod is here. Raises ApiError."""
        return await self.objects.get(uid_of(pod), ObjectKey(kind, pod.metadata.namespace or "", name))

    async def prepare(self, pod: Pod) -> None:
        """Make the pod's folder and every volume; idempotent. Raises VolumeError with upstream's words."""
        uid = uid_of(pod)
        folder = self.pod_dir(uid)
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        mounted: dict[str, MountedVolume] = {}
        self._contents.begin(uid)
        for volume in pod.spec.volumes:
            try:
                mounted[volume.name] = await self._mount(pod, volume)
            except VolumeWaits as wait:
                lists = f"unmounted volumes=[{volume.name}], unattached volumes=[{volume.name}]"
                text = f"Unable to attach or mount volumes: {lists}, failed to process volumes=[]: {wait}"
                raise VolumeWaits(text) from None
            except MountError:
                raise
            except (VolumeError, OSError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error
            except ApiError as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error.message}') from error
        self._mounted[uid] = mounted

    async def refresh(self, pod: Pod) -> None:
        """Bring files up to date with their objects, the pod and the clock. Raises VolumeError."""
        self._contents.begin(uid_of(pod))
        for volume in pod.spec.volumes:
            if volume.name in self.mounted(uid_of(pod)) and Contents.makes(volume):
                try:
                    await self._write(pod, volume)
                except ApiError as error:
                    raise VolumeError(error.message) from error

    def sub_path(self, pod: Pod, volume: str, container: str, index: int, path: str, *, read_only: bool) -> Path:
        """The host path of a part of a volume, pinned for one mount of one container. Raises OSError."""
        uid = uid_of(pod)
        mounted = self._mounted[uid][volume]
        target = self.pod_dir(uid) / SUBPATHS / volume / container / str(index)
        return subpath.pin(mounted.path, path, target, read_only=read_only or mounted.read_only)

    async def clean(self, uid: str) -> None:
        """Unmount and remove all the pod has on this node, its logs apart; idempotent. Raises OSError."""
        self._mounted.pop(uid, None)
        self._contents.release(uid)
        self.objects.release(uid)
        folder = self.pod_dir(uid)
        # What is pinned of a volume holds it: a driver could not give it back.
        for point in mounts_below(folder / SUBPATHS):
            unmount(point)
        await self.persistent.unmount_pod(uid)
        if not folder.exists():
            return
        for point in mounts_below(folder):
            unmount(point)
        left = mounts_below(folder)
        if left:
            raise OSError(f"{left[0]} is still mounted")
        await asyncio.to_thread(shutil.rmtree, folder)

    def leftovers(self) -> list[str]:
        """The uids whose folders exist."""
        with contextlib.suppress(FileNotFoundError):
            return [entry.name for entry in self._pods_dir.iterdir() if entry.is_dir()]
        return []

    async def close(self) -> None:
        await self.persistent.close()
        await self.objects.close()

    async def _mount(self, pod: Pod, volume: Volume) -> MountedVolume:
        if volume.host_path is not None:
            path = Path(volume.host_path.path)
            hostpath.check(path, volume.host_path.type or "")
            return MountedVolume(path)
        if volume.empty_dir is not None:
            return await self._empty_dir(pod, volume, volume.empty_dir)
        if volume.persistent_volume_claim is not None or volume.ephemeral is not None or volume.csi is not None:
            return await self.persistent.mount(pod, volume)
        if not Contents.makes(volume):
            raise VolumeError("no volume plugin matched")
        return await self._write(pod, volume)

    def _folder(self, pod: Pod, plugin: str, volume: Volume) -> Path:
        return self.pod_dir(uid_of(pod)) / "volumes" / f"kubernetes.io~{plugin}" / volume.name

    async def _empty_dir(self, pod: Pod, volume: Volume, source: EmptyDirVolumeSource) -> MountedVolume:
        folder = self._folder(pod, "empty-dir", volume)
        exists = folder.exists()
        folder.mkdir(mode=0o777, parents=True, exist_ok=True)
        if source.medium == "Memory" and self._privileged:
            if folder not in mounts_below(folder):
                size = source.size_limit.value if source.size_limit is not None else 0
                mount_tmpfs(folder, size_bytes=size, mode=0o777)
        elif source.medium not in (None, "", "Memory"):
            raise VolumeError(f"unknown storage medium {source.medium!r}")
        if not exists:
            folder.chmod(0o777)
            gid = ownership.fs_group(pod)
            if gid is not None and self._privileged:
                ownership.give_to_group(folder, gid)
        return MountedVolume(folder)

    async def _write(self, pod: Pod, volume: Volume) -> MountedVolume:
        plugin, in_memory = Contents.plugin(volume)
        folder = self._folder(pod, plugin, volume)
        files = await self._contents.files(pod, volume, self._facts(pod))
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.chmod(0o777 if not in_memory else 0o755)
        if in_memory and self._privileged and folder not in mounts_below(folder):
            mount_tmpfs(folder, mode=0o1777)
        gid = ownership.fs_group(pod) if self._privileged else None
        if not self._privileged:
            files = {path: FileContent(f.data, f.mode) for path, f in files.items()}
        atomic.write(folder, files, stamp=str(next(self._stamps)), gid=gid)
        return MountedVolume(folder, read_only=True)
