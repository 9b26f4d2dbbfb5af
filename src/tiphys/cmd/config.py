"""A cluster's settings: decided once by `tiphys up`, kept in ``<data-dir>/cluster.json``, read by every process."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from pathlib import Path
from typing import Literal

import msgspec

from tiphys.base.address_ranges import AddressRanges

Role = Literal["all", "server", "worker", "balancer", "etcd"]
"""What this machine (or host) runs: everything; the control plane; a node; only the way to the control plane; only a
member of the store."""

DEFAULT_DATA_DIR = Path("/var/lib/tiphys")
CLUSTER_FILE = "cluster.json"


class ConfigError(Exception):
    """A setting that cannot work; the message says which, why and what to do."""


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a cluster on this machine that is not in its API.

    Several clusters run side by side when their data directories, ports and CIDRs differ.
    """

    data_dir: str
    node_name: str
    node_ip: str
    secure_port: int = 6443
    kubelet_port: int = 10250
    service_cidr: str = "10.96.0.0/12"
    pod_cidr: str = "10.244.0.0/16"
    node_port_range: tuple[int, int] = (30000, 32767)
    cluster_domain: str = "cluster.local"
    hollow_nodes: int = 0
    role: Role = "all"
    server_urls: tuple[str, ...] = ()
    """The apiservers as other machines reach them, ``https://address:port`` each; () for the one at `node_ip`."""
    server_names: tuple[str, ...] = ()
    """More names and addresses that the apiserver's certificate is good for."""
    balancer_port: int = 0
    """Where on 127.0.0.1 machines without an apiserver have a balancer before the `server_urls`; 0: they have none."""
    leader_elect: bool = False
    """Whether scheduler and controllers wait for their leases, because other instances run too."""
    etcd_servers: tuple[str, ...] = ()
    """Client URLs of the etcd that keeps the state; () keeps it in SQLite. TLS files as paths, "" for none."""
    etcd_ca: str = ""
    etcd_certificate: str = ""
    etcd_key: str = ""
    etcd_prefix: str = "/registry"
    etcd_member: str = ""
    """The name of the etcd member that this machine runs; "" when it runs none."""
    etcd_initial_cluster: tuple[str, ...] = ()
    """All first members as ``name=https://address:port`` of their peers, as etcd's --initial-cluster has it."""
    load_balancer_cidr: str = ""
    """Where Services of type LoadBalancer get their addresses from: ranges; "" or "nodes": the nodes' own; "none"."""
    ingress: bool = False
    """Whether the cluster has the Ingress add-on."""
    network_backend: Literal["vxlan", "routes"] = "vxlan"
    """How pods' packets reach other nodes: in a tunnel, or plainly, where all nodes share a link."""
    node_monitor_grace_period_seconds: int = 50
    """How long a node may be silent before it counts as lost; kubelets renew their leases often enough for it."""
    default_unreachable_toleration_seconds: int = 300
    """How long pods that do not say otherwise stay bound to a node that is lost or not ready."""
    scheduler_config: str = ""
    """The text of the scheduler's KubeSchedulerConfiguration; "": upstream's defaults."""

    def __post_init__(self) -> None:
        services, pods = _network("--service-cidr", self.service_cidr), _network("--pod-cidr", self.pod_cidr)
        if services.overlaps(pods):
            raise ConfigError(f"--service-cidr {services} and --pod-cidr {pods} overlap: choose ranges apart")
        if services.num_addresses < 16:
            raise ConfigError(f"--service-cidr {services} is too small: it needs 16 addresses at least")
        if pods.prefixlen > 24:
            raise ConfigError(f"--pod-cidr {pods} is too small: every node gets a /24 of it")
        address = _address(self.node_ip)
        for flag, network in (("--service-cidr", services), ("--pod-cidr", pods)):
            if address in network:
                raise ConfigError(f"the node's address {address} lies in {flag} {network}: choose another range")
        if self.secure_port == self.kubelet_port:
            raise ConfigError(f"--secure-port and --kubelet-port are both {self.secure_port}: choose two ports")
        try:
            given = AddressRanges(self.load_balancer_pool)
        except ValueError as error:
            raise ConfigError(
                f"--load-balancer-cidr {self.load_balancer_cidr} is no range of addresses ({error}): "
                "write 192.168.7.32/28, or 192.168.7.40-192.168.7.60, or several by comma; or nodes; or none"
            ) from None
        if self.node_ip in given:
            raise ConfigError(f"the node's address {address} lies in --load-balancer-cidr: choose another range")

    @property
    def load_balancer_pool(self) -> str:
        """The ranges alone: "" when Services get the nodes' own addresses, or none."""
        return "" if self.load_balancer_cidr in ("nodes", "none") else self.load_balancer_cidr

    @property
    def root(self) -> Path:
        return Path(self.data_dir)

    @property
    def cluster_id(self) -> str:
        """Eight hex digits of the data directory's path: names links, tables and cgroups of this cluster alone."""
        return hashlib.sha256(self.data_dir.encode()).hexdigest()[:8]

    @property
    def hollow(self) -> bool:
        """Control plane and hollow nodes only: no root, no containers."""
        return self.hollow_nodes > 0

    @property
    def runs_control_plane(self) -> bool:
        return self.role in ("all", "server")

    @property
    def runs_node(self) -> bool:
        """Whether containers run here; a hollow cluster's nodes run none."""
        return self.role in ("all", "worker") and not self.hollow

    @property
    def server(self) -> str:
        """The apiserver's URL for processes and users on this machine."""
        if not self.runs_control_plane and self.balancer_port:
            return f"https://127.0.0.1:{self.balancer_port}"
        if not self.runs_control_plane and self.server_urls:
            return self.server_urls[0]
        return f"https://127.0.0.1:{self.secure_port}"

    @property
    def api_service_ip(self) -> str:
        """The ClusterIP of the Service ``kubernetes``: the range's first address."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def dns_service_ip(self) -> str:
        """The ClusterIP of the cluster's DNS: the range's tenth address."""
        return str(ipaddress.ip_network(self.service_cidr)[10])

    @property
    def pki_dir(self) -> Path:
        return self.root / "pki"

    @property
    def etcd_dir(self) -> Path:
        """The data of this machine's etcd member."""
        return self.root / "etcd"

    @property
    def store_path(self) -> Path:
        return self.root / "store" / "state.db"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    def kubeconfig(self, component: str) -> Path:
        """Where a component's own credentials are."""
        return self.root / "kubeconfigs" / f"{component}.kubeconfig"

    @property
    def log_dir(self) -> Path:
        return self.root / "logs"

    @property
    def socket_path(self) -> Path:
        """The supervisor's control socket."""
        return self.root / "supervisor.sock"


