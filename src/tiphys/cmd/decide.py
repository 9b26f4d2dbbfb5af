"""What `tiphys up` starts: the cluster that is there already, else one as asked for; or why not, by the flag's name."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tiphys.cmd import config as cluster_config
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts import plan, record
from tiphys.cmd.hosts.plan import Hosts
from tiphys.cmd.hosts.settings import machine_settings


@dataclass(frozen=True)
class UpOptions:
    """What the user asked for; see `tiphys up --help`. `given` are the flags that he gave himself."""

    data_dir: Path
    demo: bool
    hollow_nodes: int
    secure_port: int
    kubelet_port: int
    service_cidr: str
    pod_cidr: str
    node_port_range: tuple[int, int]
    node_name: str = ""
    node_ip: str = ""
    nodes: int = 0
    control_planes: int = 0
    etcd_members: int = 0
    etcd_servers: tuple[str, ...] = ()
    etcd_cafile: str = ""
    etcd_certfile: str = ""
    etcd_keyfile: str = ""
    load_balancer_cidr: str = ""
    ingress: bool = False
    network_backend: Literal["vxlan", "routes", ""] = ""
    node_monitor_grace_period: int = 50
    default_unreachable_toleration_seconds: int = 300
    scheduler_config: str = ""
    given: frozenset[str] = frozenset()

    @property
    def has_hosts(self) -> bool:
        """Whether the cluster lives on hosts of its own on this machine."""
        return bool(self.nodes or self.control_planes or self.etcd_members)


def decide(options: UpOptions) -> tuple[ClusterConfig, Hosts | None]:
    """The settings and the hosts, if it has any: of the cluster in the data directory, or of a new one.

    Raises ConfigError when a given flag says otherwise than the cluster that is there, or cannot work.
    """
    data_dir = options.data_dir.resolve()
    if (data_dir / cluster_config.CLUSTER_FILE).exists():
        existing = cluster_config.load(data_dir)
        if existing.role == "worker":
            raise ConfigError(f"{data_dir} is a node of a cluster elsewhere: `tiphys join` resumes it")
        hosts = record.load(existing)
        _refuse_changes(options, existing, hosts)
        return existing, hosts
    return _fresh(options, data_dir)


def _fresh(options: UpOptions, data_dir: Path) -> tuple[ClusterConfig, Hosts | None]:
    hollow = options.hollow_nodes > 0
    if not hollow and os.geteuid() != 0:
        raise ConfigError("running containers needs root: use sudo, or `tiphys up --hollow` for a cluster without them")
    if hollow and options.has_hosts:
        raise ConfigError("--hollow nodes need no hosts: leave --nodes, --control-planes and --etcd-members out")
    if options.has_hosts and (options.node_name or options.node_ip):
        raise ConfigError("--node-name and --node-ip are the one node's: hosts get theirs by themselves")
    if options.has_hosts and not options.nodes:
        raise ConfigError("a control plane on hosts needs nodes on hosts: add --nodes 3")
    if options.etcd_servers and (options.etcd_members or hollow):
        raise ConfigError("--etcd-servers is an etcd that runs elsewhere: leave --etcd-members and --hollow out")
    config = ClusterConfig(
        data_dir=str(data_dir),
        node_name=node_name(options.node_name or socket.gethostname()),
        node_ip=options.node_ip or cluster_config.host_address() or "127.0.0.1",
        secure_port=options.secure_port,
        kubelet_port=options.kubelet_port,
        service_cidr=options.service_cidr,
        pod_cidr=options.pod_cidr,
        node_port_range=options.node_port_range,
        hollow_nodes=options.hollow_nodes,
        etcd_servers=options.etcd_servers,
        etcd_ca=options.etcd_cafile,
        etcd_certificate=options.etcd_certfile,
        etcd_key=options.etcd_keyfile,
        load_balancer_cidr=options.load_balancer_cidr,
        ingress=options.ingress,
        network_backend=options.network_backend or ("routes" if options.has_hosts else "vxlan"),
        node_monitor_grace_period_seconds=options.node_monitor_grace_period,
        default_unreachable_toleration_seconds=options.default_unreachable_toleration_seconds,
        scheduler_config=options.scheduler_config,
    )
    if not options.has_hosts:
        return config, None
    hosts = _fresh_hosts(options, config)
    return machine_settings(config, hosts), hosts


def _fresh_hosts(options: UpOptions, config: ClusterConfig) -> Hosts:
    from tiphys.cmd.hosts.underlay import taken_ranges

    taken = [*taken_ranges(), config.service_cidr, config.pod_cidr]
    subnet = plan.choose_subnet(config.cluster_id, taken)
    members = plan.layout(
        subnet,
        nodes=options.nodes,
        control_planes=options.control_planes,
        etcd_members=options.etcd_members,
        shared_store=bool(options.etcd_servers),
    )
    return Hosts(cluster_id=config.cluster_id, subnet=subnet, hosts=members)


def _refuse_changes(options: UpOptions, existing: ClusterConfig, hosts: Hosts | None) -> None:
    if existing.hollow != bool(options.hollow_nodes):
        kind = "hollow" if existing.hollow else "real"
        raise ConfigError(
            f"the cluster in {existing.data_dir} is {kind}: `tiphys down` first, or choose another --data-dir"
        )
    for flag, asked, has in _differences(options, existing, hosts):
        advice = "`tiphys node add` and `tiphys node remove` change it" if flag == "--nodes" and hosts else ""
        raise ConfigError(
            f"{flag} {asked}: the cluster in {existing.data_dir} has {has}: "
            f"{advice or 'leave the flag out, `tiphys down` first, or choose another --data-dir'}"
        )


def _differences(options: UpOptions, existing: ClusterConfig, hosts: Hosts | None) -> Iterator[tuple[str, str, str]]:
    """(flag, asked, has) of every given flag that differs."""
    has: Mapping[str, object] = {
        "--hollow-nodes": existing.hollow_nodes,
        "--secure-port": existing.secure_port,
        "--kubelet-port": existing.kubelet_port,
        "--service-cidr": existing.service_cidr,
        "--pod-cidr": existing.pod_cidr,
        "--node-port-range": existing.node_port_range,
        "--node-name": existing.node_name,
        "--node-ip": existing.node_ip,
        "--load-balancer-cidr": existing.load_balancer_cidr,
        "--network-backend": existing.network_backend,
        "--ingress": existing.ingress,
        "--node-monitor-grace-period": existing.node_monitor_grace_period_seconds,
        "--default-unreachable-toleration-seconds": existing.default_unreachable_toleration_seconds,
        "--scheduler-config": existing.scheduler_config,
        "--nodes": len(hosts.of("worker")) if hosts else 0,
        "--control-planes": len(hosts.of("server")) if hosts else 0,
        "--etcd-members": len(hosts.etcd) if hosts else 0,
        "--etcd-servers": existing.etcd_servers,
        "--etcd-cafile": existing.etcd_ca,
        "--etcd-certfile": existing.etcd_certificate,
        "--etcd-keyfile": existing.etcd_key,
    }
    for flag in sorted(options.given & has.keys()):
        asked = getattr(options, flag.removeprefix("--").replace("-", "_"))
        if flag == "--hollow-nodes" and not existing.hollow:
            continue  # without --hollow it means nothing
        if asked != has[flag] and flag == "--scheduler-config":
            yield flag, "FILE", "another" if has[flag] else "none"
        elif asked != has[flag]:
            yield flag, _text(asked), _text(has[flag])


def _text(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return "-".join(map(str, value))
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value or "none")


def node_name(text: str) -> str:
    """A host's name as the API takes it: lower case, without what DNS names cannot have."""
    name = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
    return name or "node"
