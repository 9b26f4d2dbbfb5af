"""A node's processes wired together: containerd, pod network, kubelet, proxy, DNS; and their removal from the host."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tiphys.api.types.core_v1 import Node
from tiphys.base.http.tls import server_context
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.client.informer import Informer
from tiphys.cmd import pki
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.containerd import Containerd
from tiphys.cmd.image_build_recipes import SANDBOX_IMAGE
from tiphys.cmd.image_mirror import ImageMirror
from tiphys.cmd.node_certificates import NodeCertificates
from tiphys.cri.client import CriRuntime
from tiphys.dns.config import DnsConfig
from tiphys.dns.server import DnsServer
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.kubelet import Kubelet
from tiphys.network import tunnel
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.host_ports import HostPorts
from tiphys.network.node import NodeNetwork
from tiphys.network.policies import NetworkPolicies
from tiphys.network.routes import PodRoutes
from tiphys.proxy.config import ProxyConfig
from tiphys.proxy.proxier import Proxier

_logger = get_logger(__name__)


def image_cache() -> Path:
    """Where built image archives stay between clusters, so that a machine without network can start another."""
    if os.geteuid() == 0:
        return Path("/var/cache/tiphys/images")
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tiphys" / "images"


def containerd_of(config: ClusterConfig, inside: Sequence[str] = ()) -> Containerd:
    """The cluster's own containerd on this machine, or `inside` one of its hosts."""
    return Containerd(config.root, sandbox_image=SANDBOX_IMAGE, inside=inside)


def network_of(config: ClusterConfig) -> NodeNetwork:
    """The pod network of this node."""
    return NodeNetwork(network_config(config))


def network_config(config: ClusterConfig) -> NodeNetworkConfig:
    return NodeNetworkConfig(
        cluster_id=config.cluster_id,
        cluster_cidr=config.pod_cidr,
        service_cidr=config.service_cidr,
        cni_conf_dir=containerd_of(config).paths.cni_conf_dir,
        state_dir=config.root / "network",
        node_name=config.node_name,
        node_ip=config.node_ip,
        backend=config.network_backend,
    )


@contextlib.asynccontextmanager
async def kubelet(client: Client, config: ClusterConfig) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The kubelet with its containerd (adopted or started, and kept up) and the pod network of its podCIDR."""
    containerd, network = containerd_of(config), network_of(config)
    await containerd.start()
    certificates = None if config.runs_control_plane else NodeCertificates(client, config)
    runtime = CriRuntime(containerd.socket)
    mirror = ImageMirror(containerd.paths)
    await mirror.start()
    # A kubelet sees no Node but its own; who programs the kernel for Services sees them all.
    routing = Client.from_config(kubeconfig.load(config.kubeconfig("proxy")))
    settings = KubeletConfig(
        node_name=config.node_name,
        node_ip=config.node_ip,
        data_dir=config.root / "kubelet",
        port=config.kubelet_port,
        server_tls=certificates.server_tls if certificates else _server_tls(config),
        cluster_dns=(config.dns_service_ip,),
        cluster_domain=config.cluster_domain,
        lease_renew_seconds=lease_renew_seconds(config),
        cgroup_root=containerd.paths.cgroup_root,
        protected_images=(SANDBOX_IMAGE,),
        local_path_dir=config.root / "local-path",
        static_pod_dir=config.root / "manifests",
    )

    async def run() -> None:
        async with Supervisor("node") as supervisor:
            supervisor.spawn(containerd.supervise, "containerd")
            if certificates:
                supervisor.spawn(certificates.run, "certificates")
            supervisor.spawn(lambda: _keep_network(client, config.node_name, network), "network")
            supervisor.spawn(pod_routes(routing, config).run, "pod-routes")
            supervisor.spawn(NetworkPolicies(routing, network_config(config)).run, "network-policies")
            supervisor.spawn(HostPorts(client, network_config(config)).run, "host-ports")
            supervisor.spawn(Kubelet(client, runtime, settings).run, "kubelet")
            await supervisor.wait()

    try:
        yield run
    finally:
        await routing.close()
        await mirror.close()
        await runtime.close()


def _server_tls(config: ClusterConfig) -> ssl.SSLContext:
    """What the kubelet shows where the authority is at hand."""
    now = datetime.now(UTC)
    own = pki.ensure_node(config, config.node_name, config.node_ip, config.kubeconfig("kubelet"), now)
    return server_context(own.certificate, own.key, client_ca=(config.pki_dir / "ca.crt").read_bytes())


async def _keep_network(client: Client, node_name: str, network: NodeNetwork) -> None:
    """Make the pod network once the node has its podCIDR, and again should that change."""
    wanted: asyncio.Queue[str] = asyncio.Queue()

    def seen(node: Node) -> None:
        if node.spec.pod_cidr:
            wanted.put_nowait(node.spec.pod_cidr)

    nodes = Informer(client, Node, field_selector=f"metadata.name={node_name}")
    nodes.add_handler(on_add=seen, on_update=lambda _, node: seen(node))
    async with Supervisor("network") as supervisor:
        supervisor.spawn(nodes.run, "nodes")
        current = ""
        while True:
            pod_cidr = await wanted.get()
            if pod_cidr != current:
                await network.ensure(pod_cidr)
                current = pod_cidr
                _logger.info("pod network ready", pod_cidr=pod_cidr)


def lease_renew_seconds(config: ClusterConfig) -> float:
    """Upstream's ten seconds, or a quarter of what a node may be silent: some renewals may be lost or late."""
    return min(10.0, config.node_monitor_grace_period_seconds / 4)


def pod_routes(client: Client, config: ClusterConfig) -> PodRoutes:
    """The ways to other nodes' pods."""
    return PodRoutes(client, network_config(config), config.node_name if config.runs_node else "", config.node_ip)


def proxier(client: Client, config: ClusterConfig) -> Proxier:
    """The Service proxy of this node."""
    return Proxier(client, proxy_config(config))


def proxy_config(config: ClusterConfig) -> ProxyConfig:
    return ProxyConfig(
        cluster_id=config.cluster_id,
        node_name=config.node_name,
        cluster_cidr=config.pod_cidr,
        service_cidr=config.service_cidr,
        node_ip=config.node_ip,
        load_balancer_cidr=config.load_balancer_pool,
    )


def dns_server(client: Client, config: ClusterConfig) -> DnsServer:
    """The cluster's DNS."""
    return DnsServer(client, DnsConfig(node_name=config.node_name, cluster_domain=config.cluster_domain))


async def leave_host(config: ClusterConfig) -> None:
    """End the node's pods; take back links, routes, tables, mounts, cgroups. Its processes have ended. Idempotent."""
    from tiphys.kubelet.cleanup import unmount_pods
    from tiphys.proxy.proxier import cleanup

    await containerd_of(config).destroy()
    await asyncio.to_thread(unmount_pods, config.root / "kubelet")
    await cleanup(proxy_config(config))
    await network_of(config).cleanup()


async def leave_pod_network(config: ClusterConfig) -> None:
    """Take back the ways to pods of a machine without a node. Idempotent."""
    await tunnel.cleanup(network_config(config).tunnel_name, config.pod_cidr)
