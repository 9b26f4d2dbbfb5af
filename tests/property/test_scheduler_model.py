"""The columns against the rules: whatever comes and goes, feasibility, reasons and scores are the reference's."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import msgspec

from tests.property import scheduler_reference as reference
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Affinity,
    Container,
    ContainerPort,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    NodeSpec,
    NodeStatus,
    Pod,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    PreferredSchedulingTerm,
    ResourceRequirements,
    Taint,
    Toleration,
    TopologySpreadConstraint,
    WeightedPodAffinityTerm,
)
from tiphys.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluation, Evaluations
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

T = TypeVar("T")
PROFILE = default_profile()
KEYS = (reference.ZONE, reference.HOST, "rack")
RED = LabelSelector(match_labels={"team": "red"})
SELECTORS = (
    None,
    LabelSelector(),
    LabelSelector(match_labels={"app": "x"}),
    LabelSelector(match_labels={"app": "x"}),
    LabelSelector(match_labels={"app": "y"}),
    LabelSelector(match_expressions=(LabelSelectorRequirement(key="app", operator="NotIn", values=("x",)),)),
)
NODE_REQUIREMENTS = (
    NodeSelectorRequirement(key=reference.ZONE, operator="In", values=("z1", "z2")),
    NodeSelectorRequirement(key=reference.ZONE, operator="NotIn", values=("z1",)),
    NodeSelectorRequirement(key="rack", operator="Exists"),
    NodeSelectorRequirement(key="rack", operator="DoesNotExist"),
    NodeSelectorRequirement(key="rack", operator="Gt", values=("1",)),
    NodeSelectorRequirement(key="rack", operator="Lt", values=("2",)),
)
BY_NAME = NodeSelectorTerm(
    match_fields=(NodeSelectorRequirement(key="metadata.name", operator="In", values=("n0", "n2")),)
)
TOLERATIONS = (
    Toleration(operator="Exists"),
    Toleration(key="a", operator="Equal", value="x"),
    Toleration(key="a", operator="Exists", effect="NoSchedule"),
    Toleration(key="b", value=""),
)


class Maker:
    """Random objects, dense in what schedulers get wrong."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def some(self, make: Callable[[], T], *weights: int) -> tuple[T, ...]:
        """As many as drawn: ``some(make, 3, 1)`` is none three times out of four, else one."""
        return tuple(make() for _ in range(self.rng.choices(range(len(weights)), weights)[0]))

    def node(self, name: str) -> Node:
        rng = self.rng
        labels = {reference.HOST: name}
        if rng.random() < 0.85:
            labels[reference.ZONE] = rng.choice(["z1", "z2", "z3"])
        if rng.random() < 0.6:
            labels["rack"] = rng.choice(["1", "2", "x"])
        allocatable = {
            "cpu": Quantity(rng.choice(["2", "8"])),
            "memory": Quantity(rng.choice(["2Gi", "16Gi"])),
            "pods": Quantity(rng.choice(["4", "50"])),
        }
        if rng.random() < 0.3:
            allocatable["example.com/gpu"] = Quantity("2")
        taints = self.some(self.taint, 6, 2, 1)
        spec = NodeSpec(taints=taints, unschedulable=True if rng.random() < 0.1 else None)
        return Node(
            metadata=ObjectMeta(name=name, labels=labels), spec=spec, status=NodeStatus(allocatable=allocatable)
        )

    def taint(self) -> Taint:
        effect = self.rng.choice(["NoSchedule", "PreferNoSchedule", "PreferNoSchedule", "NoExecute"])
        return Taint(key=self.rng.choice("ab"), value=self.rng.choice([None, "x"]), effect=effect)

    def pod(self, name: str) -> Pod:
        rng = self.rng
        labels = {"app": rng.choice("xy")} if rng.random() < 0.9 else {}
        spec = PodSpec(
            containers=(self.container(), *self.some(self.container, 4, 1)),
            node_selector={"rack": rng.choice("12")} if rng.random() < 0.1 else {},
            tolerations=self.some(lambda: rng.choice(TOLERATIONS), 2, 1, 1),
            affinity=self.affinity() if rng.random() < 0.5 else None,
            topology_spread_constraints=self.some(self.constraint, 2, 1, 1),
        )
        return Pod(metadata=ObjectMeta(name=name, namespace=rng.choice(["default", "other"]), labels=labels), spec=spec)

    def container(self) -> Container:
        rng = self.rng
        requests = {}
        if rng.random() < 0.6:
            requests["cpu"] = Quantity(rng.choice(["100m", "500m", "1"]))
        if rng.random() < 0.6:
            requests["memory"] = Quantity(rng.choice(["100Mi", "500Mi", "1Gi"]))
        if rng.random() < 0.1:
            requests["example.com/gpu"] = Quantity("1")
        return Container(name="c", resources=ResourceRequirements(requests=requests), ports=self.some(self.port, 8, 1))

    def port(self) -> ContainerPort:
        address = self.rng.choice([None, "10.0.0.1", "10.0.0.2"])
        return ContainerPort(container_port=80, host_port=self.rng.choice([8080, 8081]), host_ip=address)

    def constraint(self) -> TopologySpreadConstraint:
        rng = self.rng
        return TopologySpreadConstraint(
            topology_key=rng.choice(KEYS),
            max_skew=rng.choice([1, 1, 2]),
            when_unsatisfiable=rng.choice(["DoNotSchedule", "ScheduleAnyway"]),
            label_selector=rng.choice(SELECTORS),
            min_domains=rng.choice([None, None, 3]),
            node_affinity_policy=rng.choice([None, "Ignore", "Honor"]),
            node_taints_policy=rng.choice([None, "Honor"]),
        )

    def affinity(self) -> Affinity:
        to_nodes = NodeAffinity(
            required_during_scheduling_ignored_during_execution=NodeSelector(
                node_selector_terms=self.some(self.node_term, 0, 2, 1)
            )
            if self.rng.random() < 0.3
            else None,
            preferred_during_scheduling_ignored_during_execution=self.some(self.preference, 1, 1, 1),
        )
        return Affinity(
            node_affinity=to_nodes,
            pod_affinity=PodAffinity(
                required_during_scheduling_ignored_during_execution=self.some(self.pod_term, 6, 2, 1),
                preferred_during_scheduling_ignored_during_execution=self.some(self.weighted, 2, 1, 1),
            ),
            pod_anti_affinity=PodAntiAffinity(
                required_during_scheduling_ignored_during_execution=self.some(self.pod_term, 6, 2),
                preferred_during_scheduling_ignored_during_execution=self.some(self.weighted, 2, 1, 1),
            ),
        )

    def node_term(self) -> NodeSelectorTerm:
        if self.rng.random() < 0.2:
            return BY_NAME
        return NodeSelectorTerm(match_expressions=self.some(lambda: self.rng.choice(NODE_REQUIREMENTS), 1, 6, 2))

    def preference(self) -> PreferredSchedulingTerm:
        return PreferredSchedulingTerm(weight=self.rng.randint(1, 9), preference=self.node_term())

    def pod_term(self) -> PodAffinityTerm:
        rng = self.rng
        return PodAffinityTerm(
            topology_key=rng.choice(KEYS),
            label_selector=rng.choice(SELECTORS),
            namespaces=rng.choice([(), (), ("other",)]),
            namespace_selector=rng.choice([None, None, LabelSelector(), RED]),
        )

    def weighted(self) -> WeightedPodAffinityTerm:
        return WeightedPodAffinityTerm(weight=self.rng.randint(1, 100), pod_affinity_term=self.pod_term())


