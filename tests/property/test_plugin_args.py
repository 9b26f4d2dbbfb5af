"""What args change in plugins' rules: the columns against the rules, with args, whatever comes and goes."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import Any

from msgspec.structs import replace

from tests.property.scheduling import inter_pod_affinity, rules
from tests.property.scheduling.making import Maker
from tests.property.scheduling.node_affinity import selected
from tests.property.scheduling.test_sequences import Simulation
from tests.property.scheduling.world import World, name_of, scaled
from tiphys.api.types.core_v1 import Node, NodeAffinity, NodeSelector, Pod, PreferredSchedulingTerm
from tiphys.api.types.core_v1 import TopologySpreadConstraint as Constraint
from tiphys.api.types.meta_v1 import LabelSelector
from tiphys.scheduler.evaluation import Evaluation, Evaluations
from tiphys.scheduler.plugin_args import (
    InterPodAffinityArgs,
    NodeAffinityArgs,
    NodeResourcesFitArgs,
    PodTopologySpreadArgs,
)
from tiphys.scheduler.profiles import default_profile

GPU = "example.com/gpu"
ENFORCED = "node(s) didn't match scheduler-enforced node affinity"


class Configured(Simulation):
    """A simulation by a profile with args, drawn at random."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        maker = self.maker
        self.required = (maker.node_term(),) if rng.random() < 0.6 else ()
        self.preferred: tuple[PreferredSchedulingTerm, ...] = maker.some(maker.preference, 1, 1, 1)
        self.hard_weight = rng.choice([0, 1, 7, 100])
        self.ignores_preferred = rng.random() < 0.5
        self.constraints = () if rng.random() < 0.2 else self._constraints(maker)
        self.ignored: dict[str, tuple[str, ...]] = rng.choice(
            [{}, {"ignored_resources": (GPU, "cpu")}, {"ignored_resource_groups": ("example.com", "memory")}]
        )
        selector = NodeSelector(node_selector_terms=self.required) if self.required else None
        added = NodeAffinity(
            required_during_scheduling_ignored_during_execution=selector,
            preferred_during_scheduling_ignored_during_execution=self.preferred,
        )
        args: dict[str, Any] = {
            "NodeAffinity": NodeAffinityArgs(added_affinity=added),
            "InterPodAffinity": InterPodAffinityArgs(
                hard_pod_affinity_weight=self.hard_weight,
                ignore_preferred_terms_of_existing_pods=self.ignores_preferred,
            ),
            "PodTopologySpread": PodTopologySpreadArgs(defaulting_type="List", default_constraints=self.constraints),
            "NodeResourcesFit": NodeResourcesFitArgs(**self.ignored),
        }
        profile = default_profile(args=args)
        self.evaluations = Evaluations(self.cluster, profile.filters, profile.scores)

    def _constraints(self, maker: Maker) -> tuple[Constraint, ...]:
        drawn = [
            replace(maker.constraint(), label_selector=None, match_label_keys=()) for _ in range(self.rng.randint(1, 2))
        ]
        return tuple({(each.topology_key, each.when_unsatisfiable): each for each in drawn}.values())

    def compare(self, pod: Pod) -> Evaluation:
        evaluation = self.evaluations.of(self.template(pod))
        meant = self._as_if_it_said_so(pod)
        # Whom it belongs to has been looked at: it is not to be given the system's constraints, too.
        world = dataclasses.replace(self.world, services={})
        why = {name: self._rejected(meant, node, world) for name, node in world.nodes.items()}
        diagnosis = evaluation.diagnose()
        assert diagnosis.reasons == Counter(words for said in why.values() for words in said)
        self.answers.update(diagnosis.reasons.keys())
        totals = evaluation.totals()
        given = {name: int(totals[row]) for name, row in self.cluster.nodes.rows.items() if totals[row] >= 0}
        feasible = [node for name, node in world.nodes.items() if not why[name]]
        # Parts that say the same of every node are left out: only differences decide.
        assert _differences(given) == _differences(self._scores(meant, feasible, world))
        return evaluation

    def compare_plugins(self, pod: Pod) -> None:
        """What they say without args is compared elsewhere."""

    def _as_if_it_said_so(self, pod: Pod) -> Pod:
        """The pod with the profile's constraints, if it has none and belongs to something."""
        labels: dict[str, str] = {}
        for (namespace, _), selector in self.world.services.items():
            if namespace == pod.metadata.namespace and selector.items() <= pod.metadata.labels.items():
                labels |= selector
        if pod.spec.topology_spread_constraints or not labels:
            return pod
        self.answers["owned"] += 1
        own = tuple(replace(each, label_selector=LabelSelector(match_labels=labels)) for each in self.constraints)
        return replace(pod, spec=replace(pod.spec, topology_spread_constraints=own))

    def _rejected(self, pod: Pod, node: Node, world: World) -> list[str]:
        for name, rule in rules.FILTERS.items():
            if name == "NodeAffinity" and self.required and not any(selected(term, node) for term in self.required):
                return [ENFORCED]
            said = [words for words in rule(pod, node, world) if words != f"Insufficient {GPU}" or not self.ignored]
            if said:
                return said
        return []

    def _scores(self, pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
        own = {"NodeAffinity": self._liked, "InterPodAffinity": self._attraction}
        parts = [(weight, own.get(name, rule)(pod, feasible, world)) for name, (weight, rule) in rules.SCORES.items()]
        return {name_of(n): sum(weight * part[name_of(n)] for weight, part in parts) for n in feasible}

    def _liked(self, pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
        """By the pod's preferences and the profile's."""
        affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
        own = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
        terms = (*own, *self.preferred)
        raw = {name_of(n): sum(term.weight for term in terms if selected(term.preference, n)) for n in feasible}
        return scaled(raw, reverse=False)

    def _attraction(self, pod: Pod, feasible: list[Node], world: World) -> dict[str, int]:
        if self.ignores_preferred and not inter_pod_affinity.weighted(pod):
            return {name_of(node): 0 for node in feasible}
        return inter_pod_affinity.scores(pod, feasible, world, self.hard_weight)


def _differences(scores: dict[str, int]) -> dict[str, int]:
    least = min(scores.values(), default=0)
    return {name: score - least for name, score in scores.items()}


def test_the_columns_are_the_rules_with_args() -> None:
    answers: Counter[str] = Counter()
    for seed in range(40):
        simulation = Configured(random.Random(seed))
        simulation.run(20)
        answers += simulation.answers
    assert answers["owned"] > 50
    assert answers[ENFORCED] > 100
    assert answers[f"Insufficient {GPU}"] > 20
    assert answers["node(s) didn't match pod topology spread constraints"] > 50
