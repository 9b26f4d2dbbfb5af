"""Components run by their flags alone, with upstream's names, against any apiserver: no cluster.json is needed."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from tiphys.api.certificate_requests import API_SERVER_CLIENT_KUBELET, CLIENT_USAGES, NODE_PREFIX, NODES_GROUP
from tiphys.base.http.tls import server_context
from tiphys.base.tasks import Supervisor
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.client.config import ClientConfig
from tiphys.client.kubeconfig import KubeconfigError
from tiphys.client.leader_election import ElectionConfig, LeaderElector
from tiphys.cmd.certificates import write_private
from tiphys.cmd.config import ConfigError, host_address
from tiphys.cmd.foreground import Work
from tiphys.proxy.config import ProxyConfig

KUBELET_PORT: Final = 10250
CONTAINERD: Final = "unix:///run/containerd/containerd.sock"


def credentials(path: Path | None) -> ClientConfig:
    """Of a kubeconfig file; without one, of the pod's service account. Raises ConfigError."""
    try:
        return kubeconfig.load(path) if path is not None else kubeconfig.in_cluster()
    except (OSError, KubeconfigError) as error:
        raise ConfigError(f"no credentials (--kubeconfig): {error}") from None


def node_name(override: str) -> str:
    """Who this machine is to the cluster."""
    return (override or socket.gethostname()).strip().lower()


def file_of(flag: str, path: Path | None) -> bytes:
    """A file's content, b"" for no file. Raises ConfigError naming the flag."""
    try:
        return path.read_bytes() if path is not None else b""
    except OSError as error:
        raise ConfigError(f"{flag}: {error}") from None


@contextlib.asynccontextmanager
async def _client(config: ClientConfig) -> AsyncIterator[Client]:
    client = Client.from_config(config)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def scheduler(config: ClientConfig, *, leader_elect: bool, configuration: str = "") -> AsyncIterator[Work]:
    """The scheduler, once it leads if others run too. What the configuration's text says of elections goes first."""
    from tiphys.base.allocator import keep_freed_memory
    from tiphys.cmd.scheduler import settings
    from tiphys.scheduler.scheduler import Scheduler

    keep_freed_memory()
    host = socket.gethostname()
    said = settings(configuration, host=host)
    said.tell()
    if said.election.leader_elect is not None:
        leader_elect = said.election.leader_elect
    async with _client(config) as client:

        async def work() -> None:
            await Scheduler(client, said.scheduler).run()

        async def elected() -> None:
            election = ElectionConfig(identity=f"{host}_{uuid.uuid4()}", **said.election_fields())
            await LeaderElector(client, election).run(work)

        yield elected if leader_elect else work


@dataclass(frozen=True, slots=True)
class ManagerFlags:
    """kube-controller-manager's, as far as they mean something here."""

    leader_elect: bool = True
    controllers: tuple[str, ...] = ("*",)
    allocate_node_cidrs: bool = False
    cluster_cidr: str = ""
    node_cidr_mask_size: int = 24
    root_ca_file: Path | None = None
    cluster_signing_cert_file: Path | None = None
    cluster_signing_key_file: Path | None = None
    cluster_signing_duration_seconds: int = 365 * 24 * 3600
    terminated_pod_gc_threshold: int = 12500
    node_monitor_grace_period_seconds: int = 50


@contextlib.asynccontextmanager
async def controller_manager(config: ClientConfig, flags: ManagerFlags) -> AsyncIterator[Work]:
    """The controllers."""
    from tiphys.controllers.config import ControllerManagerConfig
    from tiphys.controllers.manager import ControllerManager, enabled

    try:
        enabled(flags.controllers)
    except ValueError as error:
        raise ConfigError(f"--controllers: {error}") from None
    if flags.allocate_node_cidrs and not flags.cluster_cidr:
        raise ConfigError("--allocate-node-cidrs needs --cluster-cidr")
    settings = ControllerManagerConfig(
        controllers=flags.controllers,
        leader_elect=flags.leader_elect,
        identity=f"{socket.gethostname()}_{uuid.uuid4()}",
        cluster_cidr=flags.cluster_cidr if flags.allocate_node_cidrs else "",
        node_cidr_mask_size=flags.node_cidr_mask_size,
        root_ca=file_of("--root-ca-file", flags.root_ca_file),
        cluster_signing_certificate=file_of("--cluster-signing-cert-file", flags.cluster_signing_cert_file),
        cluster_signing_key=file_of("--cluster-signing-key-file", flags.cluster_signing_key_file),
        cluster_signing_duration_seconds=flags.cluster_signing_duration_seconds,
        terminated_pod_gc_threshold=flags.terminated_pod_gc_threshold,
        node_monitor_grace_period_seconds=flags.node_monitor_grace_period_seconds,
    )
    async with _client(config) as client:
        yield ControllerManager(client, settings).run


@dataclass(frozen=True, slots=True)
class ProxyFlags:
    """kube-proxy's, as far as they mean something here. `cluster_id` tells its nft table from another cluster's."""

    hostname_override: str = ""
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/12"
    cluster_id: str = "alone"

    def settings(self) -> ProxyConfig:
        return ProxyConfig(
            self.cluster_id,
            node_name(self.hostname_override),
            self.cluster_cidr,
            self.service_cidr,
            node_ip=host_address() or "",
        )


@contextlib.asynccontextmanager
async def proxy(config: ClientConfig, flags: ProxyFlags) -> AsyncIterator[Work]:
    """The Service proxy."""
    from tiphys.proxy.proxier import Proxier

    async with _client(config) as client:
        yield Proxier(client, flags.settings()).run


