"""Pods as a Job counts them, and the pods it makes. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.core_v1 import Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod
from tiphys.controllers.job import indexes
from tiphys.controllers.pods import FAILED, SUCCEEDED, pod_from_template, seconds_of, with_labels

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
_INDEX_ENV: Final = "JOB_COMPLETION_INDEX"
_NAME_MAXIMUM: Final = 63


def is_indexed(job: Job) -> bool:
    """Whether each completion has an index."""
    return job.spec.completion_mode == "Indexed"


def replaces_failed_only(job: Job) -> bool:
    """Whether a pod that terminates is replaced (and counted) only once it has failed."""
    return job.spec.pod_replacement_policy == "Failed"


def is_tracked(pod: Pod) -> bool:
    """Whether the pod was not counted yet."""
    return FINALIZER in pod.metadata.finalizers


def has_failed(job: Job, pod: Pod) -> bool:
    """Whether the pod counts as failed: one being deleted does too, for it may never get to say so."""
    if pod.status.phase == FAILED or replaces_failed_only(job):
        return pod.status.phase == FAILED
    return pod.metadata.deletion_timestamp is not None and pod.status.phase != SUCCEEDED


def finished_at(pod: Pod, now: float) -> float:
    """When its last container ended, as far as is known."""
    ends = [
        seconds_of(status.state.terminated.finished_at)
        for status in pod.status.container_statuses
        if status.state.terminated is not None and status.state.terminated.finished_at
    ]
    if ends:
        return max(ends)
    if pod.metadata.deletion_timestamp:
        return seconds_of(pod.metadata.deletion_timestamp) - (pod.metadata.deletion_grace_period_seconds or 0)
    return now


def made(job: Job, index: int | None, failures: int, ignored: int) -> Pod:
    """A new pod for the Job, for completion `index` where it is indexed."""
    name = job.metadata.name or ""
    prefix = f"{name}-" if index is None else f"{name}-{index}-"
    pod = pod_from_template(job.spec.template, job, generate_name=prefix)
    meta = msgspec.structs.replace(pod.metadata, finalizers=(*pod.metadata.finalizers, FINALIZER))
    pod = msgspec.structs.replace(pod, metadata=meta)
    if index is None:
        return pod
    annotations = {indexes.COMPLETION_INDEX: str(index)}
    if job.spec.backoff_limit_per_index is not None:
        annotations[indexes.FAILURE_COUNT] = str(failures)
        if ignored:
            annotations[indexes.IGNORED_FAILURE_COUNT] = str(ignored)
    pod = with_labels(pod, {indexes.COMPLETION_INDEX: str(index)}, annotations)
    spec = pod.spec
    changes: dict[str, Any] = {
        "containers": tuple(_with_index(c) for c in spec.containers),
        "init_containers": tuple(_with_index(c) for c in spec.init_containers),
        "hostname": f"{name}-{index}"[:_NAME_MAXIMUM],
    }
    return msgspec.structs.replace(pod, spec=msgspec.structs.replace(spec, **changes))


def _with_index(container: Container) -> Container:
    if any(variable.name == _INDEX_ENV for variable in container.env):
        return container
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path=f"metadata.labels['{indexes.COMPLETION_INDEX}']"))
    return msgspec.structs.replace(container, env=(*container.env, EnvVar(name=_INDEX_ENV, value_from=source)))
