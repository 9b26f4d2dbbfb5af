"""`tiphys up`: from whatever the machine is now to a running cluster, each step safe to repeat."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd import supervision
from tiphys.cmd.certificates import PkiError
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.exclusive import exclusive
from tiphys.cmd.prepare import prepare

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class UpOptions:
    """What the user asked for; see `tiphys up --help`."""

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


def up(options: UpOptions) -> None:
    """Bring the cluster up; prints progress. Raises ConfigError with what is in the way and what to do."""
    started = time.monotonic()
    with exclusive(options.data_dir.resolve()):
        config, resumed = _start(options)
    asyncio.run(_until_ready(config, options))
    took = time.monotonic() - started
    console.print(f"cluster {'was up' if resumed else 'up'} after {took:.1f} s, in {config.data_dir}")
    if options.demo:
        from tiphys.cmd.demo.deploy import deploy

        deploy(config, console)
    _next_steps(config, options)


def _start(options: UpOptions) -> tuple[ClusterConfig, bool]:
    """Have the cluster's supervisor run; the settings, and whether it ran before."""
    config = _decide(options)
    if not config.hollow:
        _host_programs()
    resumed = supervision.ask(config) is not None
    if not resumed:
        _ports_free(config)
    cluster_config.save(config)
    try:
        prepare(config)
    except PkiError as error:
        raise ConfigError(str(error)) from error
    supervision.start(config)
    return config, resumed


def _decide(options: UpOptions) -> ClusterConfig:
    """The settings: of the cluster that is there already, else from the options."""
    data_dir = options.data_dir.resolve()
    if (data_dir / cluster_config.CLUSTER_FILE).exists():
        existing = cluster_config.load(data_dir)
        if existing.hollow != bool(options.hollow_nodes):
            kind = "hollow" if existing.hollow else "real"
            raise ConfigError(f"the cluster in {data_dir} is {kind}: `tiphys down` first, or choose another --data-dir")
        return existing
    hollow = options.hollow_nodes > 0
    if not hollow and os.geteuid() != 0:
        raise ConfigError("running containers needs root: use sudo, or `tiphys up --hollow` for a cluster without them")
    return ClusterConfig(
        data_dir=str(data_dir),
        node_name=_node_name(options.node_name or socket.gethostname()),
        node_ip=options.node_ip or cluster_config.host_address() or "127.0.0.1",
        secure_port=options.secure_port,
        kubelet_port=options.kubelet_port,
        service_cidr=options.service_cidr,
        pod_cidr=options.pod_cidr,
        node_port_range=options.node_port_range,
        hollow_nodes=options.hollow_nodes,
    )


def _node_name(text: str) -> str:
    """A host's name as the API takes it: lower case, without what DNS names cannot have."""
    name = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")
    return name or "node"


def _host_programs() -> None:
    from tiphys.cmd.host_packages import HostPackagesError, install, missing

    packages = missing()
    if packages:
        console.print(f"installing {', '.join(packages)}")
    try:
        install(packages)
    except HostPackagesError as error:
        raise ConfigError(str(error)) from error


def _ports_free(config: ClusterConfig) -> None:
    ports = {"--secure-port": config.secure_port}
    if not config.hollow:
        ports["--kubelet-port"] = config.kubelet_port
    for flag, port in ports.items():
        if not cluster_config.port_free(port):
            raise ConfigError(f"port {port} is taken by another program: stop it, or choose another with {flag}")


async def _until_ready(config: ClusterConfig, options: UpOptions) -> None:
    client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
    try:
        with console.status("waiting for the apiserver"):
            await _wait(lambda: _answers(client), "the apiserver does not answer", config, "apiserver")
        if config.hollow:
            wanted = config.hollow_nodes
            with console.status("waiting for the hollow nodes"):
                await _wait(
                    lambda: _ready_nodes(client, wanted), "the hollow nodes are not ready", config, "hollow-nodes"
                )
            return
        with console.status("waiting for the node") as spinner:
            await _images(config, spinner.update)
            await _wait(lambda: _ready_nodes(client, 1), "the node is not ready", config, "node")
    finally:
        await client.close()


async def _images(config: ClusterConfig, progress: Callable[[str], None]) -> None:
    """Load busybox, nginx and the sandbox image once the node's containerd answers."""
    from tiphys.cmd.image_build_debian import PackageError
    from tiphys.cmd.images import ImageError, ensure_images
    from tiphys.cmd.node import containerd_of, image_cache

    containerd = containerd_of(config)

    async def socket_there() -> bool:
        return containerd.socket.is_socket() and containerd.pid() is not None

    await _wait(socket_there, "containerd does not start", config, "node")
    try:
        await containerd.start()
        await ensure_images(containerd.socket, image_cache(), on_progress=progress)
    except (ImageError, PackageError) as error:
        raise ConfigError(f"the node's first images could not be made: {error}") from error


async def _answers(client: Client) -> bool:
    with suppress(ApiError, OSError):
        return (await client.raw("GET", "/readyz")).status == 200
    return False


async def _ready_nodes(client: Client, count: int) -> bool:
    with suppress(ApiError, OSError):
        nodes = (await client.list(Node)).items
        ready = [n for n in nodes if any(c.type == "Ready" and c.status == "True" for c in n.status.conditions)]
        return len(ready) >= count
    return False


async def _wait(condition: Callable[[], Awaitable[bool]], what: str, config: ClusterConfig, process: str) -> None:
    until = time.monotonic() + _READY_SECONDS
    while not await condition():
        if not config.socket_path.exists():
            raise ConfigError(f"the cluster in {config.data_dir} was stopped while it started")
        if time.monotonic() > until:
            log_path = config.log_dir / f"{process}.log"
            raise ConfigError(
                f"{what} after {_READY_SECONDS:.0f} s; the end of {log_path}:\n{supervision.last_lines(log_path)}"
            )
        await asyncio.sleep(_POLL_SECONDS)


def _next_steps(config: ClusterConfig, options: UpOptions) -> None:
    kubectl = f"kubectl --kubeconfig {config.admin_kubeconfig}"
    console.print("\ntry:")
    console.print(f"  {kubectl} get nodes -o wide")
    console.print(f"  {kubectl} get all{' -n demo' if options.demo else ' -A'}")
    console.print(f"  {kubectl} create deployment hello --image={'any' if config.hollow else 'nginx'} --replicas=3")
    flag = "" if Path(config.data_dir) == cluster_config.DEFAULT_DATA_DIR else f" --data-dir {config.data_dir}"
    console.print(f"stop with: tiphys down{flag}")
