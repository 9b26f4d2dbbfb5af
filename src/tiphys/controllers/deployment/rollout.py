"""How many replicas each ReplicaSet of a Deployment should have now. Pure.

During a rolling update the sum stays at most desired + maxSurge, and the available ones at least
desired - maxUnavailable.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.controllers.deployment.revisions import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    age_key,
    desired_of,
    is_rolling,
    replicas_of,
    surge_and_unavailable,
)

Sizes = dict[str, int]
"""Replicas by the ReplicaSet's name."""


def total(replica_sets: Sequence[ReplicaSet]) -> int:
    return sum(replicas_of(replica_set) for replica_set in replica_sets)


def available(replica_sets: Sequence[ReplicaSet]) -> int:
    return sum(replica_set.status.available_replicas or 0 for replica_set in replica_sets)


def _staying(replica_set: ReplicaSet) -> int:
    """Available pods that will not be deleted: a set that was just scaled down still reports those that go."""
    return min(replicas_of(replica_set), replica_set.status.available_replicas or 0)


def name_of(replica_set: ReplicaSet) -> str:
    return replica_set.metadata.name or ""


def new_size(deployment: Deployment, current: int, everything: int) -> int:
    """Replicas of the new ReplicaSet, which has `current` of the `everything` there are."""
    desired = desired_of(deployment)
    if not is_rolling(deployment) or current >= desired:
        return desired
    room = desired + surge_and_unavailable(deployment)[0] - everything
    return current if room <= 0 else current + min(room, desired - current)


def old_sizes(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> Sizes:
    """Smaller sizes of old ReplicaSets: first their unavailable pods go, then available ones as the new allow it."""
    active = sorted((rs for rs in old if replicas_of(rs) > 0), key=age_key)
    if not active:
        return {}
    everything = [*active, *((new,) if new else ())]
    minimum = desired_of(deployment) - surge_and_unavailable(deployment)[1]
    new_unavailable = replicas_of(new) - (new.status.available_replicas or 0) if new else 0
    budget = total(everything) - minimum - new_unavailable
    if budget <= 0:
        return {}
    sizes = {name_of(rs): replicas_of(rs) for rs in active}
    for rs in active:
        unhealthy = min(budget, sizes[name_of(rs)] - (rs.status.available_replicas or 0))
        if unhealthy > 0:
            sizes[name_of(rs)] -= unhealthy
            budget -= unhealthy
    spare = sum(_staying(rs) for rs in everything) - minimum
    for rs in active:
        going = min(spare, sizes[name_of(rs)])
        if going > 0:
            sizes[name_of(rs)] -= going
            spare -= going
    return {name_of(rs): sizes[name_of(rs)] for rs in active if sizes[name_of(rs)] != replicas_of(rs)}


def is_scaling_event(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> bool:
    """Whether the Deployment was resized since its ReplicaSets were last scaled."""
    desired = desired_of(deployment)
    for replica_set in replica_sets:
        text = replica_set.metadata.annotations.get(DESIRED_REPLICAS, "")
        if replicas_of(replica_set) > 0 and text.isdigit() and int(text) != desired:
            return True
    return False


def resized(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> Sizes:
    """Sizes after the Deployment was resized (or while it is paused): each its share in the middle of a rollout."""
    desired = desired_of(deployment)
    everything = [*old, *((new,) if new else ())]
    active = [rs for rs in everything if replicas_of(rs) > 0]
    sole = _active_or_latest(active, new, old)
    if sole is not None:
        return {name_of(sole): desired}
    if new is not None and _is_saturated(deployment, new):
        return {name_of(rs): 0 for rs in old if replicas_of(rs) > 0}
    return _proportional(deployment, active) if is_rolling(deployment) else {}


def _active_or_latest(
    active: Sequence[ReplicaSet], new: ReplicaSet | None, old: Sequence[ReplicaSet]
) -> ReplicaSet | None:
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return new or max(old, key=age_key, default=None)


def _is_saturated(deployment: Deployment, new: ReplicaSet) -> bool:
    desired = desired_of(deployment)
    text = new.metadata.annotations.get(DESIRED_REPLICAS, "")
    return replicas_of(new) == desired and text == str(desired) and (new.status.available_replicas or 0) == desired


def _proportional(deployment: Deployment, active: Sequence[ReplicaSet]) -> Sizes:
    desired = desired_of(deployment)
    allowed = desired + surge_and_unavailable(deployment)[0] if desired > 0 else 0
    to_add = allowed - total(active)
    # The largest get the leftover; of equals the newest grow and the oldest shrink first.
    ordered = sorted(active, key=age_key, reverse=to_add > 0)
    ordered.sort(key=replicas_of, reverse=True)
    sizes: Sizes = {}
    added = 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added) if to_add else 0
        sizes[name_of(rs)] = replicas_of(rs) + share
        added += share
    if ordered and to_add:
        largest = name_of(ordered[0])
        sizes[largest] = max(0, sizes[largest] + to_add - added)
    return sizes


def _share(deployment: Deployment, replica_set: ReplicaSet, to_add: int, added: int) -> int:
    size = replicas_of(replica_set)
    if size == 0 or to_add == added:
        return 0
    fraction = _fraction(deployment, replica_set)
    return min(fraction, to_add - added) if to_add > 0 else max(fraction, to_add - added)


def _fraction(deployment: Deployment, replica_set: ReplicaSet) -> int:
    desired, size = desired_of(deployment), replicas_of(replica_set)
    if desired == 0:
        return -size
    maximum = desired + surge_and_unavailable(deployment)[0]
    text = replica_set.metadata.annotations.get(MAX_REPLICAS, "")
    before = int(text) if text.isdigit() else deployment.status.replicas or 0
    if before == 0:
        return 0
    # Rounded half up: Python's round would favour even sizes.
    return (2 * size * maximum + before) // (2 * before) - size
