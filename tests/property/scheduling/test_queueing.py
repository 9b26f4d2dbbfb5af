"""Whose turn it is, whatever comes, changes and goes."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.property.scheduling import queueing as reference
from tiphys.api.types.core_v1 import Container, Pod, PodSchedulingGate, PodSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.scheduler.plugins.scheduling_gates import SchedulingGates
from tiphys.scheduler.queue import SchedulingQueue


def _pod(rng: random.Random, name: str) -> Pod:
    gates = tuple(PodSchedulingGate(name=gate) for gate in rng.sample(["a", "b"], rng.choice([0, 0, 0, 1, 2])))
    spec = PodSpec(
        containers=(Container(name="c"),), priority=rng.choice([None, -5, 0, 7, 2_000_000_000]), scheduling_gates=gates
    )
    return Pod(metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"), spec=spec)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_turns_are_the_rules(seed: int) -> None:
    rng = random.Random(seed)
    queue = SchedulingQueue(initial_backoff_seconds=1, maximum_backoff_seconds=10, unschedulable_seconds=300)
    waiting: dict[str, reference.Waiting] = {}
    for moment in range(30):
        now = float(moment)
        what = rng.choice(["come", "come", "come", "go", "open", "turn"])
        if what == "come":
            pod = _pod(rng, f"p{moment}")
            assert SchedulingGates().pre_enqueue(pod) == reference.gate(pod)
            queue.add(pod, now)
            waiting[f"p{moment}"] = (pod, now)
        elif what == "turn":
            expected = reference.order(list(waiting.values()))
            popped = queue.pop(now)
            assert (popped.key[1] if popped is not None else None) == (expected[0] if expected else None)
            if popped is not None:
                queue.remove(popped.key)
                del waiting[popped.key[1]]
        elif waiting:
            name = rng.choice(sorted(waiting))
            pod, since = waiting[name]
            if what == "go":
                queue.remove(("default", name))
                del waiting[name]
            elif reference.gate(pod):
                opened = replace(pod, spec=replace(pod.spec, scheduling_gates=()))
                queue.update(opened, now, matters=True)
                # It has waited since it came.
                waiting[name] = (opened, since)
    left = []
    while (popped := queue.pop(100.0)) is not None:
        left.append(popped.key[1])
    assert left == reference.order(list(waiting.values()))
