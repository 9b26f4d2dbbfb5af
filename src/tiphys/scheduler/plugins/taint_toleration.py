"""TaintToleration: no untolerated NoSchedule or NoExecute taints, and few PreferNoSchedule ones."""

from __future__ import annotations

import numpy as np

from tiphys.api.types.core_v1 import Node
from tiphys.scheduler.arrays import ALL, Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import Event, NodeFilter, NodeScore, Plugin, Trigger, default_normalize
from tiphys.scheduler.template import Template
from tiphys.scheduler.tolerations import NO_EXECUTE, NO_SCHEDULE, PREFER_NO_SCHEDULE, untolerated


class TaintToleration(Plugin):
    name = "TaintToleration"
    of_shape = True
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        hindering = _count(template, cluster, (NO_SCHEDULE, NO_EXECUTE))
        return _Filter(hindering == 0) if hindering.any() else None

    def may_help(self, template: Template, event: Event) -> bool:
        if not isinstance(event.new, Node):
            return False
        taints = tuple((taint.key, taint.value or "", taint.effect) for taint in event.new.spec.taints)
        return not untolerated(taints, template.tolerations, (NO_SCHEDULE, NO_EXECUTE))

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        disliked = _count(template, cluster, (PREFER_NO_SCHEDULE,))
        return _Score(disliked) if disliked.any() else None


def _count(template: Template, cluster: Cluster, effects: tuple[str, ...]) -> Ints:
    tolerations = template.tolerations
    return cluster.nodes.by_taints(lambda taints: untolerated(taints, tolerations, effects), ALL, np.int64)


class _Filter(NodeFilter):
    reason = "node(s) had untolerated taint(s)"

    def __init__(self, tolerated: Bools) -> None:
        self._tolerated = tolerated

    def passes(self, rows: Rows) -> Bools:
        return self._tolerated[rows]


class _Score(NodeScore):
    normalized = True

    def __init__(self, disliked: Ints) -> None:
        self._disliked = disliked

    def score(self, rows: Rows) -> Ints:
        return self._disliked[rows]

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        return default_normalize(scores, feasible, reverse=True)