async def proxy_cleanup(flags: ProxyFlags) -> None:
    """Take back what the proxy made in the kernel."""
    from tiphys.proxy.proxier import cleanup

    await cleanup(flags.settings())


@contextlib.asynccontextmanager
async def dns(config: ClientConfig, *, hostname_override: str, cluster_domain: str) -> AsyncIterator[Work]:
    """The cluster's DNS."""
    from tiphys.dns.config import DnsConfig
    from tiphys.dns.server import DnsServer

    async with _client(config) as client:
        yield DnsServer(client, DnsConfig(node_name(hostname_override), cluster_domain)).run


@dataclass(frozen=True, slots=True)
class KubeletFlags:
    """The kubelet's, as far as they mean something here."""

    kubeconfig: Path
    bootstrap_kubeconfig: Path | None = None
    hostname_override: str = ""
    node_ip: str = ""
    root_dir: Path = Path("/var/lib/kubelet")
    container_runtime_endpoint: str = CONTAINERD
    port: int = KUBELET_PORT
    address: str = "0.0.0.0"
    client_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    rotate_server_certificates: bool = False
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")
    pod_manifest_path: Path | None = None
    node_labels: dict[str, str] = field(default_factory=dict)
    max_pods: int = 110
    cgroup_root: str = "/kubepods"

    @property
    def node_name(self) -> str:
        return node_name(self.hostname_override)

    @property
    def pki_dir(self) -> Path:
        return self.root_dir / "pki"


class _Node:
    """Who the kubelet is, as `NodeCertificates` asks."""

    def __init__(self, flags: KubeletFlags, address: str) -> None:
        self.node_name = flags.node_name
        self.node_ip = address
        self.pki_dir = flags.pki_dir


@contextlib.asynccontextmanager
async def kubelet(flags: KubeletFlags) -> AsyncIterator[Work]:
    """The kubelet on the host's container runtime; pods' network is the runtime's CNI configuration."""
    from tiphys.cmd.node_certificates import NodeCertificates
    from tiphys.cri.client import CriRuntime
    from tiphys.kubelet.config import KubeletConfig
    from tiphys.kubelet.kubelet import Kubelet

    address = flags.node_ip or host_address()
    if not address:
        raise ConfigError("this machine has no address but loopback: give --node-ip")
    if os.geteuid() != 0:
        raise ConfigError("the kubelet needs root: it mounts volumes and keeps cgroups")
    await _bootstrap(flags)
    config = credentials(flags.kubeconfig)
    ca = file_of("--client-ca-file", flags.client_ca_file) or config.ca_data
    write_private(flags.pki_dir / "ca.crt", ca)
    endpoint = Path(flags.container_runtime_endpoint.removeprefix("unix://"))
    if not endpoint.is_absolute():
        raise ConfigError(f"--container-runtime-endpoint {endpoint} is not a socket such as {CONTAINERD}")
    async with _client(config) as client:
        certificates = NodeCertificates(client, _Node(flags, address))
        tls = certificates.server_tls
        if flags.tls_cert_file is not None:
            certificate = file_of("--tls-cert-file", flags.tls_cert_file)
            tls = server_context(
                certificate, file_of("--tls-private-key-file", flags.tls_private_key_file), client_ca=ca
            )
        settings = KubeletConfig(
            node_name=flags.node_name,
            node_ip=address,
            data_dir=flags.root_dir,
            port=flags.port,
            bind_address=flags.address,
            server_tls=tls,
            cluster_dns=flags.cluster_dns,
            cluster_domain=flags.cluster_domain,
            resolv_conf=flags.resolv_conf,
            cgroup_root=flags.cgroup_root,
            static_pod_dir=flags.pod_manifest_path,
            labels=flags.node_labels,
            max_pods=flags.max_pods,
        )
        runtime = CriRuntime(endpoint)

        async def run() -> None:
            async with Supervisor("kubelet") as supervisor:
                if config.client_identity_file is not None:
                    supervisor.spawn(certificates.keep_client, "client-certificate")
                if flags.rotate_server_certificates and flags.tls_cert_file is None:
                    supervisor.spawn(certificates.keep_serving, "serving-certificate")
                supervisor.spawn(Kubelet(client, runtime, settings).run, "kubelet")
                await supervisor.wait()

        try:
            yield run
        finally:
            await runtime.close()


async def _bootstrap(flags: KubeletFlags) -> None:
    """Get the first client certificate with the bootstrap kubeconfig's token, and write a kubeconfig with it."""
    from tiphys.cmd.certificate_files import RequestRefused, Wanted, obtain

    if flags.kubeconfig.exists() or flags.bootstrap_kubeconfig is None:
        return
    joining = credentials(flags.bootstrap_kubeconfig)
    name = f"{NODE_PREFIX}{flags.node_name}"
    wanted = Wanted(
        flags.pki_dir / "kubelet-client-current.pem", API_SERVER_CLIENT_KUBELET, CLIENT_USAGES, name, (NODES_GROUP,)
    )
    ca_path = flags.pki_dir / "cluster-ca.crt"
    write_private(ca_path, joining.ca_data)
    async with _client(joining) as client:
        try:
            await obtain(client, wanted)
        except (RequestRefused, OSError) as error:
            raise ConfigError(str(error) or repr(error)) from None
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": {"server": joining.server, "certificate-authority": str(ca_path)}}],
        "users": [{"name": name, "user": {"client-certificate": str(wanted.path), "client-key": str(wanted.path)}}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": name}}],
        "current-context": "default",
    }
    write_private(flags.kubeconfig, yaml.safe_dump(document, sort_keys=False).encode())
