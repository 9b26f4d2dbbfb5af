"""The metrics server with a cluster's settings, and the objects by which an apiserver finds it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tiphys.api.types.apiregistration_v1 import APIService, APIServiceSpec, ServiceReference
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import aggregation_pki
from tiphys.cmd.config import ClusterConfig
from tiphys.metrics.config import NAMESPACE, PORT_NAME, SERVICE, MetricsServerConfig
from tiphys.metrics.objects import GROUP, VERSION
from tiphys.metrics.server import MetricsServer

_LABELS: Final = {"k8s-app": SERVICE}
_RBAC: Final = "rbac.authorization.k8s.io"
_AGGREGATE: Final = {f"{_RBAC}/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")}
_READER: Final = "extension-apiserver-authentication-reader"
_SUBJECTS: Final = (Subject(kind="ServiceAccount", name=SERVICE, namespace=NAMESPACE),)
_READ: Final = ("get", "list", "watch")


def metrics_server(client: Client, config: ClusterConfig, credentials: Path) -> MetricsServer:
    """One instance, reached at this machine's address. `credentials` is the kubeconfig of `client`."""
    serving = aggregation_pki.ensure(config, datetime.now(UTC)).metrics_server
    return MetricsServer(
        client,
        MetricsServerConfig(
            identity=config.node_name,
            address=config.node_ip,
            certificate=serving.certificate,
            key=serving.key,
            kubelet_access=kubeconfig.load(credentials),
        ),
    )


def objects(config: ClusterConfig) -> Iterator[Any]:
    """What upstream's manifest has but for the Deployment: here the server is a component, and no pod."""
    yield ClusterRole(
        metadata=ObjectMeta(name="system:aggregated-metrics-reader", labels={**_LABELS, **_AGGREGATE}),
        rules=(PolicyRule(verbs=_READ, api_groups=(GROUP,), resources=("pods", "nodes")),),
    )
    yield ClusterRole(
        metadata=ObjectMeta(name="system:metrics-server", labels=dict(_LABELS)),
        rules=(
            PolicyRule(verbs=("get",), api_groups=("",), resources=("nodes/metrics",)),
            PolicyRule(verbs=_READ, api_groups=("",), resources=("pods", "nodes")),
        ),
    )
    yield _cluster_binding("system:metrics-server", "system:metrics-server")
    yield _cluster_binding("metrics-server:system:auth-delegator", "system:auth-delegator")
    yield _binding("metrics-server-auth-reader", _READER)
    # The server is its own endpoint, at the address and port of its process.
    yield Role(
        metadata=ObjectMeta(name="tiphys:metrics-server", namespace=NAMESPACE, labels=dict(_LABELS)),
        rules=(
            PolicyRule(
                verbs=(*_READ, "create", "update", "delete"),
                api_groups=("discovery.k8s.io",),
                resources=("endpointslices",),
            ),
        ),
    )
    yield _binding("tiphys:metrics-server", "tiphys:metrics-server")
    yield Service(
        metadata=ObjectMeta(name=SERVICE, namespace=NAMESPACE, labels=dict(_LABELS)),
        spec=ServiceSpec(ports=(ServicePort(name=PORT_NAME, port=443, protocol="TCP", target_port=PORT_NAME),)),
    )
    ca = aggregation_pki.ensure(config, datetime.now(UTC)).ca
    yield APIService(
        metadata=ObjectMeta(name=f"{VERSION}.{GROUP}", labels=dict(_LABELS)),
        spec=APIServiceSpec(
            group=GROUP,
            version=VERSION,
            group_priority_minimum=100,
            version_priority=100,
            service=ServiceReference(name=SERVICE, namespace=NAMESPACE),
            ca_bundle=base64.b64encode(ca).decode("ascii"),
        ),
    )


def _cluster_binding(name: str, role: str) -> ClusterRoleBinding:
    reference = RoleRef(api_group=_RBAC, kind="ClusterRole", name=role)
    return ClusterRoleBinding(
        metadata=ObjectMeta(name=name, labels=dict(_LABELS)), role_ref=reference, subjects=_SUBJECTS
    )


def _binding(name: str, role: str) -> RoleBinding:
    reference = RoleRef(api_group=_RBAC, kind="Role", name=role)
    meta = ObjectMeta(name=name, namespace=NAMESPACE, labels=dict(_LABELS))
    return RoleBinding(metadata=meta, role_ref=reference, subjects=_SUBJECTS)
