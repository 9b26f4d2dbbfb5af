"""Warnings about kinds other than Pods."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.advice.pods import advise_storage, advise_template, advise_terms
from tiphys.api.field_errors import quote
from tiphys.api.types.batch_v1 import CronJob, Job
from tiphys.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Service
from tiphys.api.types.networking_v1 import Ingress
from tiphys.api.types.storage_v1 import StorageClass

_POD_NAMES: Final = (
    "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended"
)
_CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
_CLASS_ADVICE: Final = (
    f'metadata.annotations[{_CLASS_ANNOTATION}]: deprecated since v1.8; use "storageClassName" attribute instead'
)
_INGRESS_ANNOTATION: Final = "kubernetes.io/ingress.class"
_JOB_COMPLETIONS_MAXIMUM: Final = 100_000
_JOB_PARALLELISM_MAXIMUM: Final = 10_000


def advise_workload(obj: Any) -> list[str]:
    """Names that become hosts' names, and the template."""
    found = _advise_name(obj.metadata.name or "")
    found += advise_template(obj.spec.template, "spec.template")
    return found


def _advise_name(name: str) -> list[str]:
    messages = names.dns_label(name)
    return [f"metadata.name: {_POD_NAMES}: [{' '.join(messages)}]"] if messages else []


def advise_job(obj: Job) -> list[str]:
    """Jobs too large for some of what they ask for."""
    found = _advise_name(obj.metadata.name or "")
    found += advise_template(obj.spec.template, "spec.template")
    completions = obj.spec.completions or 0
    parallelism = obj.spec.parallelism or 0
    if (
        obj.spec.completion_mode == "Indexed"
        and completions > _JOB_COMPLETIONS_MAXIMUM
        and parallelism > _JOB_PARALLELISM_MAXIMUM
    ):
        found.append(
            "spec.completions: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher "
            "than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    return found


def advise_cron_job(obj: CronJob) -> list[str]:
    """The Jobs to come."""
    found = _advise_name(obj.metadata.name or "")
    found += advise_template(obj.spec.job_template.spec.template, "spec.jobTemplate.spec.template")
    return found


def advise_service(obj: Service) -> list[str]:
    """Settings that a headless Service ignores."""
    spec = obj.spec
    found: list[str] = []
    if spec.cluster_ip == "None":
        if spec.session_affinity == "ClientIP":
            found.append("spec.SessionAffinity is ignored for headless services")
        if spec.load_balancer_ip:
            found.append("spec.loadBalancerIP is ignored for headless services")
        if spec.external_ips:
            found.append("spec.externalIPs is ignored for headless services")
        if spec.external_name:
            found.append("spec.externalName is ignored for headless services")
    if spec.type == "ExternalName" and spec.external_ips:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    return found


def advise_volume(obj: PersistentVolume) -> list[str]:
    """Policies, labels and annotations of the past."""
    found: list[str] = []
    if _CLASS_ANNOTATION in obj.metadata.annotations:
        found.append(_CLASS_ADVICE)
    if obj.spec.persistent_volume_reclaim_policy == "Recycle":
        found.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    affinity = obj.spec.node_affinity
    if affinity is not None and affinity.required is not None:
        advise_terms(affinity.required.node_selector_terms, "spec.nodeAffinity.required.nodeSelectorTerms", found)
    advise_storage(obj.spec.capacity, "spec.capacity", found)
    return found


def advise_claim(obj: PersistentVolumeClaim) -> list[str]:
    """Annotations of the past and fractions of bytes."""
    found: list[str] = []
    if _CLASS_ANNOTATION in obj.metadata.annotations:
        found.append(_CLASS_ADVICE)
    advise_storage(obj.spec.resources.requests, "spec.resources.requests", found)
    return found


def advise_ingress(obj: Ingress) -> list[str]:
    """The annotation from before there was a field."""
    if _INGRESS_ANNOTATION in obj.metadata.annotations:
        return [f"annotation {quote(_INGRESS_ANNOTATION)} is deprecated, please use 'spec.ingressClassName' instead"]
    return []


def advise_storage_class(obj: StorageClass) -> list[str]:
    """Deprecated labels in topologies."""
    found: list[str] = []
    for index, term in enumerate(obj.allowed_topologies):
        for position, expression in enumerate(term.match_label_expressions):
            if expression.key.startswith("failure-domain.beta.kubernetes.io/"):
                part = expression.key.rpartition("/")[2]
                found.append(
                    f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: {expression.key} is deprecated "
                    f'since v1.17; use "topology.kubernetes.io/{part}" instead'
                )
    return found
