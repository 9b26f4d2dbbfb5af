"""fsGroup: a volume's files belong to the pod's group."""

from __future__ import annotations

import os
import stat
from pathlib import Path


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
