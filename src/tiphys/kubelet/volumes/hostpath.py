"""hostPath volumes: the path must be what its type says, or is made so."""

from __future__ import annotations

import stat
from pathlib import Path

from tiphys.kubelet.volumes.payload import VolumeError

_MEANINGS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


def check(path: Path, kind: str) -> None:
    """Make what the type asks to be made, then see that the path is of it. Raises VolumeError."""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True)
    elif kind == "FileOrCreate" and not path.exists():
        try:
            path.touch(mode=0o644)
        except OSError as error:
            raise VolumeError(f"hostPath type check failed: {error}") from None
    wanted = kind.removesuffix("OrCreate")
    if not wanted:
        return
    is_kind, word = _MEANINGS[wanted]
    try:
        mode = path.stat().st_mode
    except OSError:
        raise VolumeError(f"hostPath type check failed: {path} is not a {word}") from None
    if not is_kind(mode):
        raise VolumeError(f"hostPath type check failed: {path} is not a {word}")
