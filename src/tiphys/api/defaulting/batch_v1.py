"""Defaults of Jobs and CronJobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.defaulting.pod_spec import default_pod_spec
from tiphys.api.types.batch_v1 import CronJob, Job, JobSpec

BACKOFF_LIMIT: Final = 6
UNLIMITED: Final = 2**31 - 1


def _job(obj: Job) -> None:
    spec = obj.spec
    default_pod_spec(spec.template.spec)
    # Neither said: one pod. Only parallelism said: a work queue, which has no number of completions.
    if spec.completions is None and spec.parallelism is None:
        spec.completions = 1
    if spec.parallelism is None:
        spec.parallelism = 1
    if spec.backoff_limit is None:
        spec.backoff_limit = UNLIMITED if spec.backoff_limit_per_index is not None else BACKOFF_LIMIT
    labels = spec.template.metadata.labels
    if labels and not obj.metadata.labels:
        obj.metadata.labels = dict(labels)
    if not spec.completion_mode:
        spec.completion_mode = "NonIndexed"
    if spec.suspend is None:
        spec.suspend = False
    if spec.manual_selector is None:
        spec.manual_selector = False
    if spec.pod_replacement_policy is None:
        spec.pod_replacement_policy = "TerminatingOrFailed" if spec.pod_failure_policy is None else "Failed"
    _default_failure_policy(spec)


def _default_failure_policy(spec: JobSpec) -> None:
    if spec.pod_failure_policy is not None:
        for rule in spec.pod_failure_policy.rules:
            for pattern in rule.on_pod_conditions:
                if not pattern.status:
                    pattern.status = "True"


def _cron_job(obj: CronJob) -> None:
    spec = obj.spec
    # Of the Job to come only the pod is defaulted now; the rest is when the Job is made.
    default_pod_spec(spec.job_template.spec.template.spec)
    _default_failure_policy(spec.job_template.spec)
    if not spec.concurrency_policy:
        spec.concurrency_policy = "Allow"
    if spec.suspend is None:
        spec.suspend = False
    if spec.successful_jobs_history_limit is None:
        spec.successful_jobs_history_limit = 3
    if spec.failed_jobs_history_limit is None:
        spec.failed_jobs_history_limit = 1


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {CronJob: _cron_job, Job: _job}
