"""The columns against the rules: whatever comes and goes, feasibility, reasons and scores are the reference's."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.scheduling import pod_topology_spread, rules
from tests.property.scheduling.making import Maker
from tests.property.scheduling.world import World, name_of
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.arrays import ALL
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.default_spread import SpreadOwners
from tiphys.scheduler.evaluation import Evaluation, Evaluations
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Template, Templates

PROFILE = default_profile()


class Simulation:
    """Nodes, pods and services come, change and go; every question is answered by the columns and by the reference."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.maker = Maker(rng)
        self.world = World(namespaces={"default": {}, "other": {"team": "red"}})
        self.cluster = Cluster()
        for name, labels in self.world.namespaces.items():
            self.cluster.set_namespace(name, dict(labels))
        self.templates = Templates(PROFILE.facts)
        self.owners = SpreadOwners()
        self.evaluations = Evaluations(self.cluster, PROFILE.filters, PROFILE.scores)
        self.infos: dict[str, PodInfo] = {}
        self.asked: list[Pod] = []
        self.made = 0
        #: How often a question had each kind of answer: a test of the test.
        self.answers: Counter[str] = Counter()

    def run(self, steps: int) -> None:
        for _ in range(6):
            self.node_comes_or_changes()
        moves = (
            (self.pods_come, 10),
            (self.pod_goes, 3),
            (self.pod_terminates, 2),
            (self.node_comes_or_changes, 2),
            (self.node_goes, 1),
            (self.namespace_changes, 1),
            (self.service_changes, 1),
        )
        for move in self.rng.choices([m for m, _ in moves], [weight for _, weight in moves], k=steps):
            move()
            for pod in self.asked:
                self.compare(pod)
        for pod in self.asked:
            self.compare_plugins(pod)

    def node_comes_or_changes(self) -> None:
        node = self.maker.node(f"n{self.rng.randrange(9)}")
        name = node.metadata.name or ""
        if name in self.world.nodes:
            self.cluster.update_node(node)
        else:
            self.cluster.add_node(node)
        self.world.nodes[name] = node

    def node_goes(self) -> None:
        if self.world.nodes:
            name = self.rng.choice(sorted(self.world.nodes))
            self.cluster.remove_node(name)
            del self.world.nodes[name]

    def namespace_changes(self) -> None:
        labels = self.rng.choice([{}, {"team": "red"}])
        self.world.namespaces["default"] = labels
        self.cluster.set_namespace("default", labels)

    def service_changes(self) -> None:
        key = (self.rng.choice(["default", "other"]), self.rng.choice("st"))
        selector = self.rng.choice([{}, {"app": "x"}, {"app": "y"}, {"v": "1"}])
        self.owners.set_service(*key, selector)
        self.world.services.pop(key, None)
        if selector:
            self.world.services[key] = selector

    def template(self, pod: Pod) -> Template:
        return self.templates.of(pod, self.owners.selector_of(pod))

    def pods_come(self) -> None:
        """Ask for a new kind of pod, or an earlier one again, and place some copies, which share a template."""
        pod = self.rng.choice(self.asked) if self.asked and self.rng.random() < 0.4 else self.maker.pod("")
        for _ in range(self.rng.randint(1, 3)):
            self.made += 1
            meta = msgspec.structs.replace(pod.metadata, name=f"p{self.made}")
            made = msgspec.structs.replace(pod, metadata=meta)
            totals = self.compare(made).totals()
            self.asked = [*self.asked[-3:], made]
            if totals.max() >= 0:
                self.place(made, self.cluster.nodes.names[int(totals.argmax())])

    def pod_goes(self) -> None:
        if self.infos:
            name = self.rng.choice(sorted(self.infos))
            self.cluster.remove(self.infos.pop(name))
            del self.world.pods[name]

    def pod_terminates(self) -> None:
        if not self.infos:
            return
        name = self.rng.choice(sorted(self.infos))
        pod, node_name = self.world.pods[name]
        if pod.metadata.deletion_timestamp is None:
            meta = msgspec.structs.replace(pod.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
            self.world.pods[name] = (msgspec.structs.replace(pod, metadata=meta), node_name)
            self.cluster.terminating(self.infos[name])

    def place(self, pod: Pod, node_name: str) -> None:
        name = pod.metadata.name or ""
        info = self.infos[name] = PodInfo(pod, self.template(pod))
        self.cluster.place(info, node_name)
        self.world.pods[name] = (pod, node_name)

    def compare(self, pod: Pod) -> Evaluation:
        template = self.template(pod)
        evaluation = self.evaluations.of(template)
        why = {name: rules.rejected(pod, node, self.world) for name, node in self.world.nodes.items()}
        names, rows = self.cluster.nodes.names, self.cluster.nodes.rows
        assert {names[row] for row in evaluation.feasible().nonzero()[0]} == {n for n, said in why.items() if not said}
        diagnosis = evaluation.diagnose()
        assert diagnosis.reasons == Counter(words for said in why.values() for words in said)
        feasible = [node for name, node in self.world.nodes.items() if not why[name]]
        totals = evaluation.totals()
        self.answers.update(diagnosis.reasons.keys() or ["fits everywhere"])
        given = {name: int(totals[row]) for name, row in rows.items() if totals[row] >= 0}
        # Parts that say the same of every node are left out: only differences decide.
        assert _differences(given) == _differences(rules.totals(pod, feasible, self.world))
        return evaluation

    def compare_plugins(self, pod: Pod) -> None:
        """Each plugin alone, on all nodes: also what the order of the plugins hides."""
        template, rows = self.template(pod), self.cluster.nodes.rows
        nodes = self.world.nodes
        self.cluster.vector(template)
        for plugin in PROFILE.filters:
            node_filter = plugin.filter(template, self.cluster)
            rule = rules.FILTERS.get(plugin.name)
            said = {name: rule(pod, node, self.world) if rule else [] for name, node in nodes.items()}
            passes = {name: node_filter is None or bool(node_filter.passes(ALL)[row]) for name, row in rows.items()}
            assert passes == {name: not words for name, words in said.items()}, plugin.name
            self.answers.update({words for each in said.values() for words in each})
            for name, row in rows.items():
                if node_filter is not None and said[name]:
                    found = [words for words, holds in node_filter.reasons(np.array([row])) if holds[0]]
                    assert sorted(found) == sorted(said[name]), plugin.name
        feasible = [node for node in nodes.values() if self.rng.random() < 0.7]
        mask = np.zeros(self.cluster.nodes.size, np.bool_)
        mask[[rows[name_of(node)] for node in feasible]] = True
        for plugin, weight in PROFILE.scores:
            scores = plugin.score(template, self.cluster)
            if plugin.name not in rules.SCORES:
                assert scores is None, plugin.name
                continue
            expected_weight, rate = rules.SCORES[plugin.name]
            assert weight == expected_weight
            expected = rate(pod, feasible, self.world)
            if scores is None:
                assert len(set(expected.values())) <= 1, plugin.name
                continue
            final = scores.normalize(scores.score(ALL), mask)
            given = {name: int(final[rows[name]]) for name in expected}
            if given != expected:
                # What is alike everywhere decides nothing.
                assert len(set(given.values())) == 1 == len(set(expected.values())), (plugin.name, given, expected)
            if len(set(expected.values())) > 1:
                self.answers[f"score of {plugin.name}"] += 1


def _differences(scores: dict[str, int]) -> dict[str, int]:
    least = min(scores.values(), default=0)
    return {name: score - least for name, score in scores.items()}


EXPECTED = {
    *(f"score of {name}" for name in rules.SCORES),
    "fits everywhere",
    "node(s) were unschedulable",
    "node(s) had untolerated taint(s)",
    "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't have free ports for the requested pod ports",
    "Too many pods",
    "node(s) had no available disk",
    "Insufficient cpu",
    "Insufficient memory",
    "Insufficient example.com/gpu",
    pod_topology_spread.REASON,
    f"{pod_topology_spread.REASON} (missing required label)",
    "node(s) didn't match pod affinity rules",
    "node(s) didn't match pod anti-affinity rules",
    "node(s) didn't satisfy existing pods anti-affinity rules",
}


def test_the_columns_are_the_rules() -> None:
    answers: Counter[str] = Counter()
    for seed in range(60):
        simulation = Simulation(random.Random(seed))
        simulation.run(25)
        answers += simulation.answers
    # Every rule must have spoken often, or the comparison says nothing about it.
    assert set(answers) == EXPECTED
    assert min(answers.values()) > 20, answers


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_the_columns_are_the_rules_on_any_cluster(seed: int) -> None:
    Simulation(random.Random(seed)).run(12)
