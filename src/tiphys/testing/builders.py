"""Objects for tests, with what a test does not care about filled in."""

from __future__ import annotations

import itertools
from typing import Any

from tiphys.api.types.apps_v1 import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    RollingUpdateDeployment,
)
from tiphys.api.types.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodIP,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Service,
    ServicePort,
    ServiceSpec,
    Taint,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from tiphys.client.ownership import controller_ref

CREATED = "2023-11-14T22:00:00Z"
_numbers = itertools.count(1)


def meta(name: str, namespace: str = "default", **fields: Any) -> ObjectMeta:
    """Metadata with a uid of its own."""
    defaults: dict[str, Any] = {"uid": f"{name}-uid-{next(_numbers)}", "creation_timestamp": CREATED}
    return ObjectMeta(name=name, namespace=namespace or None, **{**defaults, **fields})


def template(*, image: str = "nginx", **labels: str) -> PodTemplateSpec:
    """A pod template with one container."""
    spec = PodSpec(containers=(Container(name="main", image=image),), restart_policy="Always")
    return PodTemplateSpec(metadata=ObjectMeta(labels=labels), spec=spec)


def pod(
    name: str,
    *,
    namespace: str = "default",
    owner: Any = None,
    phase: str = "Running",
    ready: bool | None = None,
    node: str = "",
    ip: str = "",
    labels: dict[str, str] | None = None,
    deleting: bool = False,
    ready_since: str = CREATED,
    **fields: Any,
) -> Pod:
    """A pod; ready if it runs unless `ready` says otherwise. `fields` are metadata's."""
    is_ready = phase == "Running" if ready is None else ready
    references: tuple[OwnerReference, ...] = (controller_ref(owner),) if owner is not None else ()
    condition = PodCondition(type="Ready", status="True" if is_ready else "False", last_transition_time=ready_since)
    return Pod(
        metadata=meta(
            name,
            namespace,
            labels=labels or {},
            owner_references=references,
            **{"deletion_timestamp": "2023-11-14T22:13:00Z" if deleting else None, **fields},
        ),
        spec=PodSpec(containers=(Container(name="main", image="nginx"),), node_name=node or None),
        status=PodStatus(
            phase=phase, conditions=(condition,), pod_ip=ip or None, pod_ips=(PodIP(ip=ip),) if ip else ()
        ),
    )


def node(
    name: str,
    *,
    ready: str = "True",
    taints: tuple[Taint, ...] = (),
    labels: dict[str, str] | None = None,
    pod_cidr: str = "",
    unschedulable: bool = False,
) -> Node:
    """A node; `ready` is its Ready condition's status, empty for one that never reported."""
    condition = NodeCondition(type="Ready", status=ready, last_heartbeat_time=CREATED, last_transition_time=CREATED)
    return Node(
        metadata=meta(name, "", labels=labels or {}),
        spec=NodeSpec(taints=taints, pod_cidr=pod_cidr or None, unschedulable=unschedulable or None),
        status=NodeStatus(conditions=(condition,) if ready else ()),
    )


def deployment(
    name: str = "web",
    *,
    replicas: int = 3,
    max_surge: int | str = "25%",
    max_unavailable: int | str = "25%",
    recreate: bool = False,
    image: str = "nginx",
    **fields: Any,
) -> Deployment:
    """A Deployment as the apiserver stores it; `fields` are the spec's."""
    rolling = RollingUpdateDeployment(max_surge=max_surge, max_unavailable=max_unavailable)
    strategy = (
        DeploymentStrategy(type="Recreate")
        if recreate
        else DeploymentStrategy(type="RollingUpdate", rolling_update=rolling)
    )
    spec: dict[str, Any] = {
        "replicas": replicas,
        "selector": LabelSelector(match_labels={"app": name}),
        "template": template(image=image, app=name),
        "strategy": strategy,
        "progress_deadline_seconds": 600,
        "revision_history_limit": 10,
    }
    return Deployment(metadata=meta(name, generation=1), spec=DeploymentSpec(**{**spec, **fields}))


def replica_set(name: str = "web", *, replicas: int = 3, **fields: Any) -> ReplicaSet:
    """A ReplicaSet as the apiserver stores it; `fields` are metadata's."""
    spec = ReplicaSetSpec(
        replicas=replicas, selector=LabelSelector(match_labels={"app": name}), template=template(app=name)
    )
    return ReplicaSet(metadata=meta(name, **{"generation": 1, **fields}), spec=spec)


def service(name: str = "web", *, selector: dict[str, str] | None = None, **fields: Any) -> Service:
    """A Service of port 80; `fields` are the spec's."""
    spec: dict[str, Any] = {
        "selector": {"app": name} if selector is None else selector,
        "ports": (ServicePort(port=80, protocol="TCP", target_port=80),),
        "cluster_ip": "10.96.0.7",
        "cluster_ips": ("10.96.0.7",),
        "ip_families": ("IPv4",),
        "type": "ClusterIP",
    }
    return Service(metadata=meta(name), spec=ServiceSpec(**{**spec, **fields}))
