"""Checks of StatefulSets."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, refuse, required
from tiphys.api.types.apps_v1 import StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy
from tiphys.api.types.core_v1 import PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume
from tiphys.api.validation.claims import check_claim_spec
from tiphys.api.validation.formats import (
    check_at_most_100_percent,
    check_not_negative_or_percent,
    percent_of,
    selector_value,
)
from tiphys.api.validation.metadata import (
    check_annotations,
    check_labels,
    check_metadata,
    check_metadata_update,
    check_not_negative,
)
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.selectors import is_well_formed
from tiphys.api.validation.workloads import (
    check_kept_running,
    check_labels_selected,
    check_not_decremented,
    check_selector,
)

_POLICIES: Final = ("OrderedReady", "Parallel")
_RETENTION: Final = ("Retain", "Delete")
_UPDATABLE: Final = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def validate_stateful_set(obj: StatefulSet) -> list[FieldError]:
    """A new StatefulSet."""
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_label, "metadata", errors)
    _check_spec(obj, errors, is_new=True)
    return errors


def _check_spec(obj: StatefulSet, errors: list[FieldError], *, is_new: bool) -> None:
    spec = obj.spec
    if not spec.pod_management_policy:
        errors.append(required("spec.podManagementPolicy"))
    elif spec.pod_management_policy not in _POLICIES:
        detail = f"must be '{_POLICIES[0]}' or '{_POLICIES[1]}'"
        errors.append(invalid("spec.podManagementPolicy", spec.pod_management_policy, detail))
    _check_strategy(spec.update_strategy, errors)
    retention = spec.persistent_volume_claim_retention_policy
    if retention is not None:
        for value, name in ((retention.when_deleted, "whenDeleted"), (retention.when_scaled, "whenScaled")):
            if value not in _RETENTION:
                where = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
                errors.append(not_supported(where, value or "", _RETENTION))
    if is_new:
        for index, claim in enumerate(spec.volume_claim_templates):
            check_claim_spec(claim.spec, f"spec.volumeClaimTemplates[{index}].spec", errors)
    check_not_negative(spec.replicas, "spec.replicas", errors)
    check_not_negative(spec.min_ready_seconds, "spec.minReadySeconds", errors)
    if spec.ordinals is not None:
        check_not_negative(spec.ordinals.start, "spec.ordinals.start", errors)
    if spec.service_name and is_new:
        refuse(names.dns_label(spec.service_name), spec.service_name, "spec.serviceName", errors)
    check_selector(spec.selector, "spec.selector", errors)
    if not is_well_formed(spec.selector):
        errors.append(invalid("spec.selector", selector_value(spec.selector)))
    else:
        check_labels_selected(spec.selector, spec.template, errors)
        check_template(_as_controlled(spec), "spec.template", errors)
        meta = spec.template.metadata
        check_labels(meta.labels, "spec.template.labels", errors)
        check_annotations(meta.annotations, "spec.template.annotations", errors)
    check_kept_running(spec.template, "StatefulSet", errors)


def _as_controlled(spec: StatefulSetSpec) -> PodTemplateSpec:
    """The template as its pods will be: with the volumes claimed for them, and names of their own."""
    template = spec.template
    claimed = {
        claim.metadata.name or "": Volume(
            name=claim.metadata.name or "",
            persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim.metadata.name or ""),
        )
        for claim in spec.volume_claim_templates
    }
    own = tuple(volume for volume in template.spec.volumes if volume.name not in claimed)
    changed = replace(template.spec, subdomain=None, hostname=None, volumes=(*claimed.values(), *own))
    return replace(template, spec=changed)


def _check_strategy(strategy: StatefulSetUpdateStrategy, errors: list[FieldError]) -> None:
    path = "spec.updateStrategy"
    rolling = strategy.rolling_update
    if not strategy.type:
        errors.append(required(path))
    elif strategy.type == "OnDelete":
        if rolling is not None:
            detail = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(invalid(f"{path}.rollingUpdate", rolling, detail))
    elif strategy.type != "RollingUpdate":
        errors.append(invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"))
    elif rolling is not None:
        check_not_negative(rolling.partition, f"{path}.rollingUpdate.partition", errors)
        if rolling.max_unavailable is not None:
            where = f"{path}.rollingUpdate.maxUnavailable"
            check_not_negative_or_percent(rolling.max_unavailable, where, errors)
            if rolling.max_unavailable == 0 or percent_of(rolling.max_unavailable) == 0:
                errors.append(invalid(where, rolling.max_unavailable, "cannot be 0"))
            check_at_most_100_percent(rolling.max_unavailable, where, errors)


def validate_stateful_set_update(new: StatefulSet, old: StatefulSet) -> list[FieldError]:
    """Replicas, template and how to roll it out may change; the rest makes another set."""
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_spec(new, errors, is_new=False)
    munged = replace(
        new.spec,
        replicas=old.spec.replicas,
        template=old.spec.template,
        update_strategy=old.spec.update_strategy,
        min_ready_seconds=old.spec.min_ready_seconds,
        ordinals=old.spec.ordinals,
        revision_history_limit=old.spec.revision_history_limit,
        persistent_volume_claim_retention_policy=old.spec.persistent_volume_claim_retention_policy,
    )
    if munged != old.spec:
        errors.append(forbidden("spec", _UPDATABLE))
    return errors


def validate_stateful_set_status(new: StatefulSet, old: StatefulSet) -> list[FieldError]:
    """What the controller counted."""
    errors: list[FieldError] = []
    status = new.status
    counts = (
        ("readyReplicas", status.ready_replicas),
        ("currentReplicas", status.current_replicas),
        ("updatedReplicas", status.updated_replicas),
        ("availableReplicas", status.available_replicas),
    )
    check_not_negative(status.replicas, "status.replicas", errors)
    for name, value in counts:
        check_not_negative(value, f"status.{name}", errors)
    check_not_negative(status.observed_generation, "status.observedGeneration", errors)
    check_not_negative(status.collision_count, "status.collisionCount", errors)
    for name, value in counts:
        if (value or 0) > status.replicas:
            errors.append(invalid(f"status.{name}", value, "cannot be greater than status.replicas"))
    if (status.available_replicas or 0) > (status.ready_replicas or 0):
        detail = "cannot be greater than status.readyReplicas"
        errors.append(invalid("status.availableReplicas", status.available_replicas, detail))
    check_metadata_update(new.metadata, old.metadata, errors)
    check_not_decremented(status.collision_count, old.status.collision_count, errors)
    return errors
