"""fsGroup: a volume's files belong to the pod's group."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from tiphys.api.types.core_v1 import Pod


def fs_group(pod: Pod) -> int | None:
    return pod.spec.security_context.fs_group if pod.spec.security_context is not None else None


async def apply_fs_group(pod: Pod, folder: Path) -> None:
    """Give what is in `folder` to the pod's fsGroup, if it has one, as its change policy says."""
    gid, context = fs_group(pod), pod.spec.security_context
    if gid is None or context is None or os.geteuid() != 0:
        return
    lazily = context.fs_group_change_policy == "OnRootMismatch"
    # A volume may hold millions of files.
    await asyncio.to_thread(give_to_group, folder, gid, only_on_mismatch=lazily)


def give_to_group(folder: Path, gid: int, *, only_on_mismatch: bool = False) -> None:
    """Make everything below `folder` readable and writable for `gid`, folders passing the group on."""
    if only_on_mismatch:
        top = folder.stat()
        if top.st_gid == gid and top.st_mode & 0o2770 == 0o2770:
            return
    for root, folders, files in os.walk(folder):
        for name in files:
            _give(Path(root, name), gid, 0o660)
        for name in folders:
            if Path(root, name).is_symlink():
                _give(Path(root, name), gid, 0)
        _give(Path(root), gid, 0o2770)


def _give(path: Path, gid: int, bits: int) -> None:
    info = path.lstat()
    os.chown(path, -1, gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode) and bits:
        path.chmod(stat.S_IMODE(info.st_mode) | bits)
