"""Files that change all at once.

A volume's folder holds ``..data``, a link to a timestamped folder with the files, and for each top entry a link
through ``..data``. An update writes a new folder and swaps ``..data`` by one rename, so that a reader sees
old or new files whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DATA: Final = "..data"
_FRESH: Final = "..data_tmp"


@dataclass(frozen=True, slots=True)
class FileContent:
    """One file: its bytes, permission bits, and owner (None leaves root)."""

    data: bytes
    mode: int
    uid: int | None = None


def write(folder: Path, files: Mapping[str, FileContent], *, stamp: str, gid: int | None = None) -> bool:
    """Make `folder` hold exactly `files` (relative paths); returns whether anything changed.

    `stamp` names the new folder and must differ from the last one's. With `gid` every file is the group's to read.
    """
    link = folder / DATA
    current = folder / link.readlink() if link.is_symlink() else None
    if current is not None and _same(current, files):
        return False
    fresh = folder / f"..{stamp}"
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    for path, content in files.items():
        target = fresh / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.write_bytes(content.data)
        target.chmod(content.mode | (0o440 if gid is not None else 0))
        if gid is not None or content.uid is not None:
            os.chown(target, -1 if content.uid is None else content.uid, -1 if gid is None else gid)
    if gid is not None:
        for root, _, _ in os.walk(fresh):
            os.chown(root, -1, gid)
            Path(root).chmod(0o2755)
    temporary = folder / _FRESH
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.rename(link)
    _link_entries(folder, files)
    if current is not None:
        shutil.rmtree(current, ignore_errors=True)
    return True


def _same(current: Path, files: Mapping[str, FileContent]) -> bool:
    existing = {
        str(Path(root, name).relative_to(current)): Path(root, name)
        for root, _, names in os.walk(current)
        for name in names
    }
    return existing.keys() == files.keys() and all(
        existing[path].read_bytes() == content.data for path, content in files.items()
    )


def _link_entries(folder: Path, files: Mapping[str, FileContent]) -> None:
    wanted = {path.split("/", 1)[0] for path in files}
    for entry in wanted:
        link = folder / entry
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{entry}")
    for existing in folder.iterdir():
        if not existing.name.startswith("..") and existing.is_symlink() and existing.name not in wanted:
            existing.unlink()
