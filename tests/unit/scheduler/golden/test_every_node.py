"""Every node is looked at, and of equal ones each is chosen as often as the others."""

from __future__ import annotations

import random
from collections import Counter

from tests.unit.scheduler.golden.deciding import Deciding
from tiphys.scheduler.algorithm import Placed

NODES = 5_000
CRITICAL_19 = 43.82
"""Chi-square with 19 degrees of freedom: one in a thousand fair choices is beyond."""


def test_the_best_node_is_found_wherever_it_is() -> None:
    cluster = Deciding()
    for number in range(NODES):
        cluster.node(f"n{number}")
    fillers = [cluster.place(f"n{number}", f"filler-{number}", {}, {"cpu": "1"}) for number in range(NODES)]
    info = cluster.info("incoming", {}, {"cpu": "1"})
    for number in random.Random(0).sample(range(NODES), NODES):
        cluster.cluster.remove(fillers[number])
        assert cluster.algorithm.decide(info, list) == Placed(f"n{number}")
        cluster.cluster.place(fillers[number], f"n{number}")


def test_the_only_node_is_found_wherever_it_is() -> None:
    cluster = Deciding()
    for number in range(NODES):
        cluster.node(f"n{number}", {"number": str(number)}, cpu="1")
        cluster.place(f"n{number}", f"filler-{number}", {}, {"cpu": "1"})
    for number in range(0, NODES, 97):
        assert cluster.goes_to({}, {"cpu": "1"}, times=1) == set()
        (filler,) = cluster.cluster.pods_on[cluster.cluster.nodes.rows[f"n{number}"]].values()
        cluster.cluster.remove(filler)
        assert cluster.goes_to({}, {"cpu": "1"}, times=1) == {f"n{number}"}
        cluster.cluster.place(filler, f"n{number}")


def _chi_square(chosen: Counter[str], kinds: int) -> float:
    expected = chosen.total() / kinds
    return sum((chosen[f"n{number}"] - expected) ** 2 / expected for number in range(kinds))


def test_ties_are_broken_evenly() -> None:
    cluster = Deciding()
    for number in range(20):
        cluster.node(f"n{number}")
    # Two of them are worse, and never chosen.
    for number in (20, 21):
        cluster.node(f"n{number}")
        cluster.place(f"n{number}", f"filler-{number}", {}, {"cpu": "4"})
    info = cluster.info("incoming", {}, {"cpu": "1"})
    chosen: Counter[str] = Counter()
    for _ in range(10_000):
        decision = cluster.algorithm.decide(info, list)
        assert isinstance(decision, Placed)
        chosen[decision.node_name] += 1
    assert chosen.keys() <= {f"n{number}" for number in range(20)}
    assert _chi_square(chosen, 20) < CRITICAL_19


def test_one_after_the_other_they_fill_evenly_and_in_no_order() -> None:
    first: Counter[str] = Counter()
    for seed in range(1_000):
        cluster = Deciding()
        cluster.algorithm._rng.seed(seed)
        for number in range(20):
            cluster.node(f"n{number}")
        order = []
        for index in range(3):
            info = cluster.info(f"p{index}", {}, {"cpu": "1"})
            decision = cluster.algorithm.decide(info, list)
            assert isinstance(decision, Placed)
            cluster.cluster.place(info, decision.node_name)
            order.append(decision.node_name)
        assert len(set(order)) == 3
        first[order[-1]] += 1
    assert _chi_square(first, 20) < CRITICAL_19
