"""What pods may leave on a host after their containerd is gone, and its removal: shims, cgroups, mounts, sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tiphys.cmd.containerd_config import ContainerdPaths

SHIM_SOCKETS = Path("/run/containerd/s")  # fixed in containerd, whatever the state directory is
CNI_CACHE = Path("/var/lib/cni")  # fixed in libcni
KILL_TIMEOUT_SECONDS = 5.0
KILL_PROBE_SECONDS = 0.02


def shim_pids(socket: Path) -> list[int]:
    """The shims that serve the containerd of that socket."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if arguments[0].rpartition(b"/")[2].startswith(b"containerd-shim") and os.fsencode(socket) in arguments:
                found.append(int(folder.name))
    return found


def cgroup_folders(root: str) -> list[Path]:
    """The folder of that cgroup in every hierarchy that has it, version 1 and 2."""
    folders = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mountpoint, kind, *_ = line.split(" ")
        if kind in ("cgroup", "cgroup2"):
            folder = Path(_unescaped(mountpoint)) / root.lstrip("/")
            if folder.is_dir():
                folders.append(folder)
    return folders


def _unescaped(mountpoint: str) -> str:
    return mountpoint.encode().decode("unicode_escape")


def _children_first(folder: Path) -> Iterator[Path]:
    for parent, _, _ in os.walk(folder, topdown=False):
        yield Path(parent)


def _kill_all(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def cgroup_pids(folders: list[Path]) -> set[int]:
    """Every process in those cgroups and below."""
    pids: set[int] = set()
    for folder in folders:
        for child in _children_first(folder):
            with contextlib.suppress(OSError):
                pids |= {int(line) for line in (child / "cgroup.procs").read_text().split()}
    return pids


def remove_cgroups(root: str) -> None:
    """Kill what runs in the cgroup and remove it from every hierarchy."""
    folders = cgroup_folders(root)
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while (pids := cgroup_pids(folders)) and time.monotonic() < deadline:
        _kill_all(pids)
        time.sleep(KILL_PROBE_SECONDS)
    for folder in folders:
        for child in _children_first(folder):
            # A cgroup is busy for a moment after its last process.
            while time.monotonic() < deadline:
                try:
                    child.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(KILL_PROBE_SECONDS)


def mounts_below(folder: Path, mounts: str) -> list[str]:
    """Mount points in or at the folder, the newest first (``mounts``: the text of /proc/self/mounts)."""
    points = [_unescaped(line.split(" ")[1]) for line in mounts.splitlines()]
    return [point for point in reversed(points) if point == str(folder) or point.startswith(f"{folder}/")]


def unmount_below(folder: Path) -> None:
    for point in mounts_below(folder, Path("/proc/self/mounts").read_text()):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False, timeout=30)


def _shim_sockets(paths: ContainerdPaths) -> list[Path]:
    """The sockets of shims that did not live to remove them; each bundle names its own."""
    sockets = []
    for address in paths.state.glob("io.containerd.runtime.v2.task/*/*/address"):
        with contextlib.suppress(OSError):
            sockets.append(Path(address.read_text().strip().removeprefix("unix://")))
    return sockets


def remove_remains(paths: ContainerdPaths) -> None:
    """Leave no shim, process, cgroup, mount or socket of that containerd's pods. The daemon must have ended."""
    _kill_all(set(shim_pids(paths.socket)))
    remove_cgroups(paths.cgroup_root)
    unmount_below(paths.state)
    unmount_below(paths.root)
    for socket in _shim_sockets(paths):
        if socket.parent == SHIM_SOCKETS:
            socket.unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", "--one-file-system", str(paths.state)], check=False, timeout=60)
    paths.socket.unlink(missing_ok=True)
    Path(f"{paths.socket}.ttrpc").unlink(missing_ok=True)
    for folder in (SHIM_SOCKETS, SHIM_SOCKETS.parent, CNI_CACHE / "results", CNI_CACHE):
        with contextlib.suppress(OSError):
            folder.rmdir()  # only when empty: another containerd may use it
