"""Use of the host as a whole, of a network namespace, and of folders."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from tiphys.kubelet.node.facts import memory_info

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Bytes and inodes; `used` is of what was asked about, the rest of the filesystem it is on."""

    available_bytes: int
    capacity_bytes: int
    used_bytes: int
    inodes: int
    inodes_free: int
    inodes_used: int


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    received_bytes: int
    received_errors: int
    sent_bytes: int
    sent_errors: int


def cpu_nanoseconds() -> int:
    """CPU time all processors have spent working since boot."""
    fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) * 1_000_000_000 // _TICKS


def boot_time() -> float:
    """When the host started, in seconds since the epoch."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def memory() -> dict[str, int]:
    """availableBytes, usageBytes, workingSetBytes and rssBytes of the host."""
    info = memory_info()
    available = info.get("MemAvailable", 0)
    return {
        "availableBytes": available,
        "usageBytes": info["MemTotal"] - info.get("MemFree", 0),
        "workingSetBytes": info["MemTotal"] - available,
        "rssBytes": info.get("AnonPages", 0),
    }


def processes() -> tuple[int, int]:
    """(how many process ids there may be, how many there are)."""
    maximum = int(Path("/proc/sys/kernel/pid_max").read_text())
    return maximum, int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])


def interfaces(process: int | None = None) -> list[Interface]:
    """The links of a process's network namespace, of our own without one, but for loopback; [] if it is gone."""
    try:
        text = Path(f"/proc/{process or 'self'}/net/dev").read_text()
    except OSError:
        return []
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = rest.split()
        if name.strip() != "lo" and len(numbers) >= 16:
            found.append(Interface(name.strip(), int(numbers[0]), int(numbers[2]), int(numbers[8]), int(numbers[10])))
    return found


def filesystem(path: Path) -> Filesystem:
    """The filesystem `path` is on. Raises OSError."""
    stat = os.statvfs(path)
    return Filesystem(
        available_bytes=stat.f_bavail * stat.f_frsize,
        capacity_bytes=stat.f_blocks * stat.f_frsize,
        used_bytes=(stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        inodes=stat.f_files,
        inodes_free=stat.f_ffree,
        inodes_used=stat.f_files - stat.f_ffree,
    )


def folder(path: Path) -> Filesystem:
    """As `filesystem`, `used` being what is in the folder, unless it is a filesystem of its own. Raises OSError."""
    whole = filesystem(path)
    if os.path.ismount(path):
        return whole
    used, inodes = tree_size(path)
    return Filesystem(
        whole.available_bytes, whole.capacity_bytes, used, whole.inodes, whole.inodes_free, inodes_used=inodes
    )


def tree_size(path: Path) -> tuple[int, int]:
    """(bytes on disk, inodes) of a folder and all below it on its filesystem. What vanishes meanwhile is nothing."""
    used, inodes = 0, 0
    waiting = [os.fspath(path)]
    with contextlib.suppress(OSError):
        inodes, used = 1, os.lstat(path).st_blocks * 512
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    inodes += 1
                    if entry.is_dir(follow_symlinks=False) and not os.path.ismount(entry.path):
                        waiting.append(entry.path)
    return used, inodes
