"""One process of a cluster: the components named on its command line, wired together and run until a signal.

``python -m tiphys.cmd.process --data-dir DIR kubelet,proxy,dns``. Imports happen per component, so that a process
holds only what it runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from tiphys.base.logging import configure
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig, ConfigError, load
from tiphys.cmd.foreground import run_until_signal

_PR_SET_PDEATHSIG = 1

Component = Callable[[ClusterConfig, Path], "contextlib.AbstractAsyncContextManager[Callable[[], Awaitable[None]]]"]


@contextlib.asynccontextmanager
async def _client(path: Path) -> AsyncIterator[Client]:
    client = Client.from_config(kubeconfig.load(path))
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def _apiserver(config: ClusterConfig, _: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.apiserver import serving

    async with serving(config) as run:
        yield run


@contextlib.asynccontextmanager
async def _scheduler(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.base.allocator import keep_freed_memory
    from tiphys.base.survivors import kept_apart
    from tiphys.client.leader_election import ElectionConfig, LeaderElector
    from tiphys.cmd.scheduler import settings
    from tiphys.scheduler.scheduler import Scheduler

    said = settings(config.scheduler_config, host=config.node_name)
    said.tell()
    keep_freed_memory()
    async with _client(credentials) as client:

        async def work() -> None:
            await Scheduler(client, said.scheduler).run()

        async def elected() -> None:
            # A lost lease ends the work by an exception; whoever runs this then waits for the lease again.
            election = ElectionConfig(identity=election_identity(config), **said.election_fields())
            await LeaderElector(client, election).run(work)

        with kept_apart():
            yield elected if config.leader_elect else work


@contextlib.asynccontextmanager
async def _controllers(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.controllers import controller_manager

    async with _client(credentials) as client:
        yield controller_manager(client, config).run


@contextlib.asynccontextmanager
async def _metrics_server(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.metrics_server import metrics_server

    async with _client(credentials) as client:
        yield metrics_server(client, config, credentials).run


@contextlib.asynccontextmanager
async def _kubelet(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.node import kubelet

    async with _client(credentials) as client, kubelet(client, config) as run:
        yield run


@contextlib.asynccontextmanager
async def _proxy(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.node import proxier

    async with _client(credentials) as client:
        yield proxier(client, config).run


@contextlib.asynccontextmanager
async def _dns(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.node import dns_server

    async with _client(credentials) as client:
        yield dns_server(client, config).run


@contextlib.asynccontextmanager
async def _balancer(config: ClusterConfig, _: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.balancer import balancer_of

    async with balancer_of(config) as run:
        yield run


@contextlib.asynccontextmanager
async def _pod_routes(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.node import pod_routes

    async with _client(credentials) as client:
        yield pod_routes(client, config).run


@contextlib.asynccontextmanager
async def _hollow_nodes(config: ClusterConfig, credentials: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    from tiphys.cmd.hollow import hollow_nodes

    async with _client(credentials) as client:
        yield hollow_nodes(client, config).run


# Component to (how it is made, whose credentials it uses).
COMPONENTS: dict[str, tuple[Component, str]] = {
    "apiserver": (_apiserver, "admin"),
    "scheduler": (_scheduler, "scheduler"),
    "controller-manager": (_controllers, "controller-manager"),
    "metrics-server": (_metrics_server, "metrics-server"),
    "kubelet": (_kubelet, "kubelet"),
    "proxy": (_proxy, "proxy"),
    "dns": (_dns, "dns"),
    "balancer": (_balancer, ""),
    "pod-routes": (_pod_routes, "admin"),
    "hollow-nodes": (_hollow_nodes, "admin"),
}


def election_identity(config: ClusterConfig) -> str:
    """Who this process is in elections: another run on the same host is another candidate."""
    return f"{config.node_name}_{uuid.uuid4()}"


async def run(components: list[str], config: ClusterConfig, credentials: Path | None = None) -> None:
    """Run `components` until SIGTERM or SIGINT; raises what starting one raises."""
    made = []
    for name in components:
        make, identity = COMPONENTS[name]
        made.append((name, make(config, credentials or config.kubeconfig(identity))))
    if credentials is None and config.role != "worker":
        from tiphys.cmd.renewal import renewing

        made.append(("renewal", renewing(config, renews=not {"apiserver", "balancer"}.isdisjoint(components))))
    await run_until_signal(made)


def _die_with_parent() -> None:
    """A supervisor that is killed must not leave processes that the next one knows nothing of."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def main(
    components: list[str],
    data_dir: Path,
    credentials: Path | None = None,
    *,
    leader_elect: bool = False,
    scheduler_config: str = "",
) -> None:
    """Run in the foreground; raises ConfigError with a line that says what is wrong when it cannot start.

    `leader_elect` makes scheduler and controllers wait for their leases, even if the cluster's settings do not.
    `scheduler_config` is the text of a KubeSchedulerConfiguration, instead of the cluster's.
    """
    configure(level=os.environ.get("TIPHYS_LOG_LEVEL", "INFO"))
    if unknown := [name for name in components if name not in COMPONENTS]:
        raise ConfigError(f"no component {unknown[0]!r}: one of {', '.join(COMPONENTS)}")
    config = load(data_dir.resolve())
    config = msgspec.structs.replace(
        config,
        leader_elect=leader_elect or config.leader_elect,
        scheduler_config=scheduler_config or config.scheduler_config,
    )
    uvloop.run(run(components, config, credentials))


if __name__ == "__main__":
    _die_with_parent()
    arguments = sys.argv[1:]
    if len(arguments) != 3 or arguments[0] != "--data-dir":
        sys.exit("usage: python -m tiphys.cmd.process --data-dir DIR COMPONENT[,COMPONENT…]")
    try:
        main(arguments[2].split(","), Path(arguments[1]))
    except ConfigError as error:
        sys.exit(f"tiphys: {error}")
