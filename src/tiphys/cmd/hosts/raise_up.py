"""Hosts from wherever they are to running members of the cluster; each step may be repeated.

namespace, link ──► containerd, images ───────────────┐
apiserver answers ──► token ──► join (token, CSR) ──► supervisor ──► Node is Ready
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

import msgspec

from tiphys.api import bootstrap_tokens
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import config as cluster_config
from tiphys.cmd import etcd, supervision
from tiphys.cmd.certificate_files import read
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts import shared_pki, underlay
from tiphys.cmd.hosts.plan import Host, Hosts
from tiphys.cmd.hosts.record import directory
from tiphys.cmd.hosts.settings import host_settings, server_urls
from tiphys.cmd.join import ca_hash, join
from tiphys.cmd.node import containerd_of, image_cache
from tiphys.cmd.node_certificates import client_certificates
from tiphys.cmd.prepare import prepare
from tiphys.cmd.readiness import answers, images_there, node_ready, until
from tiphys.cmd.token import create_token

TOKEN_SECONDS: Final = 600
"""How long the token is good that hosts join with."""
_SIGNED_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


def boot(config: ClusterConfig, hosts: Hosts, host: Host) -> bool:
    """Start a host that has its settings on its disk; whether it did not run already. Raises ConfigError."""
    underlay.ensure_host(hosts, host)
    own = cluster_config.load(directory(config, host))
    if supervision.ask(own) is not None:
        return False
    supervision.start(own, underlay.inside(hosts, host))
    return True


def raise_control_plane(config: ClusterConfig, hosts: Hosts) -> None:
    """Start the hosts of the control plane and the store; the machine's credentials must be there."""
    members = [host for host in hosts.hosts if host.role != "worker"]

    def raise_one(host: Host) -> None:
        own = host_settings(config, hosts, host)
        shared_pki.give(config, own)
        cluster_config.save(own)
        if host.role == "server":
            prepare(own)  # its processes start together: none may wait for what another makes
        else:
            etcd.ensure_credentials(own, datetime.now(UTC))
        boot(config, hosts, host)

    if hosts.etcd:
        etcd.authority(config, datetime.now(UTC))
    if members:
        with ThreadPoolExecutor(len(members)) as pool:
            list(pool.map(raise_one, members))


async def raise_hosts(config: ClusterConfig, hosts: Hosts, progress: Callable[[str], None]) -> None:
    """Start the nodes, and return when all are Ready; the control plane was started. Raises ConfigError."""
    client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
    try:
        await raise_nodes(client, config, hosts, hosts.of("worker"), progress)
    except ApiError as error:
        raise ConfigError(f"the apiserver refuses: {error.message}") from error
    finally:
        await client.close()


async def raise_nodes(
    client: Client, config: ClusterConfig, hosts: Hosts, nodes: Sequence[Host], progress: Callable[[str], None]
) -> None:
    """Start these nodes, and return when they are Ready. Raises ConfigError."""
    await _archives(progress)
    disks = [asyncio.create_task(_disk(config, hosts, host, progress)) for host in nodes]
    try:
        server_log = "apiserver" if config.runs_control_plane else "balancer"
        await until(lambda: answers(client), "the apiserver does not answer", config, server_log)
        fresh = [host for host in nodes if not _joined(config, host)]
        if fresh:
            progress("the hosts join")
            await _join(client, config, hosts, fresh)
        began = time.time()
        booted = await asyncio.gather(*(asyncio.to_thread(boot, config, hosts, host) for host in nodes))
        progress("waiting for the nodes")
        await asyncio.gather(*disks)
    finally:
        for disk in disks:
            disk.cancel()
        await asyncio.gather(*disks, return_exceptions=True)
    await asyncio.gather(
        *(until_ready(client, config, host, began if new else 0.0) for host, new in zip(nodes, booted, strict=True))
    )


async def until_ready(client: Client, config: ClusterConfig, host: Host, since: float) -> None:
    """Wait until a node is Ready and was heard of after `since` (epoch seconds). Raises ConfigError."""
    own = cluster_config.load(directory(config, host))
    await until(lambda: node_ready(client, host.name, since), f"{host.name} is not ready", own, "node")


async def _archives(progress: Callable[[str], None]) -> None:
    """Build what the cache lacks once, not once a host."""
    from tiphys.cmd.image_build_debian import PackageError
    from tiphys.cmd.image_build_recipes import RECIPES, build

    for recipe in RECIPES:
        progress(f"image {recipe.name}")
        try:
            await asyncio.to_thread(build, recipe, image_cache())
        except PackageError as error:
            raise ConfigError(f"the nodes' first images could not be made: {error}") from error


async def _disk(config: ClusterConfig, hosts: Hosts, host: Host, progress: Callable[[str], None]) -> None:
    """A node's containerd with its first images. It needs no cluster: it starts while that does."""
    await asyncio.to_thread(underlay.ensure_host, hosts, host)
    own = msgspec.structs.replace(config, data_dir=str(directory(config, host)))
    own.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    containerd = containerd_of(own, underlay.inside(hosts, host))
    await images_there(containerd, image_cache(), lambda line: progress(f"{host.name}: {line}"))


def _joined(config: ClusterConfig, host: Host) -> bool:
    folder = directory(config, host)
    if not (folder / cluster_config.CLUSTER_FILE).exists():
        return False
    credentials = client_certificates(cluster_config.load(folder))
    return all(read(wanted, datetime.now(UTC)) is not None for wanted in credentials.values())


async def _join(client: Client, config: ClusterConfig, hosts: Hosts, nodes: Sequence[Host]) -> None:
    """Make hosts members by the way any machine takes: a token, the authority's hash, signing requests."""
    token = await create_token(client, ttl_seconds=TOKEN_SECONDS, description="hosts of this machine")
    await _signed(client, token.partition(".")[0])
    fingerprint = ca_hash((config.pki_dir / "ca.crt").read_bytes())
    urls = server_urls(config, hosts)

    async def one(host: Host) -> None:
        own = await join(
            urls, token, fingerprint, host.name, host.address, directory(config, host), kubelet_port=config.kubelet_port
        )
        cluster_config.save(own)

    await asyncio.gather(*(one(host) for host in nodes))


async def _signed(client: Client, token_id: str) -> None:
    """Wait until cluster-info is signed with the token; a controller does that."""
    end = time.monotonic() + _SIGNED_SECONDS
    key = bootstrap_tokens.SIGNATURE_PREFIX + token_id
    while True:
        # An apiserver that is ready publishes it a moment later.
        found = await client.list(ConfigMap, bootstrap_tokens.CLUSTER_INFO_NAMESPACE)
        if any(key in info.data for info in found.items if info.metadata.name == bootstrap_tokens.CLUSTER_INFO):
            return
        if time.monotonic() > end:
            raise ConfigError(f"no controller signed cluster-info in {_SIGNED_SECONDS:.0f} s: do the controllers run?")
        await asyncio.sleep(_POLL_SECONDS)
