"""InterPodAffinity: near these pods, away from those; and existing pods' own wishes about the one to place.

Source: Kubernetes documentation, "Inter-pod affinity and anti-affinity". A required term holds on a node if some pod it
matches is in the node's domain; pods' required anti-affinity holds in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import ABSENT, Bools, Ints, Rows
from tiphys.scheduler.cluster import Change, Cluster
from tiphys.scheduler.domains import DomainCounts, Weigh, concerned, follow
from tiphys.scheduler.framework import MAXIMUM_SCORE, Event, NodeFilter, NodeScore, Plugin, Trigger
from tiphys.scheduler.limits import HOPELESS, PLENTY, Limit
from tiphys.scheduler.plugin_args import InterPodAffinityArgs
from tiphys.scheduler.template import Template
from tiphys.scheduler.terms import AffinityTerm, Namespaces

_ALONE: Final = "node(s) didn't match pod affinity rules"
_CROWDED: Final = "node(s) didn't match pod anti-affinity rules"
_REPELLED: Final = "node(s) didn't satisfy existing pods anti-affinity rules"


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    helped_by = Trigger.NODE_ADDED | Trigger.NODE_CHANGED | Trigger.POD_PLACED | Trigger.POD_GONE | Trigger.POD_CHANGED
    args_type = InterPodAffinityArgs

    def may_help(self, template: Template, event: Event) -> bool:
        if event.trigger & Trigger.POD_PLACED:
            # More company helps those who want some.
            return bool(template.affinity)
        if event.trigger & Trigger.POD_GONE and isinstance(event.old, Pod):
            # Less helps those who keep away from others, or others from them, and the first of its kind.
            affinity = event.old.spec.affinity
            shunned = affinity is not None and affinity.pod_anti_affinity is not None
            return shunned or bool(template.affinity or template.anti_affinity)
        return True

    def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
        filter_ = _Filter(template, cluster)
        return filter_ if filter_.matters else None

    def score(self, template: Template, cluster: Cluster) -> NodeScore | None:
        if self.args.ignore_preferred_terms_of_existing_pods and not template.preferences:
            return None
        score = _Score(template, cluster, self.args.hard_pod_affinity_weight)
        return score if score.keys else None


class _Filter(NodeFilter):
    local = False

    def __init__(self, template: Template, cluster: Cluster) -> None:
        namespaces = cluster.namespaces
        terms = template.affinity

        def matches_all(other: Template) -> int:
            return int(all(term.matches(other, namespaces) for term in terms))

        having = cluster.relations.having
        self._affinity = [
            DomainCounts(cluster, term.topology_key, matches_all, among=having(term.pairs)) for term in terms
        ]
        # The first of a group that wants to be together may go anywhere.
        self._first_of_group = bool(terms) and bool(matches_all(template))
        self._anti = [
            DomainCounts(cluster, term.topology_key, _matcher(term, namespaces), among=having(term.pairs))
            for term in template.anti_affinity
        ]
        others = cluster.relations.bearing_on(template)
        keys = {
            term.topology_key for other in others for term in other.anti_affinity if term.matches(template, namespaces)
        }
        self._existing = [
            DomainCounts(cluster, key, _objection(template, key, namespaces), among=others) for key in sorted(keys)
        ]
        self.matters = bool(self._affinity or self._anti or self._existing)
        self._size = cluster.nodes.size
        self._terms = terms
        self._cluster = cluster

    def passes(self, rows: Rows) -> Bools:
        return ~(self._repelled(rows) | self._alone(rows) | self._crowded(rows))

    def concerns(self, template: Template) -> bool:
        return concerned((*self._affinity, *self._anti, *self._existing), template)

    def changed(self, change: Change) -> bool:
        return follow((*self._affinity, *self._anti, *self._existing), change)

    def reasons(self, rows: Ints) -> Iterator[tuple[str, Bools]]:
        alone = self._alone(rows)
        crowded = self._crowded(rows) & ~alone
        yield _ALONE, alone
        yield _CROWDED, crowded
        yield _REPELLED, ~alone & ~crowded

    def unresolvable(self, rows: Ints) -> Bools:
        return self._alone(rows)

    def limits(self) -> Sequence[Limit]:
        return (
            *(Limit(_ALONE, self._company(counts), _less(counts), counts.within) for counts in self._affinity),
            *(Limit(_CROWDED, _none_of(counts), counts.weight, counts.within) for counts in self._anti),
            *(Limit(_REPELLED, _none_of(counts), counts.weight, counts.within) for counts in self._existing),
        )

    def _company(self, counts: DomainCounts) -> Callable[[Ints], Ints]:
        """How many more than the one it needs a pod finds."""
        if not self._first_of_group:
            return lambda rows: counts.counts[counts.ids[rows]] - 1
        there = self._rows_of_the_wanted()
        if not there:
            return lambda rows: np.where(counts.labelled[rows], 0, HOPELESS)
        # Where all of the group are, some of them stay, or the pod becomes its first.
        only = next(iter(there)) if len(there) == 1 else ABSENT
        return lambda rows: np.where(
            (rows == only) & counts.labelled[rows], PLENTY, counts.counts[counts.ids[rows]] - 1
        )

    def _rows_of_the_wanted(self) -> set[int]:
        """Where there are pods that meet the affinity, two at most."""
        there: set[int] = set()
        for other in self._cluster.relations.having(self._terms[0].pairs):
            if all(counts.weight(other) for counts in self._affinity):
                for row, _ in other.placed():
                    if any(counts.within[row] for counts in self._affinity):
                        there.add(row)
                    if len(there) > 1:
                        return there
        return there

    def _alone(self, rows: Rows) -> Bools:
        """Required affinity does not hold."""
        alone = np.zeros(self._size, np.bool_)[rows]
        anyone = any(counts.counts.any() for counts in self._affinity)
        for counts in self._affinity:
            if anyone or not self._first_of_group:
                alone |= (counts.counts == 0)[counts.ids[rows]]
            else:
                alone |= ~counts.labelled[rows]
        return alone

    def _crowded(self, rows: Rows) -> Bools:
        return self._any(self._anti, rows)

    def _repelled(self, rows: Rows) -> Bools:
        return self._any(self._existing, rows)

    def _any(self, countings: list[DomainCounts], rows: Rows) -> Bools:
        found = np.zeros(self._size, np.bool_)[rows]
        for counts in countings:
            found |= (counts.counts > 0)[counts.ids[rows]]
        return found


class _Score(NodeScore):
    local = False
    normalized = True

    def __init__(self, template: Template, cluster: Cluster, hard_weight: int) -> None:
        namespaces = cluster.namespaces
        self.keys = {term.topology_key for term in template.preferences}
        others = dict.fromkeys(cluster.relations.bearing_on(template))
        for other in others:
            for term in (*other.preferences, *(other.affinity if hard_weight else ())):
                if term.matches(template, namespaces):
                    self.keys.add(term.topology_key)
        for term in template.preferences:
            others.update(dict.fromkeys(cluster.relations.having(term.pairs)))
        self._counts = [
            DomainCounts(cluster, key, _attraction(template, key, namespaces, hard_weight), among=others)
            for key in sorted(self.keys)
        ]
        self._size = cluster.nodes.size

    def score(self, rows: Rows) -> Ints:
        total = np.zeros(self._size, np.int64)[rows]
        for counts in self._counts:
            total += counts.counts[counts.ids[rows]]
        return total

    def concerns(self, template: Template) -> bool:
        return concerned(self._counts, template)

    def changed(self, change: Change) -> bool:
        return follow(self._counts, change)

    def normalize(self, scores: Ints, feasible: Bools) -> Ints:
        lowest = int(scores.min(where=feasible, initial=np.iinfo(np.int64).max))
        highest = int(scores.max(where=feasible, initial=np.iinfo(np.int64).min))
        if highest <= lowest:
            return np.zeros_like(scores)
        return (MAXIMUM_SCORE * ((scores - lowest) / (highest - lowest))).astype(np.int64)


def _none_of(counts: DomainCounts) -> Callable[[Ints], Ints]:
    """Not one of them may be in the domain."""
    return lambda rows: -counts.counts[counts.ids[rows]]


def _less(counts: DomainCounts) -> Weigh:
    return lambda other: -counts.weight(other)


def _matcher(term: AffinityTerm, namespaces: Namespaces) -> Weigh:
    return lambda other: int(term.matches(other, namespaces))


def _objection(template: Template, key: str, namespaces: Namespaces) -> Weigh:
    """How many of another template's anti-affinity terms by `key` are about `template`."""
    known: dict[int, int] = {}

    def weigh(other: Template) -> int:
        if not other.anti_affinity:
            return 0
        weight = known.get(other.id)
        if weight is None:
            weight = known[other.id] = sum(
                term.topology_key == key and term.matches(template, namespaces) for term in other.anti_affinity
            )
        return weight

    return weigh


def _attraction(template: Template, key: str, namespaces: Namespaces, hard_weight: int) -> Weigh:
    """What a pod of another template is worth to `template` in its domain by `key`."""
    known: dict[int, int] = {}
    own = [term for term in template.preferences if term.topology_key == key]

    def weigh(other: Template) -> int:
        weight = known.get(other.id)
        if weight is None:
            weight = sum(term.weight for term in own if term.matches(other, namespaces))
            for term in (*other.preferences, *other.affinity):
                if term.topology_key == key and term.matches(template, namespaces):
                    weight += term.weight or hard_weight
            known[other.id] = weight
        return weight

    return weigh
