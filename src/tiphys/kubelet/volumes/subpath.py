"""subPath: a part of a volume, found without leaving the volume, pinned by a bind mount of what was found.

A container could replace the path by a link to the host between our check and the runtime's mount; the bind mount is
made from the descriptor that was checked.
"""

from __future__ import annotations

import os
from pathlib import Path

from tiphys.kubelet.volumes.mounts import bind_mount, mounts_below, open_beneath, unmount


def pin(volume: Path, sub_path: str, target: Path, *, read_only: bool, mode: int = 0o750) -> Path:
    """The host path to mount for `sub_path` of `volume`; missing folders are made in writable volumes.

    `target` is where the pin is mounted (its parent is made). Raises OSError.
    """
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            found = open_beneath(root, sub_path, os.O_PATH)
        except FileNotFoundError:
            if read_only:
                raise
            _make_folders(root, sub_path, mode)
            found = open_beneath(root, sub_path, os.O_PATH)
    finally:
        os.close(root)
    try:
        if os.geteuid() != 0:
            return Path(f"/proc/self/fd/{found}").readlink()
        if target in mounts_below(target):
            if os.path.samestat(os.fstat(found), target.stat()):
                return target
            # The volume has changed since the container last started: it gets what is there now.
            unmount(target)
            _remove_empty(target)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if os.path.isdir(f"/proc/self/fd/{found}"):  # noqa: PTH112 (a descriptor, not a path)
            target.mkdir(mode=0o750, exist_ok=True)
        else:
            target.touch(mode=0o640)
        bind_mount(f"/proc/self/fd/{found}", target)
        return target
    finally:
        os.close(found)


def _remove_empty(target: Path) -> None:
    """Remove what the last pin was mounted on, which may have been a file where now a folder is needed."""
    if target.is_dir():
        target.rmdir()
    else:
        target.unlink()


def _make_folders(root: int, sub_path: str, mode: int) -> None:
    """Make every missing folder of the path, one by one, each below the last."""
    current = os.dup(root)
    try:
        for part in Path(sub_path).parts:
            try:
                following = open_beneath(current, part, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                os.mkdir(part, mode, dir_fd=current)
                following = open_beneath(current, part, os.O_PATH | os.O_DIRECTORY)
                info = os.fstat(current)
                descriptor = open_beneath(current, part, os.O_RDONLY | os.O_DIRECTORY)
                # The volume's group (fsGroup) and permissions reach down to what is made in it.
                os.fchmod(descriptor, info.st_mode & 0o7777 if info.st_mode & 0o007 else mode | info.st_mode & 0o2770)
                os.fchown(descriptor, -1, info.st_gid)
                os.close(descriptor)
            os.close(current)
            current = following
    finally:
        os.close(current)