class Simulation:
    """Nodes and pods come, change and go; every question is answered by the columns and by the reference."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.maker = Maker(rng)
        self.world = reference.World(namespaces={"default": {}, "other": {"team": "red"}})
        self.cluster = Cluster()
        for name, labels in self.world.namespaces.items():
            self.cluster.set_namespace(name, dict(labels))
        self.templates = Templates()
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
        )
        for move in self.rng.choices([m for m, _ in moves], [weight for _, weight in moves], k=steps):
            move()
            for pod in self.asked:
                self.compare(pod)

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
        info = self.infos[name] = PodInfo(pod, self.templates.of(pod))
        self.cluster.place(info, node_name)
        self.world.pods[name] = (pod, node_name)

    def compare(self, pod: Pod) -> Evaluation:
        template = self.templates.of(pod)
        evaluation = self.evaluations.of(template)
        why = {name: reference.rejected(pod, node, self.world) for name, node in self.world.nodes.items()}
        names, rows = self.cluster.nodes.names, self.cluster.nodes.rows
        assert {names[row] for row in evaluation.feasible().nonzero()[0]} == {n for n, said in why.items() if not said}
        diagnosis = evaluation.diagnose()
        assert diagnosis.reasons == Counter(words for said in why.values() for words in said)
        feasible = [node for name, node in self.world.nodes.items() if not why[name]]
        totals = evaluation.totals()
        self.answers.update(diagnosis.reasons.keys() or ["fits everywhere"])
        given = {name: int(totals[row]) for name, row in rows.items() if totals[row] >= 0}
        expected = reference.scores(pod, feasible, self.world)
        # Parts that say the same of every node are left out: only differences decide.
        assert _differences(given) == _differences(expected)
        return evaluation


def _differences(scores: dict[str, int]) -> dict[str, int]:
    least = min(scores.values(), default=0)
    return {name: score - least for name, score in scores.items()}


def test_the_columns_are_the_rules() -> None:
    answers: Counter[str] = Counter()
    for seed in range(60):
        simulation = Simulation(random.Random(seed))
        simulation.run(25)
        answers += simulation.answers
    # Every rule must have spoken often, or the comparison says nothing about it.
    assert len(answers) == 14, answers
    assert min(answers.values()) > 20, answers
