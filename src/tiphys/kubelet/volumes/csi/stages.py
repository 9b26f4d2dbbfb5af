"""Volumes staged on this node and who uses them. One call at a time for each volume: its lock is held meanwhile.

(nothing) ──first pod: use──► in use ──stage──► staged ──last pod left: unstage──► (nothing)
                                 └──────────────last pod left─────────────────────────▲
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.kubelet.volumes.csi.layout import CsiLayout, VolumeRecord
from tiphys.kubelet.volumes.node_volumes import NodeVolumes


@dataclass(slots=True)
class Stage:
    """`users` are pods' uids. `staging` None: nothing was staged, and nothing has to be unstaged."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: set[str] = field(default_factory=set)
    record: VolumeRecord | None = None
    staging: Path | None = None
    folder: Path | None = None
    confirmed: bool = False
    """Staged by this process: what was found on disk may be half done."""


class Stages:
    """By unique name. Those the kubelet before this one left are there from the beginning."""

    def __init__(self, layout: CsiLayout, node: NodeVolumes) -> None:
        self._node = node
        self._stages: dict[str, Stage] = {}
        for staged in layout.staged():
            stage = self._stages.setdefault(staged.record.unique, Stage())
            stage.record, stage.staging, stage.folder = staged.record, staged.staging, staged.folder
        for published in layout.all_published():
            if published.record.lifecycle_mode == "Persistent":
                self._stages.setdefault(published.record.unique, Stage()).users.add(published.pod_uid)
        for unique in self._stages:
            node.use(unique)

    def use(self, unique: str, pod_uid: str) -> Stage:
        """Count the pod in; the volume is in use from now on."""
        stage = self._stages.setdefault(unique, Stage())
        stage.users.add(pod_uid)
        self._node.use(unique)
        return stage

    def leave(self, pod_uid: str) -> None:
        """Count the pod out of all volumes."""
        for stage in self._stages.values():
            stage.users.discard(pod_uid)

    def unused(self) -> list[tuple[str, Stage]]:
        return [(unique, stage) for unique, stage in self._stages.items() if not stage.users]

    def holds(self, unique: str, stage: Stage) -> bool:
        """Whether `stage` is still the volume's."""
        return self._stages.get(unique) is stage

    def drop(self, unique: str) -> None:
        """Nothing of the volume is here any more."""
        self._stages.pop(unique, None)
        self._node.leave(unique)
