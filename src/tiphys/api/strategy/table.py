"""One row a kind: whether status is the system's, whether generation counts, and what else a write does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tiphys.api.strategy import claims, jobs, pods, services, system, workloads


def _spec_changed(new: Any, old: Any) -> bool:
    return bool(new.spec != old.spec)


def _spec_or_annotations_changed(new: Any, old: Any) -> bool:
    return bool(new.spec != old.spec or new.metadata.annotations != old.metadata.annotations)


def _template_changed(new: Any, old: Any) -> bool:
    return bool(new.template != old.template)


def _webhooks_changed(new: Any, old: Any) -> bool:
    return bool(new.webhooks != old.webhooks)


def _never(new: Any, old: Any) -> bool:
    return False


def _slice_changed(new: Any, old: Any) -> bool:
    return bool(
        new.endpoints != old.endpoints
        or new.ports != old.ports
        or new.address_type != old.address_type
        or new.metadata.labels != old.metadata.labels
    )


@dataclass(frozen=True, slots=True)
class Strategy:
    """How one kind is written."""

    status: bool = False
    generation: bool = False
    changed: Callable[[Any, Any], bool] = _spec_changed
    create: Callable[[Any, str], None] | None = None
    update: Callable[[Any, Any], None] | None = None
    status_update: Callable[[Any, Any], None] | None = None


_COUNTED: Final = Strategy(status=True, generation=True)
_STATUS: Final = Strategy(status=True)

STRATEGIES: Final[dict[tuple[str, str], Strategy]] = {
    ("core_v1", "Pod"): Strategy(status=True, generation=True, create=pods.create, status_update=pods.status_update),
    ("core_v1", "Service"): Strategy(status=True, create=services.create, update=services.update),
    ("core_v1", "Namespace"): Strategy(status=True, create=system.create_namespace, update=system.update_namespace),
    ("core_v1", "Node"): Strategy(update=system.update_node),
    ("core_v1", "PersistentVolume"): Strategy(status=True, create=claims.create_volume),
    ("core_v1", "PersistentVolumeClaim"): Strategy(status=True, create=claims.create_claim, update=claims.update_claim),
    ("core_v1", "PodTemplate"): Strategy(generation=True, changed=_template_changed),
    ("core_v1", "ReplicationController"): _COUNTED,
    ("core_v1", "ResourceQuota"): _STATUS,
    ("apps_v1", "DaemonSet"): Strategy(
        status=True, generation=True, create=workloads.create_daemon_set, update=workloads.update_daemon_set
    ),
    ("apps_v1", "Deployment"): Strategy(
        status=True,
        generation=True,
        changed=_spec_or_annotations_changed,
        status_update=workloads.update_deployment_status,
    ),
    ("apps_v1", "ReplicaSet"): _COUNTED,
    ("apps_v1", "StatefulSet"): Strategy(status=True, generation=True, create=workloads.create_stateful_set),
    ("batch_v1", "CronJob"): _COUNTED,
    ("batch_v1", "Job"): Strategy(status=True, generation=True, create=jobs.create, update=jobs.update),
    ("autoscaling_v1", "HorizontalPodAutoscaler"): _STATUS,
    ("autoscaling_v2", "HorizontalPodAutoscaler"): _STATUS,
    ("policy_v1", "PodDisruptionBudget"): Strategy(
        status=True, generation=True, create=workloads.create_disruption_budget
    ),
    ("networking_v1", "Ingress"): _COUNTED,
    ("networking_v1", "IngressClass"): Strategy(generation=True),
    ("networking_v1", "NetworkPolicy"): Strategy(generation=True),
    ("networking_v1", "ServiceCIDR"): _STATUS,
    ("discovery_v1", "EndpointSlice"): Strategy(generation=True, changed=_slice_changed),
    ("scheduling_v1", "PriorityClass"): Strategy(generation=True, changed=_never),
    ("storage_v1", "VolumeAttachment"): _STATUS,
    ("certificates_v1", "CertificateSigningRequest"): Strategy(
        status=True, update=system.update_signing_request, status_update=system.update_signing_request_status
    ),
    ("admissionregistration_v1", "ValidatingWebhookConfiguration"): Strategy(
        generation=True, changed=_webhooks_changed
    ),
    ("admissionregistration_v1", "MutatingWebhookConfiguration"): Strategy(generation=True, changed=_webhooks_changed),
    ("admissionregistration_v1", "ValidatingAdmissionPolicy"): _COUNTED,
    ("admissionregistration_v1", "ValidatingAdmissionPolicyBinding"): Strategy(generation=True),
    ("admissionregistration_v1", "MutatingAdmissionPolicy"): Strategy(generation=True),
    ("admissionregistration_v1", "MutatingAdmissionPolicyBinding"): Strategy(generation=True),
    ("apiextensions_v1", "CustomResourceDefinition"): Strategy(
        status=True,
        generation=True,
        create=system.create_definition,
        update=system.update_definition,
        status_update=system.keep_metadata,
    ),
    ("apiregistration_v1", "APIService"): Strategy(status=True, create=system.create_api_service),
    ("flowcontrol_v1", "FlowSchema"): _COUNTED,
    ("flowcontrol_v1", "PriorityLevelConfiguration"): _COUNTED,
    ("resource_v1", "DeviceClass"): Strategy(generation=True),
    ("resource_v1", "ResourceClaim"): Strategy(status=True, status_update=system.keep_metadata),
    ("resource_v1", "ResourceSlice"): Strategy(generation=True, create=system.create_slice),
}
