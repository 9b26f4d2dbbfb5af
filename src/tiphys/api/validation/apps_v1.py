"""Checks of the workload kinds."""

from __future__ import annotations

from typing import Any, Final

from tiphys.api import names
from tiphys.api.field_errors import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.types.apps_v1 import (
    ControllerRevision,
    DaemonSet,
    Deployment,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    StatefulSet,
)
from tiphys.api.validation.formats import (
    check_at_most_100_percent,
    check_not_negative_or_percent,
    percent_of,
    selector_value,
)
from tiphys.api.validation.metadata import (
    check_immutable,
    check_metadata,
    check_metadata_update,
    check_not_negative,
)
from tiphys.api.validation.pod_spec import check_template
from tiphys.api.validation.selectors import check_label_selector, is_well_formed
from tiphys.api.validation.stateful_sets import (
    validate_stateful_set,
    validate_stateful_set_status,
    validate_stateful_set_update,
)
from tiphys.api.validation.workloads import (
    check_kept_running,
    check_labels_selected,
    check_not_decremented,
    check_selected_template,
    check_selector,
)

_STRATEGIES: Final = ("Recreate", "RollingUpdate")
_PROGRESS: Final = "must be greater than minReadySeconds"


def _deployment(obj: Deployment) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_deployment(obj, errors)
    return errors


def _check_deployment(obj: Deployment, errors: list[FieldError]) -> None:
    spec = obj.spec
    check_not_negative(spec.replicas, "spec.replicas", errors)
    check_selector(spec.selector, "spec.selector", errors)
    # A Deployment's template is a ReplicaSet's, and is refused as such.
    check_selected_template(spec.selector, spec.template, "ReplicaSet", errors)
    _check_strategy(spec.strategy, errors)
    check_not_negative(spec.min_ready_seconds, "spec.minReadySeconds", errors)
    check_not_negative(spec.revision_history_limit, "spec.revisionHistoryLimit", errors)
    deadline = spec.progress_deadline_seconds
    if deadline is not None:
        check_not_negative(deadline, "spec.progressDeadlineSeconds", errors)
        if deadline <= (spec.min_ready_seconds or 0):
            errors.append(invalid("spec.progressDeadlineSeconds", deadline, _PROGRESS))


