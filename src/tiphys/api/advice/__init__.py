"""Warnings: what is allowed and better left, as the API says in Warning headers.

`on_create` and `on_update` are asked after validation found nothing wrong; they are pure and cost little for objects
that give no reason to warn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.advice.kinds import (
    advise_claim,
    advise_cron_job,
    advise_ingress,
    advise_job,
    advise_service,
    advise_storage_class,
    advise_volume,
    advise_workload,
)
from tiphys.api.advice.pods import advise_pod, advise_template
from tiphys.api.types.model import Model

_ADVICE: Final[dict[tuple[str, str], Callable[[Any], list[str]]]] = {
    ("core_v1", "Pod"): advise_pod,
    ("core_v1", "PodTemplate"): lambda obj: advise_template(obj.template, "template"),
    ("core_v1", "ReplicationController"): advise_workload,
    ("core_v1", "Service"): advise_service,
    ("core_v1", "PersistentVolume"): advise_volume,
    ("core_v1", "PersistentVolumeClaim"): advise_claim,
    ("apps_v1", "DaemonSet"): advise_workload,
    ("apps_v1", "Deployment"): advise_workload,
    ("apps_v1", "ReplicaSet"): advise_workload,
    ("apps_v1", "StatefulSet"): advise_workload,
    ("batch_v1", "Job"): advise_job,
    ("batch_v1", "CronJob"): advise_cron_job,
    ("networking_v1", "Ingress"): advise_ingress,
    ("storage_v1", "StorageClass"): advise_storage_class,
}


def on_create(obj: Model) -> list[str]:
    """Texts for Warning headers about a new object."""
    advise = _ADVICE.get((type(obj).__module__.rpartition(".")[2], type(obj).__name__))
    return advise(obj) if advise is not None else []


def on_update(new: Model, old: Model) -> list[str]:
    """Texts for Warning headers about a changed object; what was there before is not warned of again."""
    found = on_create(new)
    if not found or getattr(new, "spec", None) == getattr(old, "spec", None):
        return []
    return found
