"""`tiphys join`: this machine becomes a worker of a cluster elsewhere, and again after a reboot."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.config import CLUSTER_FILE, ClusterConfig, ConfigError
from tiphys.cmd.decide import node_name
from tiphys.cmd.exclusive import exclusive
from tiphys.cmd.readiness import node_ready, until
from tiphys.cmd.up import first_images, host_programs

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class JoinOptions:
    """What the user asked for; see `tiphys join --help`."""

    data_dir: Path
    servers: tuple[str, ...]
    token: str
    ca_cert_hash: str
    node_name: str
    node_ip: str
    kubelet_port: int


def join_machine(options: JoinOptions) -> None:
    """Join, start the node's processes, and return when the Node is Ready. Raises ConfigError."""
    started = time.monotonic()
    if os.geteuid() != 0:
        raise ConfigError("running containers needs root: use sudo")
    with exclusive(options.data_dir.resolve()):
        config = _settings(options)
        host_programs()
        if supervision.ask(config) is None and not cluster_config.port_free(config.kubelet_port):
            raise ConfigError(f"port {config.kubelet_port} is taken by another program: choose one with --kubelet-port")
        supervision.start(config)
    with console.status("waiting for the node") as spinner:
        asyncio.run(_until_ready(config, spinner.update))
    console.print(f"{config.node_name} is Ready after {time.monotonic() - started:.1f} s, in {config.data_dir}")


def _settings(options: JoinOptions) -> ClusterConfig:
    """Of this machine, which is a worker then: kept from before, or made by joining."""
    from tiphys.cmd.join import join

    data_dir = options.data_dir.resolve()
    if (data_dir / CLUSTER_FILE).exists():
        existing = cluster_config.load(data_dir)
        if existing.role != "worker":
            raise ConfigError(f"{data_dir} holds a cluster of its own: choose another --data-dir")
        if not options.token:
            return existing  # it comes back with the credentials it has
    missing = [flag for flag, value in (("--server", options.servers), ("--token", options.token)) if not value]
    if not options.ca_cert_hash:
        missing.append("--ca-cert-hash")
    if missing:
        raise ConfigError(f"needed: {', '.join(missing)} (`tiphys token create --print-join-command` there prints all)")
    name = node_name(options.node_name or socket.gethostname())
    address = options.node_ip or cluster_config.host_address()
    if address is None:
        raise ConfigError("this machine has no address but loopback: others could not reach it (see --node-ip)")
    with console.status("joining"):
        config = asyncio.run(
            join(
                options.servers,
                options.token,
                options.ca_cert_hash,
                name,
                address,
                data_dir,
                kubelet_port=options.kubelet_port,
            )
        )
    cluster_config.save(config)
    return config


async def _until_ready(config: ClusterConfig, progress: Callable[[str], None]) -> None:
    client = Client.from_config(kubeconfig.load(config.kubeconfig("kubelet")))
    try:
        await first_images(config, progress)
        await until(lambda: node_ready(client, config.node_name), "the node is not ready", config, "node")
    finally:
        await client.close()
