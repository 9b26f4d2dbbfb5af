"""`tiphys node …` and `tiphys join`: the command line's side of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiphys.cmd.config import DEFAULT_DATA_DIR

node_app = typer.Typer(help="Hosts of a cluster that was started with --nodes.", no_args_is_help=True)

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Where the cluster keeps its state.", envvar="TIPHYS_DATA_DIR")
]
Name = Annotated[str, typer.Argument(help="The host's name, as `tiphys node list` has it.")]


@node_app.command("list", epilog="Example:  tiphys node list")
def node_list(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """List the hosts: role, address, and whether they run."""
    from tiphys.cmd.hosts.actions import show

    show(data_dir)


@node_app.command("stop", epilog="Example:  tiphys node stop node-2")
def node_stop(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Cut a host's power: all its processes and containers die at once, and nobody is told."""
    from tiphys.cmd.hosts.actions import stop

    stop(data_dir, name)


@node_app.command("start", epilog="Example:  tiphys node start node-2")
def node_start(
    name: Name,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when its node is Ready.")] = True,
) -> None:
    """Boot a stopped host from its disk."""
    from tiphys.cmd.hosts.actions import start

    start(data_dir, name, wait=wait)


@node_app.command("partition", epilog="Example:  tiphys node partition node-2")
def node_partition(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Pull a host's network cable; all on it goes on running."""
    from tiphys.cmd.hosts.actions import partition

    partition(data_dir, name)


@node_app.command("heal", epilog="Example:  tiphys node heal node-2")
def node_heal(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Plug a host's cable in again."""
    from tiphys.cmd.hosts.actions import heal

    heal(data_dir, name)


@node_app.command("add", epilog="Examples:  tiphys node add   |   tiphys node add big-one")
def node_add(
    name: Annotated[str, typer.Argument(help="Default: node-<number>.")] = "", data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Add a node, on a host of its own; returns when it is Ready."""
    from tiphys.cmd.hosts.actions import add

    add(data_dir, name)


@node_app.command("remove", epilog="Example:  tiphys node remove node-4")
def node_remove(
    name: Name,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", help="Seconds that its pods have to leave within their budgets.")
    ] = 120.0,
) -> None:
    """Drain a node, delete it, and take its host and disk away."""
    from tiphys.cmd.hosts.actions import remove

    remove(data_dir, name, timeout_seconds=timeout_seconds)


def join(
    servers: Annotated[list[str] | None, typer.Argument(help="Apiservers: https://address:port.")] = None,
    server: Annotated[list[str] | None, typer.Option("--server", help="The same; may be repeated.")] = None,
    token: Annotated[str, typer.Option("--token", help="From `tiphys token create` on the control plane.")] = "",
    ca_cert_hash: Annotated[
        str,
        typer.Option("--ca-cert-hash", "--discovery-token-ca-cert-hash", help="The authority's: sha256:<hex>."),
    ] = "",
    node_name: Annotated[str, typer.Option("--node-name", help="The node's name; default: the host's.")] = "",
    node_ip: Annotated[str, typer.Option("--node-ip", help="The node's address; default: the host's first.")] = "",
    kubelet_port: Annotated[int, typer.Option("--kubelet-port", min=1, max=65535, help="The kubelet's port.")] = 10250,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Make this machine a worker of a cluster, or bring it back; `tiphys down` takes it away again."""
    from tiphys.cmd.worker import JoinOptions, join_machine

    urls = (*(servers or ()), *(server or ()))
    join_machine(JoinOptions(data_dir, urls, token, ca_cert_hash, node_name, node_ip, kubelet_port))


def add_to(app: typer.Typer) -> None:
    """Make them commands of `app`."""
    app.add_typer(node_app, name="node")
    example = "tiphys join 192.0.2.1:6443 --token abcdef.0123456789abcdef --ca-cert-hash sha256:…"
    app.command("join", epilog=f"Example:  {example}")(join)
