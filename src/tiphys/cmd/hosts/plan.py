"""Which hosts a cluster has, with what names, parts and addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from tiphys.cmd.config import ConfigError

HostRole = Literal["server", "worker", "etcd"]

MAX_NODES: Final = 64
MAX_CONTROL_PLANES: Final = 9
MAX_ETCD_MEMBERS: Final = 7
# The last byte of addresses, and of those that Services of type LoadBalancer get.
_MACHINE, _CONTROL, _NODE, _ETCD = 1, 2, 11, 101
_PUBLISHED: Final = (192, 27)
_UNDERLAYS: Final = [
    ipaddress.IPv4Network(f"172.{second}.{third}.0/24") for second in range(18, 32) for third in range(256)
]


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One host. `address` is its own on the underlay, `etcd` whether it runs a member of the store."""

    name: str
    role: HostRole
    address: str
    etcd: bool = False


class Hosts(msgspec.Struct, frozen=True, kw_only=True):
    """All hosts of a cluster on this machine, and the network between them."""

    cluster_id: str
    subnet: str
    hosts: tuple[Host, ...]

    @property
    def bridge(self) -> str:
        """The underlay's link on the machine: 15 bytes, the most a link's name may have."""
        return f"tiphys-{self.cluster_id}"

    @property
    def machine_address(self) -> str:
        return str(ipaddress.IPv4Network(self.subnet)[_MACHINE])

    @property
    def load_balancer_cidr(self) -> str:
        first, prefix = _PUBLISHED
        return f"{ipaddress.IPv4Network(self.subnet)[first]}/{prefix}"

    @property
    def prefix_length(self) -> int:
        return ipaddress.IPv4Network(self.subnet).prefixlen

    def namespace(self, host: Host) -> str:
        """The name of the host's network namespace."""
        return f"tiphys-{self.cluster_id}-{host.name}"

    def link(self, host: Host) -> str:
        """The machine's end of the host's cable."""
        return f"tip{self.cluster_id}-{host.address.rpartition('.')[2]}"

    def of(self, role: HostRole) -> tuple[Host, ...]:
        return tuple(host for host in self.hosts if host.role == role)

    @property
    def etcd(self) -> tuple[Host, ...]:
        """Where the members of the store are."""
        return tuple(host for host in self.hosts if host.etcd)

    def named(self, name: str) -> Host:
        """Raises ConfigError for a name that no host has."""
        found = next((host for host in self.hosts if host.name == name), None)
        if found is None:
            raise ConfigError(f"no host {name}: there are {', '.join(host.name for host in self.hosts)}")
        return found


def choose_subnet(cluster_id: str, taken: Iterable[str]) -> str:
    """A /24 of 172.18.0.0 to 172.31.255.255 that overlaps none of `taken` (ranges with a prefix length).

    Clusters start looking at different places, so that two that start at once don't meet.
    """
    others = [ipaddress.IPv4Network(text, strict=False) for text in taken]
    start = int(cluster_id, 16) % len(_UNDERLAYS)
    for network in _UNDERLAYS[start:] + _UNDERLAYS[:start]:
        if not any(network.overlaps(other) for other in others):
            return str(network)
    raise ConfigError("every range in 172.18.0.0 to 172.31.255.255 is in use: none is left for the hosts' network")


def layout(
    subnet: str, *, nodes: int, control_planes: int, etcd_members: int, shared_store: bool = False
) -> tuple[Host, ...]:
    """The hosts of a new cluster. Members of etcd live on control planes' hosts, those beyond on hosts of their own.

    `shared_store` says that control planes share an etcd elsewhere. Raises ConfigError for numbers that cannot work.
    """
    _check(nodes, control_planes, etcd_members)
    if control_planes > 1 and not etcd_members and not shared_store:
        raise ConfigError(f"--control-planes {control_planes} need a store that they share: add --etcd-members 3")
    network = ipaddress.IPv4Network(subnet)
    control = [
        Host(name=f"control-{i + 1}", role="server", address=str(network[_CONTROL + i]), etcd=i < etcd_members)
        for i in range(control_planes)
    ]
    store = [
        Host(name=f"etcd-{i + 1}", role="etcd", address=str(network[_ETCD + i]), etcd=True)
        for i in range(max(etcd_members - control_planes, 0))
    ]
    return (*store, *control, *(_node(network, i) for i in range(nodes)))


def _check(nodes: int, control_planes: int, etcd_members: int) -> None:
    for flag, value, most in (
        ("--nodes", nodes, MAX_NODES),
        ("--control-planes", control_planes, MAX_CONTROL_PLANES),
        ("--etcd-members", etcd_members, MAX_ETCD_MEMBERS),
    ):
        if not 0 <= value <= most:
            raise ConfigError(f"{flag} {value} cannot be: at least 0, at most {most}")
    if etcd_members and etcd_members % 2 == 0:
        raise ConfigError(f"--etcd-members {etcd_members}: an even number survives no more deaths than one less")


def with_node(hosts: Hosts, name: str = "") -> tuple[Hosts, Host]:
    """One more node, with the lowest number that is free. Raises ConfigError when there is none, or `name` is taken."""
    network = ipaddress.IPv4Network(hosts.subnet)
    used = {host.address for host in hosts.hosts}
    names = {host.name for host in hosts.hosts}
    if name in names:
        raise ConfigError(f"there is a host {name} already")
    for index in range(MAX_NODES):
        host = _node(network, index)
        if host.address not in used and (name or host.name not in names):
            made = msgspec.structs.replace(host, name=name or host.name)
            return msgspec.structs.replace(hosts, hosts=(*hosts.hosts, made)), made
    raise ConfigError(f"there are {MAX_NODES} nodes, and no room for more")


def without(hosts: Hosts, name: str) -> Hosts:
    """The hosts after one has gone."""
    kept: Sequence[Host] = [host for host in hosts.hosts if host.name != name]
    return msgspec.structs.replace(hosts, hosts=tuple(kept))


def _node(network: ipaddress.IPv4Network, index: int) -> Host:
    return Host(name=f"node-{index + 1}", role="worker", address=str(network[_NODE + index]))
