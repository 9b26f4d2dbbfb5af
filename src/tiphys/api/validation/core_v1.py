"""The checks of the core group, each kind in a module of its own but for the smallest."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.types.core_v1 import (
    Binding,
    ConfigMap,
    Endpoints,
    Event,
    LimitRange,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodTemplate,
    ReplicationController,
    ReplicationControllerSpec,
    ResourceQuota,
    Secret,
    Service,
)
from tiphys.api.validation.claims import validate_claim, validate_claim_status, validate_claim_update
from tiphys.api.validation.data import (
    validate_config_map,
    validate_config_map_update,
    validate_secret,
    validate_secret_update,
)
from tiphys.api.validation.endpoints import validate_endpoints, validate_endpoints_update
from tiphys.api.validation.events import validate_event, validate_event_update
from tiphys.api.validation.metadata import check_metadata, check_metadata_update, check_not_negative
from tiphys.api.validation.nodes import (
    validate_namespace,
    validate_namespace_finalize,
    validate_namespace_status,
    validate_namespace_update,
    validate_node,
    validate_node_status,
    validate_node_update,
)
from tiphys.api.validation.persistent_volumes import (
    validate_persistent_volume,
    validate_persistent_volume_status,
    validate_persistent_volume_update,
)
from tiphys.api.validation.pod_parts import validate_ephemeral_containers_update, validate_resize
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.pod_status import validate_pod_status
from tiphys.api.validation.pods import validate_binding, validate_pod, validate_pod_update
from tiphys.api.validation.quotas import (
    validate_limit_range,
    validate_limit_range_update,
    validate_resource_quota,
    validate_resource_quota_status,
    validate_resource_quota_update,
)
from tiphys.api.validation.service_status import validate_service_status
from tiphys.api.validation.services import validate_service, validate_service_update


def _replication_controller(obj: ReplicationController) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_controller_spec(obj.spec, errors)
    return errors


def _check_controller_spec(spec: ReplicationControllerSpec, errors: list[FieldError]) -> None:
    check_not_negative(spec.min_ready_seconds, "spec.minReadySeconds", errors)
    if not spec.selector:
        errors.append(required("spec.selector"))
    check_not_negative(spec.replicas, "spec.replicas", errors)
    if spec.template is None:
        errors.append(required("spec.template"))
        return
    labels = spec.template.metadata.labels
    if spec.selector and any(labels.get(key) != value for key, value in spec.selector.items()):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", dict(sorted(labels.items())) or None, detail))
    check_template(spec.template, "spec.template", errors)
    if spec.template.spec.restart_policy != "Always":
        where = "spec.template.spec.restartPolicy"
        errors.append(not_supported(where, spec.template.spec.restart_policy or "", ("Always",)))
    if spec.template.spec.active_deadline_seconds is not None:
        where = "spec.template.spec.activeDeadlineSeconds"
        errors.append(forbidden(where, "activeDeadlineSeconds in ReplicationController is not Supported"))


def _replication_controller_update(new: ReplicationController, old: ReplicationController) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_controller_spec(new.spec, errors)
    return errors


def _replication_controller_status(new: ReplicationController, old: ReplicationController) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    for value, name in (
        (status.replicas, "replicas"),
        (status.fully_labeled_replicas, "fullyLabeledReplicas"),
        (status.ready_replicas, "readyReplicas"),
        (status.available_replicas, "availableReplicas"),
        (status.observed_generation, "observedGeneration"),
    ):
        check_not_negative(value, f"status.{name}", errors)
        if name.endswith("Replicas") and (value or 0) > status.replicas:
            errors.append(invalid(f"status.{name}", value, "cannot be greater than status.replicas"))
    if (status.available_replicas or 0) > (status.ready_replicas or 0):
        detail = "cannot be greater than readyReplicas"
        errors.append(invalid("status.availableReplicas", status.available_replicas, detail))
    return errors


def _pod_template(obj: PodTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_template(obj.template, "template", errors)
    return errors


def _pod_template_update(new: PodTemplate, old: PodTemplate) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_template(new.template, "template", errors)
    return errors


CREATE: Final[dict[type, Any]] = {
    Binding: validate_binding,
    ConfigMap: validate_config_map,
    Endpoints: validate_endpoints,
    Event: validate_event,
    LimitRange: validate_limit_range,
    Namespace: validate_namespace,
    Node: validate_node,
    PersistentVolume: validate_persistent_volume,
    PersistentVolumeClaim: validate_claim,
    Pod: validate_pod,
    PodTemplate: _pod_template,
    ReplicationController: _replication_controller,
    ResourceQuota: validate_resource_quota,
    Secret: validate_secret,
    Service: validate_service,
}
UPDATE: Final[dict[type, Any]] = {
    ConfigMap: validate_config_map_update,
    Endpoints: validate_endpoints_update,
    Event: validate_event_update,
    LimitRange: validate_limit_range_update,
    Namespace: validate_namespace_update,
    Node: validate_node_update,
    PersistentVolume: validate_persistent_volume_update,
    PersistentVolumeClaim: validate_claim_update,
    Pod: validate_pod_update,
    PodTemplate: _pod_template_update,
    ReplicationController: _replication_controller_update,
    ResourceQuota: validate_resource_quota_update,
    Secret: validate_secret_update,
    Service: validate_service_update,
}
STATUS: Final[dict[type, Any]] = {
    Namespace: validate_namespace_status,
    Node: validate_node_status,
    PersistentVolume: validate_persistent_volume_status,
    PersistentVolumeClaim: validate_claim_status,
    Pod: validate_pod_status,
    ReplicationController: _replication_controller_status,
    ResourceQuota: validate_resource_quota_status,
    Service: validate_service_status,
}
PARTS: Final[dict[type, dict[str, Any]]] = {
    Namespace: {"finalize": validate_namespace_finalize},
    Pod: {"ephemeralcontainers": validate_ephemeral_containers_update, "resize": validate_resize},
}
