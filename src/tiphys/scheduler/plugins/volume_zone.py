"""VolumeZone: a volume that is labelled with a zone or region is used there only."""

from __future__ import annotations

from typing import Final

import numpy as np

from tiphys.scheduler.arrays import Bools, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, Plugin, Trigger
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.template import Template

# Each label by its present name and the one it had before.
_TOPOLOGY: Final = (
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
)
_SEPARATOR: Final = "__"


class VolumeZone(Plugin):
    name = "VolumeZone"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.STORAGE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        wanted: list[tuple[str, frozenset[str]]] = []
        for use in template.claims:
            claim = cluster.volumes.claims.get((template.namespace, use.name))
            volume = cluster.volumes.volumes.get((claim.spec.volume_name or "") if claim is not None else "")
            for names in _TOPOLOGY if volume is not None else ():
                for name in names:
                    value = volume.metadata.labels.get(name) if volume is not None else None
                    if value is not None:
                        wanted.append((name, frozenset(value.split(_SEPARATOR))))
        return _Filter(_allowed(wanted, cluster.nodes)) if wanted else None


def _allowed(wanted: list[tuple[str, frozenset[str]]], nodes: NodeTable) -> Bools:
    allowed = np.ones(nodes.size, np.bool_)
    placeless = np.ones(nodes.size, np.bool_)
    for names in _TOPOLOGY:
        for name in names:
            placeless &= nodes.labels(name).column < 0
    for name, values in wanted:
        labels = nodes.labels(name)
        here = labels.table_of(values, accept=True)[labels.column]
        for present, former in _TOPOLOGY:
            if name == former:
                # The former name may be meant by the present one, where a node does not have it; not so vice versa.
                renamed = nodes.labels(present)
                here |= (labels.column < 0) & renamed.table_of(values, accept=True)[renamed.column]
        allowed &= here
    # A cluster of one place does not label its nodes.
    return allowed | placeless


class _Filter(NodeFilter):
    reason = "node(s) had no available volume zone"

    def __init__(self, allowed: Bools) -> None:
        self._allowed = allowed

    def passes(self, rows: Rows) -> Bools:
        return self._allowed[rows]
