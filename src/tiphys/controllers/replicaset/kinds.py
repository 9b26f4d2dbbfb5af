"""The two kinds of sets seen as one: how to read what they ask for and write what they are told."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tiphys.api.selectors import Selector, from_label_selector, from_labels
from tiphys.api.types.apps_v1 import ReplicaSet, ReplicaSetStatus
from tiphys.api.types.core_v1 import (
    ReplicationController,
    ReplicationControllerCondition,
    ReplicationControllerStatus,
)
from tiphys.controllers.replicaset.reconcile import Desired


class SetKind(Protocol):
    """What the controller needs to know of a kind of set."""

    type: type[Any]
    controller: str
    component: str

    def selector(self, owner: Any) -> Selector: ...

    def desired(self, owner: Any) -> Desired: ...

    def status_of(self, owner: Any) -> ReplicaSetStatus: ...

    def with_status(self, owner: Any, status: ReplicaSetStatus) -> Any: ...


class ReplicaSets:
    type: type[Any] = ReplicaSet
    controller = "replicaset-controller"
    component = "replicaset-controller"

    def selector(self, owner: ReplicaSet) -> Selector:
        return from_label_selector(owner.spec.selector)

    def desired(self, owner: ReplicaSet) -> Desired:
        spec = owner.spec
        replicas = 1 if spec.replicas is None else spec.replicas
        return Desired(replicas, spec.min_ready_seconds or 0, spec.template, owner.metadata.generation or 0)

    def status_of(self, owner: ReplicaSet) -> ReplicaSetStatus:
        return owner.status

    def with_status(self, owner: ReplicaSet, status: ReplicaSetStatus) -> ReplicaSet:
        return msgspec.structs.replace(owner, status=status)


class ReplicationControllers:
    type: type[Any] = ReplicationController
    controller = "replicationcontroller-controller"
    component = "replication-controller"

    def selector(self, owner: ReplicationController) -> Selector:
        return from_labels(owner.spec.selector)

    def desired(self, owner: ReplicationController) -> Desired:
        spec = owner.spec
        replicas = 1 if spec.replicas is None else spec.replicas
        return Desired(replicas, spec.min_ready_seconds or 0, spec.template, owner.metadata.generation or 0)

    def status_of(self, owner: ReplicationController) -> ReplicaSetStatus:
        fields = msgspec.structs.asdict(owner.status)
        return ReplicaSetStatus(**fields)

    def with_status(self, owner: ReplicationController, status: ReplicaSetStatus) -> ReplicationController:
        fields = msgspec.structs.asdict(status)
        fields.pop("terminating_replicas")
        fields["conditions"] = tuple(
            ReplicationControllerCondition(**msgspec.structs.asdict(condition)) for condition in status.conditions
        )
        return msgspec.structs.replace(owner, status=ReplicationControllerStatus(**fields))
