"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Trigger, default_normalize
from tiphys.scheduler.node_match import matches_node, matches_term
from tiphys.scheduler.template import Template


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        if not template.node_selector and template.node_affinity is None:
            return None
        return _Filter(matches_node(template, cluster.nodes))

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        scores = np.zeros(cluster.nodes.size, np.int64)
        for preference in template.node_preferences:
            if preference.weight:
                scores += preference.weight * matches_term(preference.preference, cluster.nodes)
        return _Score(scores) if scores.any() else None


class _Filter(NodeFilter):
    reason = "node(s) didn't match Pod's node affinity/selector"

    def __init__(self, matches: Bools) -> None:
        self._matches = matches

    def passes(self, rows: Rows) -> Bools:
        return self._matches[rows]


class _Score(NodeScore):
    normalized = True

    def __init__(self, scores: Ints) -> None:
        self._scores = scores

    def score(self, rows: Rows) -> Ints:
        return self._scores[rows]

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        return default_normalize(scores, feasible, reverse=False)
