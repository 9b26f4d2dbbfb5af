"""What a node leaves behind when it is taken down: mounts of pods' volumes."""

from __future__ import annotations

from pathlib import Path

from tiphys.kubelet.volumes.mounts import mounts_below, unmount


def unmount_pods(data_dir: Path) -> None:
    """Unmount everything below a kubelet's data directory. Idempotent; no kubelet may run on it."""
    for point in mounts_below(data_dir.resolve()):
        unmount(point)
