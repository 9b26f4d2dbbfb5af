"""From a world before and after to an Outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tiphys.api.types.policy_v1 import PodDisruptionBudget
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.disruption_budgets import disruption
from tiphys.scheduler.nodes import CPU_COLUMN, MEMORY_COLUMN, PODS_COLUMN
from tiphys.scheduler.simulation.outcome import (
    Budget,
    Cause,
    NodeUse,
    Outcome,
    Pending,
    Placement,
    Room,
    Totals,
)
from tiphys.scheduler.simulation.world import Case, World, named


def totals(world: World) -> Totals:
    """The world's, now."""
    return Totals(
        nodes=world.cluster.nodes.count,
        placed=len(world.bound),
        pending=len(world.waiting) + len(world.snapshot.foreign),
    )


def use(cluster: Cluster) -> dict[str, tuple[Room, Room]]:
    """By node: what is requested of it, and what it has."""
    nodes = cluster.nodes
    return {
        name: (_room(nodes.requested[row].tolist()), _room(nodes.allocatable[row].tolist()))
        for name, row in nodes.rows.items()
    }


def report(
    world: World,
    *,
    seed: int,
    changes: Sequence[str],
    totals_before: Totals,
    use_before: dict[str, tuple[Room, Room]],
) -> Outcome:
    """What became of `world`."""
    cases = list(world.cases.values())
    foreign = [
        Pending(
            pod=f"{pod.metadata.namespace}/{pod.metadata.name}",
            owner=world.owner(pod),
            cause=Cause.PENDING,
            was="",
            reason=f"waits for scheduler {pod.spec.scheduler_name}, which is not simulated",
            plugins=(),
            gated=True,
        )
        for pod in world.snapshot.foreign
    ]
    return Outcome(
        seed=seed,
        changes=tuple(changes),
        before=totals_before,
        after=totals(world),
        placements=tuple(_placement(world, case) for case in cases if case.info.key not in world.waiting),
        pending=(*(_pending(world, case) for case in cases if case.info.key in world.waiting), *foreign),
        preempted=tuple(world.victims),
        gone=tuple(world.gone),
        stayed=tuple(world.stayed),
        budgets=tuple(_budgets(world)),
        nodes=tuple(_nodes(world, use_before)),
        notes=tuple(world.notes),
    )


def _placement(world: World, case: Case) -> Placement:
    return Placement(
        pod=named(case.info.key),
        owner=world.owner(case.info.pod),
        cause=case.cause,
        was=case.was,
        node=case.info.node_name,
    )


def _pending(world: World, case: Case) -> Pending:
    return Pending(
        pod=named(case.info.key),
        owner=world.owner(case.info.pod),
        cause=case.cause,
        was=case.was,
        reason=case.reason,
        plugins=tuple(sorted(case.plugins)),
        gated=case.gated,
    )


def _budgets(world: World) -> Iterator[Budget]:
    for key, budget in world.snapshot.of(PodDisruptionBudget).items():
        covered = disruption(budget)
        evicted = sum(map(covered.covers, world.evicted))
        preempted = sum(map(covered.covers, world.preempted))
        if evicted or preempted:
            yield Budget(name=named(key), allowed=covered.allowed, evicted=evicted, preempted=preempted)


def _nodes(world: World, before: dict[str, tuple[Room, Room]]) -> Iterator[NodeUse]:
    after = use(world.cluster)
    for name in sorted(before.keys() | after.keys()):
        was, is_ = before.get(name), after.get(name)
        one = is_ or was
        assert one is not None
        yield NodeUse(
            name=name,
            change=world.node_changes.get(name, ""),
            allocatable=one[1],
            before=was[0] if was is not None else None,
            after=is_[0] if is_ is not None else None,
        )


def _room(row: list[int]) -> Room:
    return Room(pods=row[PODS_COLUMN], cpu_millis=row[CPU_COLUMN], memory_bytes=row[MEMORY_COLUMN])
