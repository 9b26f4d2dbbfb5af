"""Objects every cluster of ours has beyond upstream's bootstrap: the DNS Service and what its server may do."""

from __future__ import annotations

from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject
from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig

DNS_NAMESPACE: Final = "kube-system"
DNS_SERVICE: Final = "kube-dns"
_DNS_ROLE: Final = "tiphys:dns"


async def ensure_addons(client: Client, config: ClusterConfig) -> None:
    """Create what is missing; what a user changed stays. Raises ApiError."""
    for obj in (_dns_service(config), _dns_role(), _dns_binding()):
        try:
            await client.create(obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


def _dns_service(config: ClusterConfig) -> Service:
    return Service(
        metadata=ObjectMeta(
            name=DNS_SERVICE,
            namespace=DNS_NAMESPACE,
            labels={"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        ),
        spec=ServiceSpec(
            cluster_ip=config.dns_service_ip,
            ports=(
                ServicePort(name="dns", port=53, protocol="UDP"),
                ServicePort(name="dns-tcp", port=53, protocol="TCP"),
            ),
        ),
    )


def _dns_role() -> ClusterRole:
    watch = ("get", "list", "watch")
    return ClusterRole(
        metadata=ObjectMeta(name=_DNS_ROLE),
        rules=(
            PolicyRule(api_groups=("",), resources=("services", "nodes"), verbs=watch),
            PolicyRule(
                api_groups=("discovery.k8s.io",), resources=("endpointslices",), verbs=(*watch, "create", "update")
            ),
        ),
    )


def _dns_binding() -> ClusterRoleBinding:
    return ClusterRoleBinding(
        metadata=ObjectMeta(name=_DNS_ROLE),
        role_ref=RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=_DNS_ROLE),
        subjects=(Subject(kind="ServiceAccount", name="kube-dns", namespace=DNS_NAMESPACE),),
    )
