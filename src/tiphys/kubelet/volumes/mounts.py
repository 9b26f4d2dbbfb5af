"""mount(2), umount2(2) and openat2(2), which the standard library lacks."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_SHARED: Final = 1 << 20
_MNT_DETACH: Final = 2
_UMOUNT_NOFOLLOW: Final = 8
_SYS_OPENAT2: Final = 437
_RESOLVE_BENEATH: Final = 8
_RESOLVE_NO_MAGICLINKS: Final = 2
_ESCAPES: Final = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount_tmpfs(target: Path, *, size_bytes: int = 0, mode: int = 0o1777) -> None:
    """A memory file system on an existing folder; `size_bytes` 0 leaves the kernel's default (half the memory)."""
    options = f"mode={mode:o}" + (f",size={size_bytes}" if size_bytes else "")
    result = _libc.mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, options.encode())
    _check(result, f"mount tmpfs on {target}")


def bind_mount(source: str, target: Path) -> None:
    """Make `source` (a path, ``/proc/self/fd/N`` included) appear at the existing `target`."""
    result = _libc.mount(source.encode(), os.fsencode(target), None, _MS_BIND | _MS_REC, None)
    _check(result, f"bind {source} to {target}")


def share(folder: Path) -> None:
    """Let mounts below `folder` reach those who ask for them (mountPropagation Bidirectional), and theirs us.

    Nothing happens where that is so already, as on hosts that systemd started.
    """
    if is_shared(folder, Path("/proc/self/mountinfo").read_text()):
        return
    if not is_mounted(folder):
        bind_mount(str(folder), folder)
    _check(_libc.mount(None, os.fsencode(folder), None, _MS_SHARED | _MS_REC, None), f"share {folder}")


def is_shared(folder: Path, mountinfo: str) -> bool:
    """Whether the mount that `folder` is on passes mounts on; `mountinfo` is the text of /proc/self/mountinfo."""
    deepest, shared = -1, False
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        point = Path(_unescaped(fields[4]))
        if (point == folder or point in folder.parents) and len(point.parts) >= deepest:
            # Of mounts stacked on one point the last one counts.
            deepest = len(point.parts)
            shared = any(field.startswith("shared:") for field in fields[6 : fields.index("-")])
    return shared


def unmount(target: Path) -> None:
    """Unmount; lazily when it is busy. Nothing happens if nothing is mounted there."""
    if _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW) == 0:
        return
    code = ctypes.get_errno()
    if code in (22, 2):  # not a mount point; no such file
        return
    _check(_libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW | _MNT_DETACH), f"unmount {target}")


def _unescaped(point: str) -> str:
    if "\\" in point:
        for escape, char in _ESCAPES.items():
            point = point.replace(escape, char)
    return point


def mounts_below(folder: Path) -> list[Path]:
    """Mount points at or below `folder`, deepest first."""
    prefix = str(folder)
    found: list[Path] = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        point = _unescaped(line.split(" ", 2)[1])
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    # Several mounts may be stacked on one point: each is listed, and unmounted in turn.
    return sorted(found, key=lambda p: len(p.parts), reverse=True)


def is_mounted(point: Path) -> bool:
    """Whether something is mounted exactly there."""
    return any(found == point for found in mounts_below(point))


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Open `path` below the folder descriptor; raises OSError when it, or a link on its way, leads outside."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    descriptor = int(_libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return descriptor
