"""RackPower: the pods in a rack draw no more power than the rack can give. Works on arrays, for all nodes at once."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import ABSENT, Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Trigger, default_normalize
from tiphys.scheduler.template import Template

RACK: Final = "example.com/rack"
"""Node label. Nodes without it have all the power they want."""
WATTS: Final = "example.com/watts"
"""Pod annotation: what the pod draws."""


class RackPowerArgs(msgspec.Struct, rename="camel", frozen=True):
    """`args` in the KubeSchedulerConfiguration: ``{budgetWatts: 4000}``."""

    budget_watts: int = 5000
    """What a rack can give."""


class RackPower(Plugin):
    name = "RackPower"
    helped_by = Trigger.POD_GONE | Trigger.NODE_ADDED | Trigger.NODE_CHANGED
    args_type = RackPowerArgs

    def key(self, pod: Pod) -> object:
        # Annotations are no part of a template: what is returned here is, as `facts[name]`.
        watts = pod.metadata.annotations.get(WATTS, "")
        return int(watts) if watts.isdigit() else None

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        watts = _watts(template)
        return _WithinBudget(_Racks(cluster), watts, self.args.budget_watts) if watts else None

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        return _MostPowerLeft(_Racks(cluster), self.args.budget_watts) if _watts(template) else None


def _watts(template: Template) -> int:
    watts = template.facts.get(RackPower.name)
    return watts if isinstance(watts, int) else 0


class _Racks:
    """What is drawn in each rack, kept true by what comes and goes."""

    def __init__(self, cluster: Cluster) -> None:
        labels = cluster.nodes.labels(RACK)
        #: Each node's rack as a number; ABSENT, which is the last entry of `drawn`, if it is in none.
        self.of_row: Ints = labels.column
        self.drawn: Ints = np.zeros(len(labels.values) + 1, np.int64)
        for template in cluster.placed:
            for row, pods in template.placed():
                self.drawn[self.of_row[row]] += pods * _watts(template)

    def changed(self, change: Change) -> bool:
        """Count the pod that came or went; whether it matters."""
        watts = _watts(change.template)
        self.drawn[self.of_row[change.row]] += change.sign * watts
        return bool(watts)


class _WithinBudget(NodeFilter):
    reason = "node(s) were in racks without enough power"
    local = False  # a pod on one node bears on the other nodes of the rack
    resolvable = True

    def __init__(self, racks: _Racks, watts: int, budget: int) -> None:
        self._racks = racks
        self._most = budget - watts

    def passes(self, rows: Rows) -> Bools:
        rack = self._racks.of_row[rows]
        enough: Bools = self._racks.drawn[rack] <= self._most
        return enough | (rack == ABSENT)

    def changed(self, change: Change) -> bool:
        return self._racks.changed(change)


class _MostPowerLeft(NodeScore):
    local = False
    normalized = True

    def __init__(self, racks: _Racks, budget: int) -> None:
        self._racks = racks
        self._budget = budget

    def score(self, rows: Rows) -> Ints:
        rack = self._racks.of_row[rows]
        return np.where(rack == ABSENT, self._budget, np.maximum(self._budget - self._racks.drawn[rack], 0))

    def changed(self, change: Change) -> bool:
        return self._racks.changed(change)

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        return default_normalize(scores, feasible, reverse=False)
