"""A ReplicaSet against pods that fail, vanish and become ready in any order: it converges and never overshoots."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.api.types.core_v1 import Pod
from tiphys.controllers.pods import is_active, is_ready
from tiphys.controllers.replicaset.reconcile import Desired, observe, plan, victims
from tiphys.testing import builders

NOW = 1_700_000_000.0

pods = st.builds(
    lambda number, phase, ready, node, deleting, cost: builders.pod(
        f"p{number}",
        phase=phase,
        ready=ready and phase == "Running",
        node=node,
        deleting=deleting,
        annotations={"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {},
    ),
    st.integers(0, 10**6),
    st.sampled_from(["Pending", "Running", "Failed", "Succeeded"]),
    st.booleans(),
    st.sampled_from(["", "n1", "n2"]),
    st.booleans(),
    st.sampled_from(["", "-5", "7", "nonsense"]),
)


def desired(replicas: int) -> Desired:
    return Desired(replicas, 0, builders.template(app="web"), 1)


@given(replicas=st.integers(0, 20), existing=st.lists(pods, max_size=25))
@settings(max_examples=200, deadline=None)
def test_one_plan_leads_to_the_number_asked_for(replicas: int, existing: list[Pod]) -> None:
    wanted = plan(desired(replicas), existing, {}, NOW)
    active = [pod for pod in existing if is_active(pod)]
    assert len(active) + wanted.create - len(wanted.delete) == replicas
    assert not (wanted.create and wanted.delete)
    assert all(pod in active for pod in wanted.delete)


@given(existing=st.lists(pods.filter(is_active), min_size=1, max_size=15), data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_ready_goes_after_what_is_not(existing: list[Pod], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(existing)))
    gone = victims(existing, count, {}, NOW)
    assert len(gone) == count
    kept = [pod for pod in existing if pod not in gone]
    assigned = [pod for pod in kept if pod.spec.node_name]
    if any(not pod.spec.node_name for pod in kept):
        assert not any(pod.spec.node_name for pod in gone), "unassigned pods go before assigned ones"
    running = [pod for pod in assigned if pod.status.phase == "Running"]
    if any(not is_ready(pod) for pod in running):
        assert not any(is_ready(pod) for pod in gone if pod.spec.node_name)


@given(start=st.integers(0, 8), targets=st.lists(st.integers(0, 12), min_size=1, max_size=5), data=st.data())
@settings(max_examples=80, deadline=None)
def test_it_converges_whatever_befalls_the_pods(start: int, targets: list[int], data: st.DataObject) -> None:
    names = itertools.count()
    world = [builders.pod(f"p{next(names)}", phase="Pending") for _ in range(start)]
    for target in targets:
        for _ in range(data.draw(st.integers(0, 3))):
            if world:
                victim = data.draw(st.integers(0, len(world) - 1))
                fate = data.draw(st.sampled_from(["Failed", "gone", "Running"]))
                if fate == "gone":
                    world.pop(victim)
                else:
                    status = msgspec.structs.replace(world[victim].status, phase=fate)
                    world[victim] = msgspec.structs.replace(world[victim], status=status)
            step = plan(desired(target), world, {}, NOW)
            world = [pod for pod in world if pod not in step.delete]
            world += [builders.pod(f"p{next(names)}", phase="Pending") for _ in range(step.create)]
            assert sum(is_active(pod) for pod in world) == target
        step = plan(desired(target), world, {}, NOW)
        world = [pod for pod in world if pod not in step.delete]
        world += [builders.pod(f"p{next(names)}", phase="Pending") for _ in range(step.create)]
    assert observe(desired(targets[-1]), world, NOW).replicas == targets[-1]
