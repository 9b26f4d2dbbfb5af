"""Volumes of type ``local``: a folder or a device that the node has, made to appear among the pod's own.

A folder is bound below the pod; a device with a file system is mounted once for all pods and bound from there. A device
in Block mode is handed out as it is.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.spec.names import uid_of
from tiphys.kubelet.volumes import ownership
from tiphys.kubelet.volumes.claims import Claimed
from tiphys.kubelet.volumes.mounted import MountedVolume
from tiphys.kubelet.volumes.mounts import bind_mount, is_mounted, mounts_below, unmount
from tiphys.kubelet.volumes.payload import VolumeError

PLUGIN_FOLDER: Final = "kubernetes.io~local-volume"
DEFAULT_FS: Final = "ext4"
COMMAND_SECONDS: Final = 110.0


class LocalVolumes:
    """`privileged` False uses the path itself: nothing can be mounted."""

    def __init__(self, data_dir: Path, *, privileged: bool) -> None:
        self._pods_dir = data_dir / "pods"
        self._mounts_dir = data_dir / "plugins" / "kubernetes.io" / "local-volume" / "mounts"
        self._privileged = privileged
        self._lock = asyncio.Lock()

    async def mount(self, pod: Pod, claimed: Claimed) -> MountedVolume:
        """Raises VolumeError and OSError."""
        source = claimed.volume.spec.local
        assert source is not None
        path = Path(source.path)
        if not path.exists():
            raise VolumeError(f'path "{path}" does not exist')
        if claimed.block:
            if not path.is_block_device():
                raise VolumeError(f'path "{path}" is not a block device')
            return MountedVolume(path, claimed.read_only, device=True)
        if not self._privileged:
            return MountedVolume(path, claimed.read_only)
        options = claimed.volume.spec.mount_options
        async with self._lock:
            if path.is_block_device():
                path = await self._mounted_device(path, claimed.name, source.fs_type or DEFAULT_FS, options)
            elif not path.is_dir():
                raise VolumeError(f'path "{path}" is neither a directory nor a block device')
            target = self._pods_dir / uid_of(pod) / "volumes" / PLUGIN_FOLDER / claimed.name
            if not is_mounted(target):
                target.mkdir(mode=0o750, parents=True, exist_ok=True)
                bind_mount(str(path), target)
                if options or claimed.read_only:
                    flags = [*options, *(["ro"] if claimed.read_only else [])]
                    await run("mount", "-o", ",".join(("remount", "bind", *flags)), str(target))
                if not claimed.read_only:
                    await ownership.apply_fs_group(pod, target)
        return MountedVolume(target, claimed.read_only)

    async def _mounted_device(self, device: Path, name: str, fs_type: str, options: Iterable[str]) -> Path:
        """The device's file system, made if it holds nothing, mounted once for the node."""
        point = self._mounts_dir / name
        if is_mounted(point):
            return point
        point.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not await _holds_something(device):
            quick = ("-F", "-m0") if fs_type in ("ext3", "ext4") else ()
            await run(f"mkfs.{fs_type}", *quick, str(device))
        flags = ",".join(options) or "defaults"
        await run("mount", "-t", fs_type, "-o", flags, str(device), str(point))
        return point

    async def release_unused(self) -> None:
        """Unmount devices that no pod's mount comes from any more."""
        async with self._lock:
            for point in mounts_below(self._mounts_dir):
                targets = self._pods_dir.glob(f"*/volumes/{PLUGIN_FOLDER}/{point.name}")
                if not any(is_mounted(target) for target in targets):
                    unmount(point)


async def _holds_something(device: Path) -> bool:
    """Whether blkid sees a file system, a partition table or anything else that formatting would destroy."""
    process = await asyncio.create_subprocess_exec(
        "blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", str(device),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    code = await process.wait()
    if code not in (0, 2):
        raise VolumeError(f"blkid {device}: exit status {code}")
    return code == 0


async def run(*command: str) -> None:
    """Run a program of the host. Raises VolumeError with what it said."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except FileNotFoundError:
        raise VolumeError(f"{command[0]} is not installed") from None
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise VolumeError(f"{' '.join(command)}: timed out") from None
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()
        raise VolumeError(f"{' '.join(command)}: exit status {process.returncode}: {said}")
