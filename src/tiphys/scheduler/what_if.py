"""What if: a snapshot and changes in, where every pod would go out. Nothing is moved, nothing is asked of a cluster.

Snapshot ──copy──► World ──apply each change──► settle (the scheduler's own decisions) ──► Outcome
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from tiphys.scheduler.profiles import ProfileMaker
from tiphys.scheduler.simulation.applying import apply
from tiphys.scheduler.simulation.changes import (
    Add,
    AddNodes,
    Change,
    ChangeError,
    Cordon,
    Delete,
    Drain,
    RemoveNode,
    RescheduleAll,
    Scale,
    Uncordon,
)
from tiphys.scheduler.simulation.outcome import Outcome, encode
from tiphys.scheduler.simulation.placing import Placing
from tiphys.scheduler.simulation.reporting import report, totals, use
from tiphys.scheduler.simulation.words import render
from tiphys.scheduler.simulation.world import World
from tiphys.scheduler.snapshot import Snapshot

__all__ = [
    "Add",
    "AddNodes",
    "Change",
    "ChangeError",
    "Cordon",
    "Delete",
    "Drain",
    "Outcome",
    "RemoveNode",
    "RescheduleAll",
    "Scale",
    "Uncordon",
    "encode",
    "render",
    "what_if",
]


def what_if(
    snapshot: Snapshot,
    changes: Iterable[Change] = (),
    *,
    profiles: Sequence[ProfileMaker] | None = None,
    seed: int = 0,
    one_by_one: bool = False,
) -> Outcome:
    """Where the pods of `snapshot` would be after `changes`, made in their order; `snapshot` stays as it is.

    profiles: scheduled by these instead of the snapshot's. seed: decides between equally good nodes; the same seed
    gives the same outcome. one_by_one: pods are placed after every change, and not once after all of them.
    Pods that are being deleted are taken to be gone. Raises ChangeError.
    """
    world = World(snapshot.copy(profiles))
    totals_before, use_before = totals(world), use(world.cluster)
    placing = Placing(world, random.Random(seed))
    _let_go(world)
    said: list[str] = []
    for change in changes:
        apply(world, change)
        said.append(str(change))
        if one_by_one:
            placing.settle()
    placing.settle()
    for plugin, pods in world.permits.items():
        world.note(f"{pods} placed pods would wait for a permit of {plugin}, and are taken to get it.")
    return report(world, seed=seed, changes=said, totals_before=totals_before, use_before=use_before)


def _let_go(world: World) -> None:
    leaving = [info for info in world.bound.values() if info.terminating]
    for info in leaving:
        world.take_off(info)
    if leaving:
        world.note(f"{len(leaving)} pods that are being deleted are taken to be gone.")
