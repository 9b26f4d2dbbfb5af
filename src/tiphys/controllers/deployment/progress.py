"""The status of a Deployment: counts and the conditions Available, Progressing and ReplicaFailure. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tiphys.api.types.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet
from tiphys.base.clock import rfc3339
from tiphys.controllers import conditions
from tiphys.controllers.deployment.revisions import desired_of, surge_and_unavailable
from tiphys.controllers.deployment.rollout import available, total
from tiphys.controllers.pods import seconds_of

PROGRESSING: Final = "Progressing"
NEW_CREATED: Final = "NewReplicaSetCreated"
FOUND_NEW: Final = "FoundNewReplicaSet"
UPDATED: Final = "ReplicaSetUpdated"
AVAILABLE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"
PAUSED: Final = "DeploymentPaused"
RESUMED: Final = "DeploymentResumed"
FAILED_CREATE: Final = "ReplicaSetCreateError"
NO_DEADLINE_SECONDS: Final = 2**31 - 1


def condition(type: str, status: str, reason: str, message: str, now: float) -> DeploymentCondition:
    """A condition as of now."""
    moment = rfc3339(now)
    return DeploymentCondition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        last_update_time=moment,
        last_transition_time=moment,
    )


def with_condition(status: DeploymentStatus, new: DeploymentCondition) -> DeploymentStatus:
    """The status with the condition set, unless one with the same status and reason is there."""
    kept = conditions.with_condition(status.conditions, new)
    return status if kept is status.conditions else msgspec.structs.replace(status, conditions=kept)


def has_deadline(deployment: Deployment) -> bool:
    """Whether a rollout may time out."""
    seconds = deployment.spec.progress_deadline_seconds
    return seconds is not None and seconds != NO_DEADLINE_SECONDS


def counted(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], now: float) -> DeploymentStatus:
    """The counts, the conditions as they are and Available as it is now."""
    everything = [*old, *((new,) if new else ())]
    ready = sum(rs.status.ready_replicas or 0 for rs in everything)
    working = available(everything)
    terminating = [rs.status.terminating_replicas for rs in everything]
    enough = working >= desired_of(deployment) - surge_and_unavailable(deployment)[1]
    status = DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(rs.status.replicas for rs in everything) or None,
        updated_replicas=(new.status.replicas or None) if new else None,
        ready_replicas=ready or None,
        available_replicas=working or None,
        unavailable_replicas=max(0, total(everything) - working) or None,
        terminating_replicas=None if None in terminating else sum(count or 0 for count in terminating),
        collision_count=deployment.status.collision_count,
        conditions=deployment.status.conditions,
    )
    if enough:
        text = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return with_condition(status, condition("Available", *text, now))


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all replicas are of the new template and available, and no others are left."""
    desired = desired_of(deployment)
    counts = (status.updated_replicas or 0, status.replicas or 0, status.available_replicas or 0)
    return counts == (desired, desired, desired) and (status.observed_generation or 0) >= (
        deployment.metadata.generation or 0
    )


def has_progressed(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether the rollout came further since the stored status."""
    before = deployment.status
    old_before = (before.replicas or 0) - (before.updated_replicas or 0)
    old_now = (status.replicas or 0) - (status.updated_replicas or 0)
    return (
        (status.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_now < old_before
        or (status.ready_replicas or 0) > (before.ready_replicas or 0)
        or (status.available_replicas or 0) > (before.available_replicas or 0)
    )


def seconds_left(deployment: Deployment, status: DeploymentStatus, now: float) -> float | None:
    """Until the rollout times out; None where it cannot."""
    current = conditions.find(status.conditions, PROGRESSING)
    if current is None or not has_deadline(deployment) or current.reason in (AVAILABLE, TIMED_OUT):
        return None
    since = current.last_update_time or current.last_transition_time
    return seconds_of(since) + (deployment.spec.progress_deadline_seconds or 0) - now if since else None


def rolled(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], now: float) -> DeploymentStatus:
    """The whole status while a rollout is under way or done."""
    status = counted(deployment, new, old, now)
    current = conditions.find(status.conditions, PROGRESSING)
    if not has_deadline(deployment):
        status = msgspec.structs.replace(status, conditions=conditions.without(status.conditions, PROGRESSING))
    else:
        settled = status.replicas == status.updated_replicas and current is not None and current.reason == AVAILABLE
        if not settled:
            status = _with_progress(deployment, new, status, current, now)
    return _with_failure(status, new, old)


def _with_progress(
    deployment: Deployment,
    new: ReplicaSet | None,
    status: DeploymentStatus,
    current: DeploymentCondition | None,
    now: float,
) -> DeploymentStatus:
    subject = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, status):
        return with_condition(
            status, condition(PROGRESSING, "True", AVAILABLE, f"{subject} has successfully progressed.", now)
        )
    if has_progressed(deployment, status):
        fresh = condition(PROGRESSING, "True", UPDATED, f"{subject} is progressing.", now)
        if current is not None and current.status == "True":
            fresh = msgspec.structs.replace(fresh, last_transition_time=current.last_transition_time)
        # Even with the same reason: its update time is what the deadline counts from.
        rest = conditions.without(status.conditions, PROGRESSING)
        return msgspec.structs.replace(status, conditions=(*rest, fresh))
    left = seconds_left(deployment, status, now)
    timed_out = current is not None and (current.reason == TIMED_OUT or (left is not None and left < 0))
    if timed_out:
        text = f"{subject} has timed out progressing."
        return with_condition(status, condition(PROGRESSING, "False", TIMED_OUT, text, now))
    return status


def _with_failure(status: DeploymentStatus, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> DeploymentStatus:
    rest = conditions.without(status.conditions, "ReplicaFailure")
    for replica_set in (*((new,) if new else ()), *old):
        failure = conditions.find(replica_set.status.conditions, "ReplicaFailure")
        if failure is not None:
            shown = DeploymentCondition(
                type="ReplicaFailure",
                status=failure.status,
                reason=failure.reason,
                message=failure.message,
                last_transition_time=failure.last_transition_time,
                last_update_time=failure.last_transition_time,
            )
            rest = (*rest, shown)
            break
    return msgspec.structs.replace(status, conditions=rest)
