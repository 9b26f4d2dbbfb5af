"""Pods' cgroups, on cgroup v1 and v2 hosts.

    <root>/pod<uid>              Guaranteed
    <root>/burstable/pod<uid>
    <root>/besteffort/pod<uid>

The pod's folder carries its own limits; the runtime makes containers' folders in it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.lifecycle.qos import (
    BEST_EFFORT,
    GUARANTEED,
    MINIMUM_SHARES,
    QUOTA_PERIOD_MICROSECONDS,
    pod_resources,
    qos_class,
    quota_of,
    shares_of,
    weight_of,
)
from tiphys.kubelet.spec.names import uid_of

MOUNT: Final = Path("/sys/fs/cgroup")
_V1_CONTROLLERS: Final = ("cpu", "memory", "pids")
_V2_CONTROLLERS: Final = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


class Cgroups:
    """Makes and removes pods' cgroups below `root` (``/kubepods``)."""

    def __init__(self, root: str, mount: Path = MOUNT) -> None:
        self._root = root.strip("/")
        self.mount = mount
        self.unified = (mount / "cgroup.controllers").exists()

    def path(self, pod: Pod) -> str:
        """The pod's cgroup, as the runtime is told: an absolute path within each hierarchy."""
        quality = pod.status.qos_class or qos_class(pod)
        middle = "" if quality == GUARANTEED else ("besteffort/" if quality == BEST_EFFORT else "burstable/")
        return f"/{self._root}/{middle}pod{uid_of(pod)}"

    def create(self, pod: Pod) -> str:
        """Make the pod's cgroup with its limits; idempotent. Returns its path. Raises OSError."""
        path = self.path(pod)
        total = pod_resources(pod)
        shares = shares_of(total.cpu_request_millis)
        quota = quota_of(total.cpu_limit_millis)
        if self.unified:
            self._make_unified(path)
            self._write(
                self.mount / path[1:],
                {
                    "cpu.weight": str(weight_of(shares)),
                    "cpu.max": f"{quota or 'max'} {QUOTA_PERIOD_MICROSECONDS}",
                    "memory.max": str(total.memory_limit_bytes or "max"),
                },
            )
            return path
        for controller in _V1_CONTROLLERS:
            hierarchy = self.mount / controller
            if hierarchy.is_dir():
                (hierarchy / path[1:]).mkdir(parents=True, exist_ok=True)
        self._write(
            self.mount / "cpu" / path[1:],
            {
                "cpu.shares": str(shares),
                "cpu.cfs_period_us": str(QUOTA_PERIOD_MICROSECONDS),
                "cpu.cfs_quota_us": str(quota or -1),
            },
        )
        if total.memory_limit_bytes:
            self._write(self.mount / "memory" / path[1:], {"memory.limit_in_bytes": str(total.memory_limit_bytes)})
        best_effort = self.mount / "cpu" / self._root / "besteffort"
        if best_effort.is_dir():
            self._write(best_effort, {"cpu.shares": str(MINIMUM_SHARES)})
        return path

    def remove(self, uid: str) -> None:
        """Remove the pod's cgroup from every hierarchy; raises OSError while a process is left in it."""
        for hierarchy in self._hierarchies():
            for middle in ("", "burstable", "besteffort"):
                folder = hierarchy / self._root / middle / f"pod{uid}"
                if folder.is_dir():
                    _remove_tree(folder)

    def leftovers(self) -> set[str]:
        """The uids that have a cgroup."""
        found: set[str] = set()
        for hierarchy in self._hierarchies():
            for middle in ("", "burstable", "besteffort"):
                with contextlib.suppress(OSError):
                    names = [entry.name for entry in (hierarchy / self._root / middle).iterdir()]
                    found.update(n.removeprefix("pod") for n in names if n.startswith("pod"))
        return found

    def _hierarchies(self) -> list[Path]:
        if self.unified:
            return [self.mount]
        try:
            return [entry for entry in self.mount.iterdir() if entry.is_dir() and not entry.is_symlink()]
        except FileNotFoundError:
            return []

    def _make_unified(self, path: str) -> None:
        """Make each level and let it hand its controllers down."""
        folder = self.mount
        for part in path[1:].split("/"):
            available = (folder / "cgroup.controllers").read_text().split()
            for controller in _V2_CONTROLLERS:
                if controller in available:
                    with contextlib.suppress(OSError):
                        (folder / "cgroup.subtree_control").write_text(f"+{controller}")
            folder = folder / part
            folder.mkdir(exist_ok=True)

    def _write(self, folder: Path, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            file = folder / name
            # A controller the host does not have limits nothing; the pod runs all the same.
            if file.exists():
                file.write_text(value)


def _remove_tree(folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(Path(entry.path))
    folder.rmdir()