def _check_strategy(strategy: DeploymentStrategy, errors: list[FieldError]) -> None:
    path = "spec.strategy.rollingUpdate"
    if strategy.type == "Recreate":
        if strategy.rolling_update is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(forbidden(path, detail))
    elif strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            errors.append(required(path, "this should be defaulted and never be nil"))
        else:
            surge, unavailable = strategy.rolling_update.max_surge, strategy.rolling_update.max_unavailable
            check_not_negative_or_percent(unavailable, f"{path}.maxUnavailable", errors)
            check_not_negative_or_percent(surge, f"{path}.maxSurge", errors)
            if _is_zero(unavailable) and _is_zero(surge):
                errors.append(invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
            check_at_most_100_percent(unavailable, f"{path}.maxUnavailable", errors)
    else:
        value = {"Type": strategy.type or "", "RollingUpdate": strategy.rolling_update}
        errors.append(not_supported("spec.strategy", value, _STRATEGIES))


def _is_zero(value: int | str | None) -> bool:
    """Whether upstream reads a number or percentage as nothing; garbage counts as nothing."""
    if isinstance(value, str):
        return not percent_of(value)
    return not value


def _deployment_update(new: Deployment, old: Deployment) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_deployment(new, errors)
    _check_same_selector(new, old, errors)
    return errors


def _check_same_selector(new: Any, old: Any, errors: list[FieldError]) -> None:
    if new.spec.selector != old.spec.selector:
        errors.append(invalid("spec.selector", selector_value(new.spec.selector), "field is immutable"))


def _deployment_status(new: Deployment, old: Deployment) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    _check_counts(
        (
            ("observedGeneration", status.observed_generation),
            ("replicas", status.replicas),
            ("updatedReplicas", status.updated_replicas),
            ("readyReplicas", status.ready_replicas),
            ("availableReplicas", status.available_replicas),
            ("unavailableReplicas", status.unavailable_replicas),
            ("terminatingReplicas", status.terminating_replicas),
            ("collisionCount", status.collision_count),
        ),
        errors,
    )
    total = status.replicas or 0
    for name, value in (
        ("updatedReplicas", status.updated_replicas or 0),
        ("readyReplicas", status.ready_replicas or 0),
        ("availableReplicas", status.available_replicas or 0),
    ):
        if value > total:
            errors.append(invalid(f"status.{name}", value, "cannot be greater than status.replicas"))
    if (status.available_replicas or 0) > (status.ready_replicas or 0):
        detail = "cannot be greater than readyReplicas"
        errors.append(invalid("status.availableReplicas", status.available_replicas, detail))
    check_not_decremented(status.collision_count, old.status.collision_count, errors)
    return errors


def _check_counts(counts: tuple[tuple[str, int | None], ...], errors: list[FieldError]) -> None:
    for name, value in counts:
        check_not_negative(value, f"status.{name}", errors)


def _replica_set(obj: ReplicaSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_replica_set(obj.spec, errors)
    return errors


def _check_replica_set(spec: ReplicaSetSpec, errors: list[FieldError]) -> None:
    check_not_negative(spec.replicas, "spec.replicas", errors)
    check_not_negative(spec.min_ready_seconds, "spec.minReadySeconds", errors)
    check_selector(spec.selector, "spec.selector", errors)
    check_selected_template(spec.selector, spec.template, "ReplicaSet", errors)


def _replica_set_update(new: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_replica_set(new.spec, errors)
    _check_same_selector(new, old, errors)
    return errors


def _replica_set_status(new: ReplicaSet, old: ReplicaSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    counts = (
        ("fullyLabeledReplicas", status.fully_labeled_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
    )
    _check_counts(
        (
            ("replicas", status.replicas),
            *counts,
            ("observedGeneration", status.observed_generation),
            ("terminatingReplicas", status.terminating_replicas),
        ),
        errors,
    )
    for name, value in counts:
        if (value or 0) > status.replicas:
            errors.append(invalid(f"status.{name}", value, "cannot be greater than status.replicas"))
    if (status.available_replicas or 0) > (status.ready_replicas or 0):
        detail = "cannot be greater than readyReplicas"
        errors.append(invalid("status.availableReplicas", status.available_replicas, detail))
    return errors


def _daemon_set(obj: DaemonSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    _check_daemon_set(obj, errors)
    return errors


def _check_daemon_set(obj: DaemonSet, errors: list[FieldError]) -> None:
    spec = obj.spec
    check_label_selector(spec.selector, "spec.selector", errors)
    if is_well_formed(spec.selector):
        check_labels_selected(spec.selector, spec.template, errors)
    check_template(spec.template, "spec.template", errors)
    check_kept_running(spec.template, "DaemonSet", errors)
    check_not_negative(spec.min_ready_seconds, "spec.minReadySeconds", errors)
    strategy = spec.update_strategy
    path = "spec.updateStrategy"
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            errors.append(required(f"{path}.rollingUpdate"))
        else:
            surge, unavailable = strategy.rolling_update.max_surge, strategy.rolling_update.max_unavailable
            where = f"{path}.rollingUpdate"
            check_not_negative_or_percent(unavailable, f"{where}.maxUnavailable", errors)
            check_not_negative_or_percent(surge, f"{where}.maxSurge", errors)
            check_at_most_100_percent(unavailable, f"{where}.maxUnavailable", errors)
            check_at_most_100_percent(surge, f"{where}.maxSurge", errors)
            if not _is_zero(surge) and not _is_zero(unavailable):
                detail = "may not be set when maxUnavailable is non-zero"
                errors.append(invalid(f"{where}.maxSurge", surge, detail))
            elif _is_zero(surge) and _is_zero(unavailable):
                detail = "cannot be 0 when maxSurge is 0"
                errors.append(required(f"{where}.maxUnavailable", detail))
    elif strategy.type != "OnDelete":
        value = {"Type": strategy.type or "", "RollingUpdate": strategy.rolling_update}
        errors.append(not_supported(path, value, ("RollingUpdate", "OnDelete")))
    check_not_negative(spec.revision_history_limit, "spec.revisionHistoryLimit", errors)


def _daemon_set_update(new: DaemonSet, old: DaemonSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    _check_same_selector(new, old, errors)
    _check_daemon_set(new, errors)
    return errors


def _daemon_set_status(new: DaemonSet, old: DaemonSet) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    status = new.status
    _check_counts(
        (
            ("currentNumberScheduled", status.current_number_scheduled),
            ("numberMisscheduled", status.number_misscheduled),
            ("desiredNumberScheduled", status.desired_number_scheduled),
            ("numberReady", status.number_ready),
            ("observedGeneration", status.observed_generation),
            ("updatedNumberScheduled", status.updated_number_scheduled),
            ("numberAvailable", status.number_available),
            ("numberUnavailable", status.number_unavailable),
            ("collisionCount", status.collision_count),
        ),
        errors,
    )
    check_not_decremented(status.collision_count, old.status.collision_count, errors)
    return errors


def _controller_revision(obj: ControllerRevision) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata(obj.metadata, True, names.dns_subdomain, "metadata", errors)
    check_not_negative(obj.revision, "revision", errors)
    if obj.data is None:
        errors.append(required("data", "data is mandatory"))
    elif not isinstance(obj.data, dict):
        errors.append(required("data", "data must be a valid JSON object"))
    return errors


def _controller_revision_update(new: ControllerRevision, old: ControllerRevision) -> list[FieldError]:
    errors: list[FieldError] = []
    check_metadata_update(new.metadata, old.metadata, errors)
    check_metadata(new.metadata, True, names.dns_subdomain, "metadata", errors)
    check_not_negative(new.revision, "revision", errors)
    check_immutable(new.data, old.data, "data", errors)
    return errors


CREATE: Final[dict[type, Any]] = {
    ControllerRevision: _controller_revision,
    DaemonSet: _daemon_set,
    Deployment: _deployment,
    ReplicaSet: _replica_set,
    StatefulSet: validate_stateful_set,
}
UPDATE: Final[dict[type, Any]] = {
    ControllerRevision: _controller_revision_update,
    DaemonSet: _daemon_set_update,
    Deployment: _deployment_update,
    ReplicaSet: _replica_set_update,
    StatefulSet: validate_stateful_set_update,
}
STATUS: Final[dict[type, Any]] = {
    DaemonSet: _daemon_set_status,
    Deployment: _deployment_status,
    ReplicaSet: _replica_set_status,
    StatefulSet: validate_stateful_set_status,
}
