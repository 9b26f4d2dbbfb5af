"""What `tiphys node` does: a cluster's hosts listed, stopped, started, cut off, healed, added and removed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.exclusive import exclusive
from tiphys.cmd.hosts import plan, power, record, underlay
from tiphys.cmd.hosts.drain import drain
from tiphys.cmd.hosts.plan import Host, Hosts
from tiphys.cmd.hosts.raise_up import boot, raise_nodes, until_ready

console = Console(highlight=False, soft_wrap=True)


def state(config: ClusterConfig, hosts: Hosts, host: Host) -> str:
    """``running``, ``stopped``, or ``partitioned`` (running, with its cable pulled)."""
    if not power.running(config, host):
        return "stopped"
    return "partitioned" if underlay.is_cut(hosts, host) else "running"


def show(data_dir: Path) -> None:
    """Print the hosts."""
    config = cluster_config.load(data_dir.resolve())
    print_hosts(config, record.require(config))


def print_hosts(config: ClusterConfig, hosts: Hosts) -> None:
    table = Table("host", "role", "address", "state", "namespace", box=None)
    for host in hosts.hosts:
        role = "server, etcd" if host.etcd and host.role == "server" else host.role
        table.add_row(host.name, role, host.address, state(config, hosts, host), hosts.namespace(host))
    console.print(table)


def stop(data_dir: Path, name: str) -> None:
    """The host's death: no process, link or mount of it is left, and nobody is told. Idempotent."""
    with _held(data_dir) as (config, hosts):
        power.cut_power(config, hosts, hosts.named(name))
    console.print(f"{name} is dead: `tiphys node start {name}` boots it")


def start(data_dir: Path, name: str, *, wait: bool) -> None:
    """Boot a host from its disk; with `wait`, return when its node is Ready. Idempotent."""
    with _held(data_dir) as (config, hosts):
        host = hosts.named(name)
        began = time.time()
        booted = boot(config, hosts, host)
        if wait and host.role == "worker" and booted:
            with console.status(f"{name} boots"):
                asyncio.run(_with_client(config, lambda client: until_ready(client, config, host, began)))
    console.print(f"{name} {'is up' if booted else 'was up'}")


def partition(data_dir: Path, name: str) -> None:
    """Pull the host's cable; all on it goes on. Idempotent."""
    with _held(data_dir) as (config, hosts):
        host = _living(config, hosts, name)
        underlay.cut(hosts, host)
    console.print(f"{name} is cut off: `tiphys node heal {name}` mends its link")


def heal(data_dir: Path, name: str) -> None:
    """Plug the host's cable in again. Idempotent."""
    with _held(data_dir) as (config, hosts):
        underlay.mend(hosts, _living(config, hosts, name))
    console.print(f"{name} has its link again")


def add(data_dir: Path, name: str) -> None:
    """One more node on a host of its own; returns when it is Ready."""
    with _held(data_dir) as (config, hosts):
        more, host = plan.with_node(hosts, name)
        record.save(config, more)
        with console.status(f"{host.name} joins") as spinner:
            asyncio.run(_with_client(config, lambda client: raise_nodes(client, config, more, [host], spinner.update)))
    console.print(f"{host.name} is up, at {host.address}")


def remove(data_dir: Path, name: str, *, timeout_seconds: float) -> None:
    """Empty a node, take it from the cluster, and its host with its disk from the machine."""
    with _held(data_dir) as (config, hosts):
        host = hosts.named(name)
        if host.role != "worker":
            raise ConfigError(f"{name} is no node: the control plane and the store keep their hosts")

        async def leave(client: Client) -> None:
            with console.status(f"{name} is emptied") as spinner:
                if power.running(config, host) and await _known(client, name):
                    await drain(client, name, timeout_seconds=timeout_seconds, progress=spinner.update)
                # It must not register again.
                await asyncio.to_thread(power.shut_down, config, hosts, host)
                with suppress(ApiError):
                    await client.delete(Node, name)

        asyncio.run(_with_client(config, leave))
        shutil.rmtree(record.directory(config, host), ignore_errors=True)
        record.save(config, plan.without(hosts, name))
    console.print(f"{name} is gone")


@contextmanager
def _held(data_dir: Path) -> Iterator[tuple[ClusterConfig, Hosts]]:
    """The cluster's settings and hosts, with its data directory locked for this command."""
    data_dir = data_dir.resolve()
    cluster_config.load(data_dir)  # before a lock is made where no cluster is
    with exclusive(data_dir):
        config = cluster_config.load(data_dir)
        yield config, record.require(config)


def _living(config: ClusterConfig, hosts: Hosts, name: str) -> Host:
    host = hosts.named(name)
    if not power.running(config, host):
        raise ConfigError(f"{name} is stopped: `tiphys node start {name}` boots it")
    return host


async def _with_client(config: ClusterConfig, work: Callable[[Client], Awaitable[None]]) -> None:
    client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
    try:
        await work(client)
    except ApiError as error:
        raise ConfigError(f"the apiserver refuses: {error.message}") from error
    except OSError as error:
        raise ConfigError(f"the apiserver does not answer: {error}") from error
    finally:
        await client.close()


async def _known(client: Client, name: str) -> bool:
    return any(node.metadata.name == name for node in (await client.list(Node)).items)
