"""Objects every cluster of ours has beyond upstream's bootstrap: Services, storage, Ingress, pod groups."""

from __future__ import annotations

from typing import Final

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Service, ServicePort, ServiceSpec
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.storage_v1 import StorageClass
from tiphys.client.client import Client
from tiphys.cmd import metrics_server, pod_groups, settings
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.storage import local_path_class

DNS_NAMESPACE: Final = "kube-system"
DNS_SERVICE: Final = "kube-dns"


async def ensure_addons(client: Client, config: ClusterConfig) -> None:
    """Create what is missing; what a user changed stays. Raises ApiError."""
    classes = (await client.list(StorageClass)).items
    wanted = [_dns_service(config), local_path_class(classes), *metrics_server.objects(config), *pod_groups.objects()]
    if config.ingress:
        from tiphys.cmd import ingress

        wanted += ingress.objects()
    for obj in wanted:
        try:
            await client.create(obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
    await settings.publish(client, config, (config.pki_dir / "ca.crt").read_bytes())


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
