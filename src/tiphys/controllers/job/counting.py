"""Which pods finished, counted once: through the status, before their finalizers go. Pure.

finished, with finalizer ──► uid in status.uncountedTerminatedPods ──► finalizer removed ──► in the counts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Pod
from tiphys.controllers.job import failure_policy, indexes
from tiphys.controllers.job.pods import has_failed, is_indexed, is_tracked
from tiphys.controllers.pods import SUCCEEDED, is_active, is_ready, is_terminating


@dataclass(slots=True)
class Tally:
    """Everything a decision needs of the pods.

    `uncounted_*` are uids to keep in the status until their pods' finalizers are gone; `release` are the pods whose
    finalizers may go once the status is written. Index sets are empty for Jobs without indexes.
    """

    active: list[Pod] = field(default_factory=list)
    ready: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    release: list[Pod] = field(default_factory=list)
    succeeded_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failed_pods: list[Pod] = field(default_factory=list)
    fail_job_message: str = ""

    @property
    def total_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def total_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)


def tally(job: Job, pods: Sequence[Pod]) -> Tally:
    """Count `pods`, all that the Job controls, on top of what its status has counted."""
    found = Tally(succeeded=job.status.succeeded or 0, failed=job.status.failed or 0)
    completions = job.spec.completions or 0
    indexed = is_indexed(job)
    if indexed:
        found.succeeded_indexes = indexes.parse(job.status.completed_indexes or "", completions)
        found.failed_indexes = indexes.parse(job.status.failed_indexes or "", completions)
    _settle(job, pods, found)
    known = {*found.uncounted_succeeded, *found.uncounted_failed}
    for pod in pods:
        if is_active(pod):
            found.active.append(pod)
            found.ready += is_ready(pod)
        found.terminating += is_terminating(pod)
        if pod.status.phase == SUCCEEDED:
            _note_success(job, pod, known, found)
        elif has_failed(job, pod):
            _note_failure(job, pod, known, found)
    if indexed:
        found.succeeded, found.uncounted_succeeded = len(found.succeeded_indexes), []
        # An index that succeeded after all is no failed one.
        found.failed_indexes -= found.succeeded_indexes
    return found


def _settle(job: Job, pods: Sequence[Pod], found: Tally) -> None:
    """Move uids whose pods have no finalizer any more from uncounted to counted."""
    uncounted = job.status.uncounted_terminated_pods
    if uncounted is None:
        return
    tracked = {pod.metadata.uid for pod in pods if is_tracked(pod)}
    for uid in uncounted.succeeded:
        if uid in tracked:
            found.uncounted_succeeded.append(uid)
        else:
            found.succeeded += 1
    for uid in uncounted.failed:
        if uid in tracked:
            found.uncounted_failed.append(uid)
        else:
            found.failed += 1


def _note_success(job: Job, pod: Pod, known: set[str], found: Tally) -> None:
    uid = pod.metadata.uid or ""
    index = indexes.index_of(pod)
    if is_indexed(job):
        if index is not None and index < (job.spec.completions or 0) and is_tracked(pod):
            found.succeeded_indexes.add(index)
    elif is_tracked(pod) and uid not in known:
        found.uncounted_succeeded.append(uid)
    if is_tracked(pod):
        found.release.append(pod)


def _note_failure(job: Job, pod: Pod, known: set[str], found: Tally) -> None:
    uid = pod.metadata.uid or ""
    found.failed_pods.append(pod)
    if not is_tracked(pod):
        return
    verdict = failure_policy.judge(job.spec.pod_failure_policy, pod)
    if verdict.action == failure_policy.FAIL_JOB and not found.fail_job_message:
        found.fail_job_message = verdict.message
    if verdict.action != failure_policy.IGNORE and uid not in known:
        found.uncounted_failed.append(uid)
    index = indexes.index_of(pod)
    limit = job.spec.backoff_limit_per_index
    if index is not None and limit is not None:
        failures = indexes.count_of(pod, indexes.FAILURE_COUNT) + (verdict.action != failure_policy.IGNORE)
        if verdict.action == failure_policy.FAIL_INDEX or failures > limit:
            found.failed_indexes.add(index)
    found.release.append(pod)
