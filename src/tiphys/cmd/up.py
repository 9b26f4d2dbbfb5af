"""`tiphys up`: from whatever the machine is now to a running cluster, each step safe to repeat."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.certificates import PkiError
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.decide import UpOptions, decide
from tiphys.cmd.exclusive import exclusive
from tiphys.cmd.hosts.plan import Hosts
from tiphys.cmd.prepare import prepare
from tiphys.cmd.readiness import answers, images_there, nodes_ready, until

__all__ = ["UpOptions", "up"]

console = Console(highlight=False, soft_wrap=True)


def up(options: UpOptions) -> None:
    """Bring the cluster up; prints progress. Raises ConfigError with what is in the way and what to do."""
    started = time.monotonic()
    with exclusive(options.data_dir.resolve()):
        config, hosts, resumed = _start(options)
        if hosts is not None:
            from tiphys.cmd.hosts.raise_up import raise_hosts

            # Whoever else starts or stops this cluster's hosts must wait: two would join as the same node.
            with console.status("starting the hosts") as spinner:
                asyncio.run(raise_hosts(config, hosts, spinner.update))
    if hosts is None:
        asyncio.run(_until_ready(config))
    took = time.monotonic() - started
    console.print(f"cluster {'was up' if resumed else 'up'} after {took:.1f} s, in {config.data_dir}")
    if options.demo:
        from tiphys.cmd.demo.deploy import deploy

        deploy(config, console)
    _next_steps(config, hosts, demo=options.demo)


def _start(options: UpOptions) -> tuple[ClusterConfig, Hosts | None, bool]:
    """Have the machine's own supervisor run; the settings, and whether it ran before."""
    config, hosts = decide(options)
    if not config.hollow:
        host_programs(etcd=hosts is not None and bool(hosts.etcd))
    resumed = supervision.ask(config) is not None
    if not resumed:
        _ports_free(config)
        _addresses_free(config)
    cluster_config.save(config)
    if hosts is not None:
        from tiphys.cmd.hosts import record, underlay

        record.save(config, hosts)
        underlay.ensure_bridge(hosts)
    try:
        prepare(config)
    except PkiError as error:
        raise ConfigError(str(error)) from error
    if hosts is not None:
        from tiphys.cmd.hosts.raise_up import raise_control_plane

        raise_control_plane(config, hosts)
    supervision.start(config)
    return config, hosts, resumed


def host_programs(*, etcd: bool = False) -> None:
    """Install what a node, and a member of etcd, needs of the distribution's programs and lacks. Raises ConfigError."""
    from tiphys.cmd.etcd import PROGRAMS as ETCD
    from tiphys.cmd.host_packages import PROGRAMS, HostPackagesError, install, missing

    packages = missing((*PROGRAMS, *ETCD) if etcd else PROGRAMS)
    if packages:
        console.print(f"installing {', '.join(packages)}")
    try:
        install(packages)
    except HostPackagesError as error:
        raise ConfigError(str(error)) from error


def _ports_free(config: ClusterConfig) -> None:
    ports = {"--secure-port": config.secure_port}
    if config.runs_node:
        ports["--kubelet-port"] = config.kubelet_port
    for flag, port in ports.items():
        if not cluster_config.port_free(port):
            raise ConfigError(f"port {port} is taken by another program: stop it, or choose another with {flag}")


def _addresses_free(config: ClusterConfig) -> None:
    """Pods whose addresses the machine takes for another network's would start, and be reached by nobody."""
    if config.hollow:
        return
    from tiphys.cmd.hosts.underlay import routes

    pods = ipaddress.IPv4Network(config.pod_cidr)
    for destination, link in routes():
        # Its own links are there already if its processes were killed, or the machine was.
        if config.cluster_id not in link and ipaddress.IPv4Network(destination, strict=False).subnet_of(pods):
            ours = "a cluster's (`tiphys down --data-dir …` takes that back); " if link.startswith("tiphys-") else ""
            raise ConfigError(
                f"the pods' range {pods} is in use here: {destination} is routed to {link or 'nowhere'}, {ours}"
                "choose another with --pod-cidr"
            )


async def _until_ready(config: ClusterConfig) -> None:
    client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
    try:
        with console.status("waiting for the apiserver"):
            await until(lambda: answers(client), "the apiserver does not answer", config, "apiserver")
        if config.hollow:
            wanted = config.hollow_nodes
            with console.status("waiting for the hollow nodes"):
                await until(
                    lambda: nodes_ready(client, wanted), "the hollow nodes are not ready", config, "hollow-nodes"
                )
            return
        with console.status("waiting for the node") as spinner:
            await first_images(config, spinner.update)
            await until(lambda: nodes_ready(client, 1), "the node is not ready", config, "node")
    finally:
        await client.close()


async def first_images(config: ClusterConfig, progress: Callable[[str], None]) -> None:
    """Load the first images once the node's containerd, which its own process starts, answers."""
    from tiphys.cmd.node import containerd_of, image_cache

    containerd = containerd_of(config)

    async def socket_there() -> bool:
        return containerd.socket.is_socket() and containerd.pid() is not None

    await until(socket_there, "containerd does not start", config, "node")
    await images_there(containerd, image_cache(), progress)


def _next_steps(config: ClusterConfig, hosts: Hosts | None, *, demo: bool) -> None:
    kubectl = f"kubectl --kubeconfig {config.admin_kubeconfig}"
    flag = "" if Path(config.data_dir) == cluster_config.DEFAULT_DATA_DIR else f" --data-dir {config.data_dir}"
    console.print("\ntry:")
    console.print(f"  {kubectl} get nodes -o wide")
    console.print(f"  {kubectl} get all{' -n demo' if demo else ' -A'}")
    console.print(f"  {kubectl} create deployment hello --image={'any' if config.hollow else 'nginx'} --replicas=3")
    if hosts is not None:
        console.print(f"  tiphys node stop node-1{flag}")
    console.print(f"stop with: tiphys down{flag}")
