"""What to do for a Deployment now: which ReplicaSet to create, resize or drop, and what to report. Pure.

    paused or resized ──► resize what there is, each its share
    Recreate ───────────► old to 0 ──► (old pods gone) ──► new at full size
    RollingUpdate ──────► new grows within maxSurge ──► old shrink within maxUnavailable ──► … ──► complete

One call takes one step; the changes it asks for come back through the informers and lead to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from tiphys.api.types.apps_v1 import Deployment, DeploymentStatus, ReplicaSet
from tiphys.controllers import conditions
from tiphys.controllers.deployment import progress, revisions, rollout
from tiphys.controllers.deployment.revisions import replicas_of


@dataclass(frozen=True, slots=True)
class Event:
    """Something to say about the Deployment."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. `create` and `update` come first, `status` is what to report if they succeed.

    `revision`: the revision annotation of the Deployment, None to leave it. `look_again_seconds`: when nothing will
    have changed but the time.
    """

    create: ReplicaSet | None = None
    update: tuple[ReplicaSet, ...] = ()
    delete: tuple[ReplicaSet, ...] = ()
    revision: str | None = None
    status: DeploymentStatus | None = None
    events: tuple[Event, ...] = field(default=())
    look_again_seconds: float | None = None


def decide(deployment: Deployment, owned: Sequence[ReplicaSet], *, old_pods_running: bool, now: float) -> Decision:
    """The next step for `deployment`, which owns the ReplicaSets `owned`.

    `old_pods_running`: whether pods of other templates than the current one still run (only Recreate asks).
    """
    new = revisions.find_new(deployment, owned)
    old = [rs for rs in owned if rs is not new]
    deployment = _with_pause_noted(deployment, now)
    if deployment.metadata.deletion_timestamp is not None:
        return _reported(Decision(), deployment, new, old, now, rolling=False)
    new, step = _current_revision(deployment, new, old)
    everything = [*old, *((new,) if new else ())]
    if deployment.spec.paused or rollout.is_scaling_event(deployment, everything):
        return _resize(step, deployment, new, old, now)
    if revisions.is_rolling(deployment):
        return _roll(step, deployment, new, old, now)
    return _recreate(step, deployment, new, old, now, old_pods_running=old_pods_running)


def _with_pause_noted(deployment: Deployment, now: float) -> Deployment:
    """The Deployment whose Progressing condition says that it is paused or was resumed, so that no deadline counts."""
    if not progress.has_deadline(deployment):
        return deployment
    current = conditions.find(deployment.status.conditions, progress.PROGRESSING)
    if current is not None and current.reason == progress.TIMED_OUT:
        return deployment
    noted = current is not None and current.reason == progress.PAUSED
    if bool(deployment.spec.paused) == noted:
        return deployment
    text = (progress.RESUMED, "Deployment is resumed") if noted else (progress.PAUSED, "Deployment is paused")
    fresh = progress.condition(progress.PROGRESSING, "Unknown", *text, now)
    return msgspec.structs.replace(deployment, status=progress.with_condition(deployment.status, fresh))


def _current_revision(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]
) -> tuple[ReplicaSet | None, Decision]:
    """The new ReplicaSet brought up to the next revision, if it exists, and the writes that takes."""
    if new is None:
        return None, Decision()
    newest = revisions.newest_revision(old) + 1
    current = revisions.brought_up(deployment, new, newest)
    revision = current.metadata.annotations.get(revisions.REVISION, "")
    shown = deployment.metadata.annotations.get(revisions.REVISION, "")
    return current, Decision(
        update=(current,) if current is not new else (), revision=revision if revision != shown else None
    )


def _create(step: Decision, deployment: Deployment, old: Sequence[ReplicaSet]) -> tuple[ReplicaSet, Decision]:
    revision = revisions.newest_revision(old) + 1
    size = rollout.new_size(deployment, 0, rollout.total(old))
    new = revisions.made(deployment, revision, size)
    events = (*step.events, _scaled_event(new, 0, size)) if size > 0 else step.events
    return new, replace(step, create=new, revision=str(revision), events=events)


def _resize(
    step: Decision, deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], now: float
) -> Decision:
    sizes = rollout.resized(deployment, new, old)
    step, everything = _scaled(step, deployment, [*old, *((new,) if new else ())], sizes)
    fresh = _same(new, everything)
    rest = [rs for rs in everything if rs is not fresh]
    if deployment.spec.paused:
        step = replace(step, delete=_surplus(deployment, rest))
    return _reported(step, deployment, fresh, rest, now, rolling=False)


def _roll(
    step: Decision, deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], now: float
) -> Decision:
    if new is None:
        new, step = _create(step, deployment, old)
        return _reported(step, deployment, new, old, now)
    size = rollout.new_size(deployment, replicas_of(new), rollout.total([*old, new]))
    if size != replicas_of(new):
        step, (new,) = _scaled(step, deployment, [new], {rollout.name_of(new): size})
        return _reported(step, deployment, new, old, now)
    step, rest = _scaled(step, deployment, list(old), rollout.old_sizes(deployment, new, old))
    return _finished(step, deployment, new, rest, now)


def _recreate(
    step: Decision,
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    now: float,
    *,
    old_pods_running: bool,
) -> Decision:
    active = {rollout.name_of(rs): 0 for rs in old if replicas_of(rs) > 0}
    if active:
        step, rest = _scaled(step, deployment, list(old), active)
        return _reported(step, deployment, new, rest, now)
    if old_pods_running:
        return _reported(step, deployment, new, old, now)
    if new is None:
        new, step = _create(step, deployment, old)
        return _reported(step, deployment, new, old, now)
    step, (new,) = _scaled(step, deployment, [new], {rollout.name_of(new): revisions.desired_of(deployment)})
    return _finished(step, deployment, new, old, now)


def _scaled(
    step: Decision, deployment: Deployment, replica_sets: Sequence[ReplicaSet], sizes: rollout.Sizes
) -> tuple[Decision, list[ReplicaSet]]:
    """The ReplicaSets with `sizes` applied, and the step that writes them."""
    updates = {rollout.name_of(rs): rs for rs in step.update}
    events = list(step.events)
    result: list[ReplicaSet] = []
    for rs in replica_sets:
        size = sizes.get(rollout.name_of(rs))
        changed = rs if size is None else revisions.scaled(deployment, rs, size)
        if changed is not rs:
            updates[rollout.name_of(rs)] = changed
            if size is not None and size != replicas_of(rs):
                events.append(_scaled_event(rs, replicas_of(rs), size))
        result.append(changed)
    return replace(step, update=tuple(updates.values()), events=tuple(events)), result


def _scaled_event(replica_set: ReplicaSet, before: int, after: int) -> Event:
    direction = "up" if after > before else "down"
    text = f"Scaled {direction} replica set {replica_set.metadata.name} from {before} to {after}"
    return Event("Normal", "ScalingReplicaSet", text)


def _same(replica_set: ReplicaSet | None, among: Sequence[ReplicaSet]) -> ReplicaSet | None:
    if replica_set is None:
        return None
    return next((rs for rs in among if rs.metadata.name == replica_set.metadata.name), None)


def _finished(
    step: Decision, deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet], now: float
) -> Decision:
    if progress.is_complete(deployment, progress.counted(deployment, new, old, now)):
        step = replace(step, delete=_surplus(deployment, old))
    return _reported(step, deployment, new, old, now)


def _surplus(deployment: Deployment, old: Sequence[ReplicaSet]) -> tuple[ReplicaSet, ...]:
    """Old ReplicaSets beyond the history limit, oldest revision first; never one that has or awaits pods."""
    limit = deployment.spec.revision_history_limit
    if limit is None:
        return ()
    alive = sorted(
        (rs for rs in old if rs.metadata.deletion_timestamp is None),
        key=lambda rs: (revisions.revision_of(rs), *revisions.age_key(rs)),
    )
    surplus = alive[: max(0, len(alive) - limit)]
    return tuple(
        rs
        for rs in surplus
        if rs.status.replicas == 0
        and replicas_of(rs) == 0
        and (rs.metadata.generation or 0) <= (rs.status.observed_generation or 0)
    )


def _reported(
    step: Decision,
    deployment: Deployment,
    new: ReplicaSet | None,
    old: Sequence[ReplicaSet],
    now: float,
    *,
    rolling: bool = True,
) -> Decision:
    if new is not None and progress.has_deadline(deployment):
        known = conditions.find(deployment.status.conditions, progress.PROGRESSING)
        fresh = None
        if step.create is not None:
            fresh = (progress.NEW_CREATED, f'Created new replica set "{new.metadata.name}"')
        elif known is None:
            fresh = (progress.FOUND_NEW, f'Found new replica set "{new.metadata.name}"')
        if fresh is not None:
            noted = progress.condition(progress.PROGRESSING, "True", *fresh, now)
            deployment = msgspec.structs.replace(deployment, status=progress.with_condition(deployment.status, noted))
    count = progress.rolled if rolling else progress.counted
    status = count(deployment, new, old, now)
    left = None if deployment.spec.paused else progress.seconds_left(deployment, status, now)
    # A second late rather than early, for the deadline must have passed.
    return replace(step, status=status, look_again_seconds=max(1.0, left + 1.0) if left is not None else None)
