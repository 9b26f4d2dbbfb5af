"""Terms about other pods: affinity terms and spreading constraints, compiled, with remembered matches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tiphys.api.selectors import EVERYTHING, NOTHING, Selector, from_label_selector
from tiphys.api.selectors.labels import DOUBLE_EQUALS, EQUALS, IN, NOT_IN, Requirement
from tiphys.api.types.core_v1 import PodAffinityTerm, TopologySpreadConstraint, WeightedPodAffinityTerm
from tiphys.api.types.meta_v1 import LabelSelector

if TYPE_CHECKING:
    from tiphys.scheduler.template import Template

_REMEMBERED = 10_000
_EQUALITY = (IN, EQUALS, DOUBLE_EQUALS)

Pair = tuple[str, str]
"""A label: its key and value."""


class Namespaces:
    """The namespaces' labels. `epoch` changes whenever a remembered match may no longer be true."""

    def __init__(self) -> None:
        self.labels: dict[str, Mapping[str, str]] = {}
        self.epoch = 0

    def set(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """Record a namespace (None: it is gone); returns whether anything changed."""
        if labels == self.labels.get(name):
            return False
        if labels is None:
            del self.labels[name]
        else:
            self.labels[name] = labels
        self.epoch += 1
        return True


class AffinityTerm:
    """An affinity or anti-affinity term: which pods it is about, by which domain. `weight` 0: required."""

    __slots__ = ("_epoch", "_matches", "_names", "_namespace_selector", "_selector", "pairs", "topology_key", "weight")

    def __init__(self, term: PodAffinityTerm, weight: int, namespace: str, labels: Mapping[str, str]) -> None:
        self.topology_key = term.topology_key
        self.weight = weight
        self._selector = _with_keys(term.label_selector, term.match_label_keys, term.mismatch_label_keys, labels)
        #: Labels that every pod it is about has.
        self.pairs = _pairs(self._selector)
        by_label = term.namespace_selector
        self._namespace_selector = NOTHING if by_label is None else from_label_selector(by_label)
        self._names = frozenset(term.namespaces) or (frozenset({namespace}) if by_label is None else frozenset())
        self._matches: dict[int, bool] = {}
        self._epoch = 0

    def matches(self, other: Template, namespaces: Namespaces) -> bool:
        """Whether pods like `other` are the term's."""
        if self._epoch != namespaces.epoch or len(self._matches) > _REMEMBERED:
            self._matches.clear()
            self._epoch = namespaces.epoch
        known = self._matches.get(other.id)
        if known is None:
            known = self._matches[other.id] = self._in_namespace(
                other.namespace, namespaces
            ) and self._selector.matches(other.labels)
        return known

    def _in_namespace(self, name: str, namespaces: Namespaces) -> bool:
        if name in self._names or self._namespace_selector.is_everything:
            return True
        return not self._namespace_selector.is_nothing and self._namespace_selector.matches(
            namespaces.labels.get(name, {})
        )


class SpreadConstraint:
    """One topology spread constraint of a pod in `namespace`."""

    __slots__ = (
        "_matches",
        "_namespace",
        "_selector",
        "hard",
        "honor_affinity",
        "honor_taints",
        "max_skew",
        "min_domains",
        "pairs",
        "topology_key",
    )

    def __init__(self, constraint: TopologySpreadConstraint, selector: Selector, namespace: str) -> None:
        self.topology_key = constraint.topology_key
        self.max_skew = constraint.max_skew
        self.min_domains = constraint.min_domains or 1
        self.hard = constraint.when_unsatisfiable == "DoNotSchedule"
        self.honor_affinity = constraint.node_affinity_policy != "Ignore"
        self.honor_taints = constraint.node_taints_policy == "Honor"
        #: Labels that every pod that counts has.
        self.pairs = _pairs(selector)
        self._selector = selector
        self._namespace = namespace
        self._matches: dict[int, bool] = {}

    def matches(self, other: Template) -> bool:
        """Whether pods like `other` are the constraint's."""
        known = self._matches.get(other.id)
        if known is None:
            if len(self._matches) > _REMEMBERED:
                self._matches.clear()
            known = other.namespace == self._namespace and self._selector.matches(other.labels)
            self._matches[other.id] = known
        return known

    def counts(self, other: Template) -> bool:
        """The same of pods that are there already: of those an empty selector counts none, as upstream."""
        return not self._selector.is_everything and self.matches(other)


def required_terms(
    terms: tuple[PodAffinityTerm, ...], namespace: str, labels: Mapping[str, str]
) -> tuple[AffinityTerm, ...]:
    return tuple(AffinityTerm(term, 0, namespace, labels) for term in terms)


def preferred_terms(
    terms: tuple[WeightedPodAffinityTerm, ...], sign: int, namespace: str, labels: Mapping[str, str]
) -> tuple[AffinityTerm, ...]:
    return tuple(AffinityTerm(term.pod_affinity_term, sign * term.weight, namespace, labels) for term in terms)


def spread_constraints(
    constraints: tuple[TopologySpreadConstraint, ...], namespace: str, labels: Mapping[str, str]
) -> tuple[SpreadConstraint, ...]:
    return tuple(
        SpreadConstraint(c, _with_keys(c.label_selector, c.match_label_keys, (), labels), namespace)
        for c in constraints
    )


def _with_keys(
    selector: LabelSelector | None, same: tuple[str, ...], different: tuple[str, ...], labels: Mapping[str, str]
) -> Selector:
    """`selector` and, per key of `same` (`different`) that the pod itself has: the pod's own value (another one)."""
    compiled = from_label_selector(selector)
    if selector is None or not (same or different):
        return compiled
    more = [Requirement(key, IN, (labels[key],)) for key in same if key in labels]
    more += [Requirement(key, NOT_IN, (labels[key],)) for key in different if key in labels]
    return both(compiled, Selector(tuple(more)))


def _pairs(selector: Selector) -> tuple[Pair, ...]:
    return tuple(
        (requirement.key, next(iter(requirement.values)))
        for requirement in selector.requirements or ()
        if requirement.operator in _EQUALITY and len(requirement.values) == 1
    )


def both(one: Selector, other: Selector) -> Selector:
    """What both select."""
    if one.is_nothing or other.is_nothing:
        return NOTHING
    requirements = (*(one.requirements or ()), *(other.requirements or ()))
    return Selector(requirements) if requirements else EVERYTHING
