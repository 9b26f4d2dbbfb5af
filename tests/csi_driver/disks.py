"""Disks as files, and their use on this machine by loop devices, ext4 and mounts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Protocol


class DiskError(Exception):
    """A program of the host failed; the text is what it said."""


class Disks(Protocol):
    """What a node does with disks. Every method may be repeated."""

    async def stage(self, image: Path, staging: Path, *, block: bool, fs_type: str, flags: tuple[str, ...]) -> None: ...

    async def unstage(self, image: Path, staging: Path) -> None: ...

    async def publish(self, image: Path, staging: Path, target: Path, *, block: bool, read_only: bool) -> None: ...

    async def unpublish(self, target: Path) -> None: ...

    async def grow(self, image: Path, mounted: Path, *, block: bool, fs_type: str) -> None: ...

    async def fence(self, image: Path) -> None: ...

    def usage(self, target: Path) -> os.statvfs_result: ...


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise DiskError(f"{' '.join(command)}: {output.decode(errors='replace').strip()}")
    return output.decode().strip()


def is_mounted(point: Path) -> bool:
    return any(line.split(" ", 2)[1] == str(point) for line in Path("/proc/self/mounts").read_text().splitlines())


class LoopDisks:
    """The real thing; needs root and /dev/loop-control."""

    async def _loop(self, image: Path) -> str:
        """The image's loop device, "" without one."""
        found = await _run("losetup", "-j", str(image))
        return found.split(":", 1)[0] if found else ""

    async def stage(self, image: Path, staging: Path, *, block: bool, fs_type: str, flags: tuple[str, ...]) -> None:
        device = await self._loop(image) or await _run("losetup", "-f", "--show", str(image))
        if block or is_mounted(staging):
            return
        if not await self._formatted(device):
            quick = () if fs_type == "xfs" else ("-F", "-m0")
            await _run(f"mkfs.{fs_type}", "-q", *quick, device)
        staging.mkdir(parents=True, exist_ok=True)
        await _run("mount", "-t", fs_type, *(("-o", ",".join(flags)) if flags else ()), device, str(staging))

    async def _formatted(self, device: str) -> bool:
        with contextlib.suppress(DiskError):
            return bool(await _run("blkid", "-p", "-s", "TYPE", "-o", "value", device))
        return False

    async def unstage(self, image: Path, staging: Path) -> None:
        if is_mounted(staging):
            await _run("umount", str(staging))
        device = await self._loop(image)
        if device:
            await _run("losetup", "-d", device)

    async def publish(self, image: Path, staging: Path, target: Path, *, block: bool, read_only: bool) -> None:
        if is_mounted(target):
            return
        if block:
            target.touch()
            await _run("mount", "--bind", await self._loop(image), str(target))
            return
        target.mkdir(exist_ok=True)
        await _run("mount", "--bind", str(staging), str(target))
        if read_only:
            await _run("mount", "-o", "remount,bind,ro", str(target))

    async def fence(self, image: Path) -> None:
        """Take the disk away from a node that died with it: its mounts live on only because hosts share a machine."""
        device = await self._loop(image)
        if not device:
            return
        for line in Path("/proc/self/mounts").read_text().splitlines():
            source, point = line.split(" ", 2)[:2]
            if source == device:
                await _run("umount", "-l", point)
        await _run("losetup", "-d", device)

    async def unpublish(self, target: Path) -> None:
        if is_mounted(target):
            await _run("umount", str(target))
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(target.stat().st_mode):
                target.rmdir()
            else:
                target.unlink()

    async def grow(self, image: Path, mounted: Path, *, block: bool, fs_type: str) -> None:
        device = await self._loop(image)
        await _run("losetup", "-c", device)
        if not block:
            # An ext4 that is mounted grows by CAP_SYS_RESOURCE only, which not every machine's root has; an xfs always.
            await _run(*(("xfs_growfs", str(mounted)) if fs_type == "xfs" else ("resize2fs", device)))

    def usage(self, target: Path) -> os.statvfs_result:
        return os.statvfs(target)


class FolderDisks:
    """Folders in their place, without mounts: for tests that need no root. What is published is not the disk."""

    async def stage(self, image: Path, staging: Path, *, block: bool, fs_type: str, flags: tuple[str, ...]) -> None:
        staging.mkdir(parents=True, exist_ok=True)

    async def unstage(self, image: Path, staging: Path) -> None:
        return

    async def publish(self, image: Path, staging: Path, target: Path, *, block: bool, read_only: bool) -> None:
        target.mkdir(exist_ok=True)

    async def unpublish(self, target: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()

    async def grow(self, image: Path, mounted: Path, *, block: bool, fs_type: str) -> None:
        return

    async def fence(self, image: Path) -> None:
        return

    def usage(self, target: Path) -> os.statvfs_result:
        return os.statvfs(target)
