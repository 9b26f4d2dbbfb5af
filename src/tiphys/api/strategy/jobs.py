"""Jobs: the selector and labels that tie a Job to its pods."""

from __future__ import annotations

from typing import Final

from tiphys.api.types.batch_v1 import Job
from tiphys.api.types.meta_v1 import LabelSelector

CONTROLLER_UID_LABEL: Final = "batch.kubernetes.io/controller-uid"
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID_LABEL: Final = "controller-uid"
LEGACY_JOB_NAME_LABEL: Final = "job-name"


def create(job: Job, now: str) -> None:
    """Select the Job's own pods by its uid, unless the user selects by hand."""
    spec = job.spec
    if not spec.manual_selector:
        _generate_selector(job)
    labels = spec.template.metadata.labels
    if labels and not job.metadata.labels:
        job.metadata.labels = dict(labels)


def _generate_selector(job: Job) -> None:
    uid, name = job.metadata.uid or "", job.metadata.name or ""
    labels = job.spec.template.metadata.labels
    # Values the user set stay, and are refused by validation if they conflict.
    labels.setdefault(LEGACY_JOB_NAME_LABEL, name)
    labels.setdefault(JOB_NAME_LABEL, name)
    labels.setdefault(LEGACY_CONTROLLER_UID_LABEL, uid)
    labels.setdefault(CONTROLLER_UID_LABEL, uid)
    selector = job.spec.selector
    if selector is None:
        selector = job.spec.selector = LabelSelector()
    selector.match_labels.setdefault(CONTROLLER_UID_LABEL, uid)


def update(new: Job, old: Job) -> None:
    """A PUT of the manifest a Job was made from keeps what was generated."""
    if old.spec.manual_selector or new.spec.manual_selector:
        return
    if new.spec.selector is None:
        new.spec.selector = old.spec.selector
        for key, value in old.spec.template.metadata.labels.items():
            if key in (CONTROLLER_UID_LABEL, JOB_NAME_LABEL, LEGACY_CONTROLLER_UID_LABEL, LEGACY_JOB_NAME_LABEL):
                new.spec.template.metadata.labels.setdefault(key, value)
