"""Defaults of the workload kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tiphys.api.defaulting.core_v1 import default_persistent_volume_claim
from tiphys.api.defaulting.pod_spec import default_pod_spec
from tiphys.api.types.apps_v1 import (
    DaemonSet,
    Deployment,
    ReplicaSet,
    RollingUpdateDaemonSet,
    RollingUpdateDeployment,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
)

REVISION_HISTORY_LIMIT: Final = 10
PROGRESS_DEADLINE_SECONDS: Final = 600


def _deployment(obj: Deployment) -> None:
    spec = obj.spec
    default_pod_spec(spec.template.spec)
    if spec.replicas is None:
        spec.replicas = 1
    strategy = spec.strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateDeployment()
        if strategy.rolling_update.max_unavailable is None:
            strategy.rolling_update.max_unavailable = "25%"
        if strategy.rolling_update.max_surge is None:
            strategy.rolling_update.max_surge = "25%"
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISION_HISTORY_LIMIT
    if spec.progress_deadline_seconds is None:
        spec.progress_deadline_seconds = PROGRESS_DEADLINE_SECONDS


def _replica_set(obj: ReplicaSet) -> None:
    default_pod_spec(obj.spec.template.spec)
    if obj.spec.replicas is None:
        obj.spec.replicas = 1


def _daemon_set(obj: DaemonSet) -> None:
    spec = obj.spec
    default_pod_spec(spec.template.spec)
    strategy = spec.update_strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
    if strategy.type == "RollingUpdate":
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateDaemonSet()
        if strategy.rolling_update.max_unavailable is None:
            strategy.rolling_update.max_unavailable = 1
        if strategy.rolling_update.max_surge is None:
            strategy.rolling_update.max_surge = 0
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISION_HISTORY_LIMIT


def _stateful_set(obj: StatefulSet) -> None:
    spec = obj.spec
    default_pod_spec(spec.template.spec)
    for claim in spec.volume_claim_templates:
        default_persistent_volume_claim(claim)
    if not spec.pod_management_policy:
        spec.pod_management_policy = "OrderedReady"
    strategy = spec.update_strategy
    if not strategy.type:
        strategy.type = "RollingUpdate"
        if strategy.rolling_update is None:
            strategy.rolling_update = RollingUpdateStatefulSetStrategy()
    if (
        strategy.type == "RollingUpdate"
        and strategy.rolling_update is not None
        and (strategy.rolling_update.partition is None)
    ):
        strategy.rolling_update.partition = 0
    retention = spec.persistent_volume_claim_retention_policy
    if retention is None:
        retention = spec.persistent_volume_claim_retention_policy = StatefulSetPersistentVolumeClaimRetentionPolicy()
    if not retention.when_deleted:
        retention.when_deleted = "Retain"
    if not retention.when_scaled:
        retention.when_scaled = "Retain"
    if spec.replicas is None:
        spec.replicas = 1
    if spec.revision_history_limit is None:
        spec.revision_history_limit = REVISION_HISTORY_LIMIT
    if obj.status.available_replicas is None:
        # The field has no omitempty upstream: it is on the wire even when nothing is available.
        obj.status.available_replicas = 0


DEFAULTS: Final[dict[type, Callable[[Any], None]]] = {
    DaemonSet: _daemon_set,
    Deployment: _deployment,
    ReplicaSet: _replica_set,
    StatefulSet: _stateful_set,
}
