"""VolumeRestrictions: a claim in mode ReadWriteOncePod has one pod in the whole cluster, and a disk that a pod names
itself is used by one pod of a node, or read by several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from tiphys.api.persistent_volumes import READ_WRITE_ONCE_POD
from tiphys.api.types.core_v1 import Pod, Volume
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.template import Template
from tiphys.scheduler.volumes import ClaimKey

_NO_DISK: Final = "node(s) had no available disk"
_IN_USE: Final = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"

Disk = Sequence[Any]
"""Kind and name; the monitors through which it is reached (none: it does not matter); whether it is only read."""


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"
    helped_by = Trigger.POD_GONE | Trigger.STORAGE_CHANGED

    def key(self, pod: Pod) -> object:
        return [disk for volume in pod.spec.volumes for disk in _disks(volume)] or None

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        exclusive = set()
        for use in template.claims:
            claim = cluster.volumes.claims.get((template.namespace, use.name))
            if claim is not None and READ_WRITE_ONCE_POD in claim.spec.access_modes:
                exclusive.add((template.namespace, use.name))
        disks = _of(template)
        return _Filter(frozenset(exclusive), disks, cluster) if exclusive or disks else None


class _Filter(NodeFilter):
    local = False
    resolvable = True

    def __init__(self, exclusive: frozenset[ClaimKey], disks: Sequence[Disk], cluster: Cluster) -> None:
        self._exclusive = exclusive
        self._disks = disks
        self._cluster = cluster
        self._size = cluster.nodes.size

    def passes(self, rows: Rows) -> Bools:
        passes: Bools = ~self._taken(rows)
        if any(self._cluster.claim_users.get(claim) for claim in self._exclusive):
            passes[:] = False
        return passes

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        taken = self._taken(rows)
        yield _NO_DISK, taken
        yield _IN_USE, ~taken

    def concerns(self, template: Template) -> bool:
        return self._conflicts(template) or any(
            (template.namespace, use.name) in self._exclusive for use in template.claims
        )

    def changed(self, change: Change) -> bool:
        return self.concerns(change.template)

    def _taken(self, rows: Rows) -> Bools:
        """Where a pod uses one of the disks in a way that lets nobody else."""
        taken = np.zeros(self._size, np.bool_)
        for other in self._cluster.placed if self._disks else ():
            if self._conflicts(other):
                taken[[row for row, _ in other.placed()]] = True
        return taken[rows]

    def _conflicts(self, other: Template) -> bool:
        return any(_conflict(mine, theirs) for theirs in _of(other) for mine in self._disks)


def _of(template: Template) -> Sequence[Disk]:
    disks: Any = template.facts.get(VolumeRestrictions.name)
    return disks or ()


def _disks(volume: Volume) -> Iterator[Disk]:
    if (gce := volume.gce_persistent_disk) is not None:
        yield ("gce", gce.pd_name), (), bool(gce.read_only)
    if (aws := volume.aws_elastic_block_store) is not None:
        # Also who only reads has it alone.
        yield ("aws", aws.volume_id), (), False
    if (iscsi := volume.iscsi) is not None:
        yield ("iscsi", iscsi.iqn), (), bool(iscsi.read_only)
    if (rbd := volume.rbd) is not None:
        yield ("rbd", rbd.pool, rbd.image), tuple(rbd.monitors), bool(rbd.read_only)


def _conflict(one: Disk, other: Disk) -> bool:
    (name, monitors, reads), (other_name, other_monitors, other_reads) = one, other
    if name != other_name or (reads and other_reads):
        return False
    return not (monitors or other_monitors) or not set(monitors).isdisjoint(other_monitors)