def _address(text: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError as error:
        raise ConfigError(f"--node-ip {text} is not an IPv4 address: {error}") from None


def _network(flag: str, text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ConfigError(f"{flag} {text} is not an IPv4 range: {error}") from None


def load(data_dir: Path) -> ClusterConfig:
    """The settings of the cluster in `data_dir`; raises ConfigError when there is none or they are unreadable."""
    path = data_dir / CLUSTER_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ClusterConfig)
    except FileNotFoundError:
        raise ConfigError(f"no cluster in {data_dir}: start one with `tiphys up --data-dir {data_dir}`") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is damaged ({error}); `tiphys down` removes the cluster") from None


def save(config: ClusterConfig) -> None:
    """Write the settings (0600), whole or not at all."""
    config.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = config.root / CLUSTER_FILE
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
    fresh.replace(path)


def host_address() -> str | None:
    """This machine's first global IPv4 address, default route or not; None when it has loopback only."""
    # Connecting a UDP socket sends nothing; it asks the kernel which source address a route would use.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = str(probe.getsockname()[0])
        except OSError:
            address = ""
    if address and not address.startswith("127."):
        return address
    return next(iter(_link_addresses()), None)


def _link_addresses() -> list[str]:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        found = [dict(message["attrs"]).get("IFA_ADDRESS", "") for message in route.get_addr(family=socket.AF_INET)]
    return [address for address in found if address and not address.startswith("127.")]


def port_free(port: int) -> bool:
    """Whether a TCP port of this machine can be bound now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True
