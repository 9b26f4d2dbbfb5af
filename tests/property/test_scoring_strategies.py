"""NodeResourcesFit's strategies and NodeResourcesBalancedAllocation, a node and a resource at a time."""

from __future__ import annotations

import itertools
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import Container, Node, NodeStatus, Pod, PodSpec, ResourceRequirements
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.scheduler.arrays import ALL
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.plugin_args import (
    LEAST_ALLOCATED,
    MOST_ALLOCATED,
    REQUESTED_TO_CAPACITY_RATIO,
    NodeResourcesBalancedAllocationArgs,
    NodeResourcesFitArgs,
    RequestedToCapacityRatioParam,
    ResourceSpec,
    ScoringStrategy,
    UtilizationShapePoint,
)
from tiphys.scheduler.plugins import NodeResourcesBalancedAllocation, NodeResourcesFit
from tiphys.scheduler.template import PodInfo, Templates

CPU, MEMORY, GPU, DISK = "cpu", "memory", "example.com/gpu", "ephemeral-storage"
NAMES = (CPU, MEMORY, GPU, DISK)
ASSUMED = {CPU: 100, MEMORY: 200 << 20}
"""What a pod that asks for none is taken to ask for, in scores."""
Amounts = dict[str, int]


def _quantity(name: str, amount: int) -> Quantity:
    return Quantity(f"{amount}m") if name == CPU else Quantity(str(amount))


def _amounts(rng: random.Random, *, capacity: bool) -> Amounts:
    ranges = {CPU: (1, 4000), MEMORY: (1 << 20, 4 << 30), GPU: (1, 4), DISK: (1, 1000)}
    share = 0.9 if capacity else 0.5
    return {name: rng.randint(*ranges[name]) for name in NAMES if rng.random() < share}


def _pod(name: str, requests: Amounts) -> Pod:
    wanted = {key: _quantity(key, amount) for key, amount in requests.items()}
    container = Container(name="c", image="i", resources=ResourceRequirements(requests=wanted))
    return Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=PodSpec(containers=(container,)))


def _shape(rng: random.Random) -> tuple[UtilizationShapePoint, ...]:
    places = sorted(rng.sample(range(101), rng.randint(1, 4)))
    return tuple(UtilizationShapePoint(utilization=place, score=rng.randint(0, 10)) for place in places)


def _on_line(shape: tuple[UtilizationShapePoint, ...], percent: int) -> int:
    points = [(point.utilization, point.score * 10) for point in shape]
    if percent <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if percent <= x1:
            return y0 + math.trunc((y1 - y0) * (percent - x0) / (x1 - x0))
    return points[-1][1]


def _fit(strategy: ScoringStrategy, capacity: Amounts, used: list[Amounts], wanted: Amounts) -> int:
    total = weights = 0
    for resource in strategy.resources:
        name, room = resource.name, capacity.get(resource.name, 0)
        if not room or (name == GPU and not wanted.get(GPU)):
            continue
        asked = sum(each.get(name, ASSUMED.get(name, 0)) for each in (*used, wanted))
        if strategy.type == LEAST_ALLOCATED:
            grade = 0 if asked > room else (room - asked) * 100 // room
        elif strategy.type == MOST_ALLOCATED:
            grade = min(asked, room) * 100 // room
        else:
            assert strategy.requested_to_capacity_ratio is not None
            percent = 100 if asked > room else asked * 100 // room
            grade = _on_line(strategy.requested_to_capacity_ratio.shape, percent)
            if not grade:
                continue
        total += grade * resource.weight
        weights += resource.weight
    if not weights:
        return 0
    return math.floor(total / weights + 0.5) if strategy.type == REQUESTED_TO_CAPACITY_RATIO else total // weights


def _balanced(names: list[str], capacity: Amounts, used: list[Amounts], wanted: Amounts) -> int | None:
    """None: it depends on how a root is rounded."""
    shares = []
    for name in names:
        room = capacity.get(name, 0)
        if room and (name != GPU or wanted.get(GPU)):
            shares.append(min(sum(each.get(name, 0) for each in (*used, wanted)) / room, 1.0))
    if len(shares) < 2:
        return 100
    mean = sum(shares) / len(shares)
    exact = (1 - math.sqrt(sum((share - mean) ** 2 for share in shares) / len(shares))) * 100
    return None if abs(exact - round(exact)) < 1e-6 else int(exact)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_scores_are_the_rules(seed: int) -> None:
    rng = random.Random(seed)
    cluster, templates = Cluster(), Templates()
    capacities: dict[str, Amounts] = {}
    used: dict[str, list[Amounts]] = {}
    for number in range(4):
        name = f"n{number}"
        capacities[name], used[name] = _amounts(rng, capacity=True), []
        room = {key: _quantity(key, amount) for key, amount in capacities[name].items()}
        cluster.add_node(Node(metadata=ObjectMeta(name=name), status=NodeStatus(allocatable=room)))
        for index in range(rng.randint(0, 3)):
            requests = _amounts(rng, capacity=False)
            used[name].append(requests)
            placed = _pod(f"{name}-{index}", requests)
            cluster.place(PodInfo(placed, templates.of(placed)), name)
    wanted = _amounts(rng, capacity=False)
    pod = _pod("wanted", wanted)
    template = templates.of(pod)
    chosen = rng.sample(NAMES, rng.randint(1, 4))
    kind = rng.choice((LEAST_ALLOCATED, MOST_ALLOCATED, REQUESTED_TO_CAPACITY_RATIO))
    strategy = ScoringStrategy(
        type=kind,
        resources=tuple(ResourceSpec(name=name, weight=rng.randint(1, 5)) for name in chosen),
        requested_to_capacity_ratio=RequestedToCapacityRatioParam(shape=_shape(rng)),
    )
    score = NodeResourcesFit(NodeResourcesFitArgs(scoring_strategy=strategy)).score(template, cluster)
    assert score is not None
    found = score.score(ALL)
    for name, row in cluster.nodes.rows.items():
        assert found[row] == _fit(strategy, capacities[name], used[name], wanted), (name, strategy)
    args = NodeResourcesBalancedAllocationArgs(resources=tuple(ResourceSpec(name=name) for name in chosen))
    balanced = NodeResourcesBalancedAllocation(args).score(template, cluster)
    if balanced is None:
        assert not any(wanted.get(name) for name in chosen)
        return
    scores = balanced.score(ALL)
    for name, row in cluster.nodes.rows.items():
        expected = _balanced(chosen, capacities[name], used[name], wanted)
        assert expected is None or scores[row] == expected, (name, chosen)
