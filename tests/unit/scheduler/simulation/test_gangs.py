"""Pod groups in simulations: enough of them together, or none."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.unit.scheduler.gangs.groups import add_built_in, add_group, install
from tests.unit.scheduler.objects import node, pod
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Pod
from tiphys.scheduler.gangs.groups import PodGroupObject
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.snapshot_file import load
from tiphys.scheduler.what_if import AddNodes, Outcome, what_if
from tiphys.testing.control_plane import control_plane

GROUP = from_dict(
    PodGroupObject,
    {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "PodGroup",
        "metadata": {"name": "train", "namespace": "default"},
        "spec": {"minMember": 3},
    },
)


def members(count: int, *, cpu: str = "3", priority: int = 0) -> list[Pod]:
    labels = {"scheduling.x-k8s.io/pod-group": "train"}
    return [pod(f"t{number}", cpu=cpu, labels=labels, priority=priority) for number in range(count)]


def nodes(count: int) -> list[object]:
    return [node(f"n{number}") for number in range(count)]


def run(*objects: object, add: int = 0) -> Outcome:
    return what_if(Snapshot([GROUP, *objects]), [AddNodes(add, like="n0")] if add else [])


def test_too_few_nodes_for_all_place_none() -> None:
    outcome = run(*nodes(2), *members(3))
    assert not outcome.placements
    assert {pending.reason.partition(". ")[0] for pending in outcome.pending} == {
        'pod group "train": only 2 of at least 3 pods fit'
    }
    assert run(*nodes(2), *members(3), add=1).fits


def test_less_free_than_its_least_resources_places_none() -> None:
    spec = {"minMember": 3, "minResources": {"cpu": "14"}}
    group = msgspec.structs.replace(GROUP, spec=spec)
    outcome = what_if(Snapshot([group, *nodes(3), *members(3)]), [])
    assert not outcome.placements
    lacks = "the cluster's nodes have less free than its minResources, by 2 of cpu"
    assert {pending.reason for pending in outcome.pending} == {f'pod group "train": {lacks}'}
    outcome = what_if(Snapshot([group, *nodes(3), *members(3)]), [AddNodes(1, like="n0")])
    assert len(outcome.placements) == 3


def test_pods_beyond_the_minimum_are_placed_by_one() -> None:
    outcome = run(*nodes(3), *members(4))
    assert (len(outcome.placements), len(outcome.pending)) == (3, 1)


def test_too_few_pods_are_gated() -> None:
    outcome = run(*nodes(3), *members(2))
    assert all(pending.gated for pending in outcome.pending)
    assert not outcome.placements


def test_others_make_room_for_a_whole_gang_or_for_nothing() -> None:
    low = [pod(f"low{number}", cpu="3", node_name=f"n{number}") for number in range(3)]
    outcome = run(*nodes(3), *low, *members(3, priority=10))
    assert (len(outcome.placements), len(outcome.preempted)) == (3, 3)
    outcome = run(*nodes(2), *low[:2], *members(3, priority=10))
    assert not outcome.preempted
    assert not outcome.placements


def test_groups_are_kept_in_files(tmp_path: Path) -> None:
    path = tmp_path / "cluster.jsonl"
    Snapshot([GROUP, *nodes(3), *members(3)]).dump(path)
    assert [obj for obj in load(path) if isinstance(obj, PodGroupObject)] == [GROUP]
    assert what_if(Snapshot.load(path)).fits


async def test_groups_of_every_kind_that_is_served_are_read() -> None:
    async with control_plane() as plane:
        await install(plane)
        await add_group(plane, "train", 3)
        await add_built_in(plane, "learn", gang={"minCount": 2})
        snapshot = await Snapshot.read(plane.client)
        assert {name: obj.kind for (_, name), obj in snapshot.of(PodGroupObject).items()} == {
            "train": "PodGroup",
            "learn": "PodGroup",
        }
        assert snapshot.handle.gangs.served == {"scheduling.x-k8s.io", "scheduling.k8s.io"}
