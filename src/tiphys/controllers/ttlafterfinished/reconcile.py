"""When a finished Job is to be deleted. Pure."""

from __future__ import annotations

from tiphys.api.types.batch_v1 import Job
from tiphys.controllers.pods import seconds_of


def expires_at(job: Job) -> float | None:
    """Seconds since the epoch at which the Job's time to live ends; None if it has none or is not finished."""
    seconds = job.spec.ttl_seconds_after_finished
    if seconds is None or job.metadata.deletion_timestamp is not None:
        return None
    for condition in job.status.conditions:
        if condition.type in ("Complete", "Failed") and condition.status == "True" and condition.last_transition_time:
            return seconds_of(condition.last_transition_time) + seconds
    return None
