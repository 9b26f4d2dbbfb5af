"""VolumeRestrictions: a claim in mode ReadWriteOncePod has one pod in the whole cluster."""

from __future__ import annotations

import numpy as np

from tiphys.api.persistent_volumes import READ_WRITE_ONCE_POD
from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.template import Template
from tiphys.scheduler.volumes import ClaimKey


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"
    helped_by = Trigger.POD_GONE | Trigger.STORAGE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        exclusive = set()
        for use in template.claims:
            claim = cluster.volumes.claims.get((template.namespace, use.name))
            if claim is not None and READ_WRITE_ONCE_POD in claim.spec.access_modes:
                exclusive.add((template.namespace, use.name))
        return _Filter(frozenset(exclusive), cluster) if exclusive else None


class _Filter(NodeFilter):
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    local = False
    resolvable = True

    def __init__(self, exclusive: frozenset[ClaimKey], cluster: Cluster) -> None:
        self._exclusive = exclusive
        self._users = cluster.claim_users
        self._size = cluster.nodes.size

    def passes(self, rows: Rows) -> Bools:
        used = any(self._users.get(claim) for claim in self._exclusive)
        return np.full(self._size, not used)[rows]

    def changed(self, change: Change) -> bool:
        template = change.template
        return any((template.namespace, use.name) in self._exclusive for use in template.claims)
