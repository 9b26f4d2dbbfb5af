"""PodTopologySpread: pods spread over domains, by their own constraints or (of a service or controller) by default.

Source: Kubernetes documentation, "Pod Topology Spread Constraints". A hard constraint rejects a node if its domain
would have more than maxSkew pods over the domain that has fewest; a soft one prefers domains with few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from tiphys.api.types.core_v1 import Pod, TopologySpreadConstraint
from tiphys.scheduler.arrays import Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.domains import DomainCounts, concerned, follow
from tiphys.scheduler.framework import MAXIMUM_SCORE, Event, NodeFilter, NodeScore, Plugin, Trigger
from tiphys.scheduler.limits import HOPELESS, PLENTY, Limit
from tiphys.scheduler.node_match import matches_node
from tiphys.scheduler.nodes import HOSTNAME
from tiphys.scheduler.plugin_args import SYSTEM_DEFAULTING, PodTopologySpreadArgs
from tiphys.scheduler.template import Template
from tiphys.scheduler.terms import SpreadConstraint
from tiphys.scheduler.tolerations import NO_EXECUTE, NO_SCHEDULE, untolerated

ZONE = "topology.kubernetes.io/zone"
SYSTEM_DEFAULTS = (
    TopologySpreadConstraint(topology_key=HOSTNAME, max_skew=3, when_unsatisfiable="ScheduleAnyway"),
    TopologySpreadConstraint(topology_key=ZONE, max_skew=5, when_unsatisfiable="ScheduleAnyway"),
)


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_PLACED | Trigger.POD_GONE | Trigger.POD_CHANGED
    args_type = PodTopologySpreadArgs

    def may_help(self, template: Template, event: Event) -> bool:
        pod = event.new or event.old
        # Pods of other namespaces are never counted.
        return not isinstance(pod, Pod) or pod.metadata.namespace == template.namespace

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        hard = tuple(constraint for constraint in self._constraints(template) if constraint.hard)
        return _Hard(template, hard, cluster) if hard else None

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        soft = tuple(constraint for constraint in self._constraints(template) if not constraint.hard)
        every_key = bool(template.spread) or self.args.defaulting_type != SYSTEM_DEFAULTING
        return _Soft(template, soft, cluster, every_key=every_key) if soft else None

    def _constraints(self, template: Template) -> tuple[SpreadConstraint, ...]:
        """The pod's own; else the profile's, for pods that belong to something."""
        if template.spread or template.default_spread is None:
            return template.spread
        own = self.args.defaulting_type != SYSTEM_DEFAULTING
        defaults = self.args.default_constraints if own else SYSTEM_DEFAULTS
        return tuple(SpreadConstraint(each, template.default_spread, template.namespace) for each in defaults)


def _counts(
    template: Template,
    constraints: tuple[SpreadConstraint, ...],
    cluster: Cluster,
    *,
    every_key: bool,
    hosts_apart: bool = False,
) -> list[DomainCounts]:
    """For each constraint the matching pods by domain, on the nodes that its policies let take part.

    hosts_apart: over hostnames every node counts for itself.
    """
    nodes = cluster.nodes
    takes_part = nodes.active.copy()
    if every_key:
        for constraint in constraints:
            takes_part &= nodes.labels(constraint.topology_key).column >= 0
    allowed = matches_node(template, nodes)
    tolerated = nodes.by_taints(
        lambda taints: untolerated(taints, template.tolerations, (NO_SCHEDULE, NO_EXECUTE)) == 0, slice(None), np.bool_
    )
    counts = []
    for constraint in constraints:
        if hosts_apart and constraint.topology_key == HOSTNAME:
            counts.append(_on_hosts(constraint, cluster))
            continue
        within = takes_part
        if constraint.honor_affinity:
            within = within & allowed
        if constraint.honor_taints:
            within = within & tolerated
        counts.append(
            DomainCounts(
                cluster,
                constraint.topology_key,
                constraint.counts,
                within=within,
                terminating=False,
                among=cluster.relations.having(constraint.pairs),
            )
        )
    return counts


def _on_hosts(constraint: SpreadConstraint, cluster: Cluster) -> DomainCounts:
    """The matching pods of each node that has the label, policies or not."""
    among = cluster.relations.having(constraint.pairs)
    return DomainCounts(cluster, HOSTNAME, constraint.counts, terminating=False, among=among, by_node=True)


class _Hard(NodeFilter):
    reason = "node(s) didn't match pod topology spread constraints"
    local = False
    resolvable = True

    def __init__(self, template: Template, constraints: tuple[SpreadConstraint, ...], cluster: Cluster) -> None:
        self._constraints = constraints
        self._counts = _counts(template, constraints, cluster, every_key=True)
        self._own = [int(constraint.matches(template)) for constraint in constraints]
        self._labelled: Bools = np.logical_and.reduce([counts.labelled for counts in self._counts])
        self._present = [np.unique(counts.ids[counts.within]) for counts in self._counts]

    def passes(self, rows: Rows) -> Bools:
        passes = self._labelled[rows].copy()
        for index in range(len(self._constraints)):
            passes &= self._is_even(index, rows)
        return passes

    def _is_even(self, index: int, rows: Rows) -> Bools:
        """Where one more pod does not go beyond the skew of one constraint."""
        constraint, counts, present = self._constraints[index], self._counts[index], self._present[index]
        fewest = 0
        if len(present) >= constraint.min_domains:
            fewest = int(counts.counts[present].min(initial=np.iinfo(np.int64).max)) if len(present) else 0
        most = constraint.max_skew + fewest - self._own[index]
        return np.asarray((counts.counts <= most)[counts.ids[rows]], np.bool_)

    def concerns(self, template: Template) -> bool:
        return concerned(self._counts, template)

    def changed(self, change: Change) -> bool:
        if change.terminating:
            return False
        return follow(self._counts, change)

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        missing = self.unresolvable(rows)
        yield self.reason, ~missing
        yield f"{self.reason} (missing required label)", missing

    def unresolvable(self, rows: Ints) -> Bools:
        # The first constraint that a node does not meet is the reason.
        missing = np.zeros(len(rows), np.bool_)
        met = ~missing
        for index, counts in enumerate(self._counts):
            labelled = counts.labelled[rows]
            missing |= met & ~labelled
            met &= labelled & self._is_even(index, rows)
        return missing

    def limits(self) -> Sequence[Limit]:
        return [
            Limit(self.reason, partial(self._tolerance, index), counts.weight, counts.within, terminating=False)
            for index, counts in enumerate(self._counts)
        ]

    def _tolerance(self, index: int, rows: Ints) -> Ints:
        """How many more pods the domain of each row may have.

        Removals lower the domain's own count, too, and it may then be the lowest: but the lowest is never too high. So
        only the lowest of the other domains matters.
        """
        constraint, counts, present = self._constraints[index], self._counts[index], self._present[index]
        others = np.zeros(counts.domains + 1, np.int64)
        if len(present) >= constraint.min_domains and len(present):
            numbers = counts.counts[present]
            lowest = int(numbers.argmin())
            others[:] = numbers[lowest]
            others[present[lowest]] = np.delete(numbers, lowest).min(initial=PLENTY)
        most = constraint.max_skew + others - self._own[index]
        return np.where(self._labelled[rows], (most - counts.counts)[counts.ids[rows]], HOPELESS)


class _Soft(NodeScore):
    local = False
    normalized = True

    def __init__(
        self, template: Template, constraints: tuple[SpreadConstraint, ...], cluster: Cluster, *, every_key: bool
    ) -> None:
        self._constraints = constraints
        self._counts = _counts(template, constraints, cluster, every_key=every_key, hosts_apart=True)
        self._labelled: Bools = np.logical_and.reduce([counts.labelled for counts in self._counts])
        self._every_key = every_key

    def score(self, rows: Rows) -> Ints:
        # What a count weighs depends on which nodes are feasible: see `normalize`.
        return np.zeros(len(self._labelled), np.int64)[rows]

    def concerns(self, template: Template) -> bool:
        return concerned(self._counts, template)

    def changed(self, change: Change) -> bool:
        if change.terminating:
            return False
        follow(self._counts, change)
        return False

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        scored = feasible & self._labelled if self._every_key else feasible
        total = np.zeros(len(feasible), np.float64)
        for constraint, counts in zip(self._constraints, self._counts, strict=True):
            if constraint.topology_key == HOSTNAME:
                domains = int(np.count_nonzero(scored))
            else:
                seen = np.bincount(counts.ids[scored], minlength=counts.domains + 1)
                domains = int(np.count_nonzero(seen[:-1]))
            weighed = counts.counts * np.log(domains + 2) + (constraint.max_skew - 1)
            # A node outside every domain of this key gets nothing for it.
            weighed[-1] = 0.0
            total += weighed[counts.ids]
        rounded = np.floor(total + 0.5).astype(np.int64)
        highest = int(rounded.max(where=scored, initial=0))
        lowest = int(rounded.min(where=scored, initial=np.iinfo(np.int64).max))
        if highest == 0:
            return np.where(scored, MAXIMUM_SCORE, 0)
        return np.where(scored, MAXIMUM_SCORE * (highest + lowest - rounded) // highest, 0)
