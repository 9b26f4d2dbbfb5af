"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.framework import NodeFilter, NodeScore, Plugin, Trigger, default_normalize
from tiphys.scheduler.node_match import matches_any, matches_node, matches_term
from tiphys.scheduler.plugin_args import NodeAffinityArgs
from tiphys.scheduler.template import Template


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    of_shape = True
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED
    args_type = NodeAffinityArgs

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        added = self.args.added_affinity
        enforced = added.required_during_scheduling_ignored_during_execution if added is not None else None
        if not template.node_selector and template.node_affinity is None and enforced is None:
            return None
        nodes = cluster.nodes
        allowed = np.ones(nodes.size, np.bool_) if enforced is None else matches_any(enforced, nodes)
        return _Filter(matches_node(template, nodes), allowed)

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        scores = np.zeros(cluster.nodes.size, np.int64)
        added = self.args.added_affinity
        preferences = added.preferred_during_scheduling_ignored_during_execution if added is not None else ()
        for preference in (*preferences, *template.node_preferences):
            if preference.weight:
                scores += preference.weight * matches_term(preference.preference, cluster.nodes)
        return _Score(scores) if scores.any() else None


class _Filter(NodeFilter):
    def __init__(self, matches: Bools, allowed: Bools) -> None:
        self._passes: Bools = matches & allowed
        self._allowed = allowed

    def passes(self, rows: Rows) -> Bools:
        return self._passes[rows]

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        yield "node(s) didn't match scheduler-enforced node affinity", ~self._allowed[rows]
        yield "node(s) didn't match Pod's node affinity/selector", self._allowed[rows]


class _Score(NodeScore):
    normalized = True

    def __init__(self, scores: Ints) -> None:
        self._scores = scores

    def score(self, rows: Rows) -> Ints:
        return self._scores[rows]

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        return default_normalize(scores, feasible, reverse=False)
