"""The apiserver on its store, SQLite or etcd, with a cluster's settings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from tiphys.apiserver.bootstrap.masters import Masters
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import PeerIdentity
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, InProcessTransport
from tiphys.cmd import aggregation_pki
from tiphys.cmd.addons import ensure_addons
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.foreground import ProcessOver
from tiphys.cmd.prepare import prepare
from tiphys.store.backend import Backend
from tiphys.store.sqlite import SqliteBackend


def server_config(config: ClusterConfig) -> ApiServerConfig:
    """The apiserver's settings; makes or renews its credentials."""
    pki = prepare(config)
    aggregation = aggregation_pki.ensure(config, datetime.now(UTC))
    issuer = f"https://kubernetes.default.svc.{config.cluster_domain}"
    return ApiServerConfig(
        port=config.secure_port,
        certificate=pki.apiserver.certificate,
        key=pki.apiserver.key,
        client_ca=pki.ca,
        kubelet_client_certificate=pki.kubelet_client.certificate,
        kubelet_client_key=pki.kubelet_client.key,
        service_account_keys=(pki.service_account_public_key,),
        service_account_signing_key=pki.service_account_key,
        service_account_issuer=issuer,
        requestheader_client_ca=aggregation.front_proxy_ca,
        requestheader_allowed_names=(aggregation_pki.FRONT_PROXY,),
        proxy_client_certificate=aggregation.front_proxy.certificate,
        proxy_client_key=aggregation.front_proxy.key,
        default_unreachable_toleration_seconds=config.default_unreachable_toleration_seconds,
        service_cidr=config.service_cidr,
        node_ports=config.node_port_range,
        advertise_address=config.node_ip,
    )


def _backend(config: ClusterConfig) -> tuple[Backend, Callable[[], Awaitable[str]] | None]:
    """The store, and what waits until it can serve no more, if that can happen."""
    if config.etcd_servers:
        # With it comes grpc: 8 MB that a server on SQLite has no use for.
        from tiphys.cmd import etcd

        mirrored = etcd.backend(config)

        async def failed() -> str:
            return str(await mirrored.failure)

        return mirrored, failed
    return SqliteBackend(config.store_path), None


@contextlib.asynccontextmanager
async def serving(config: ClusterConfig) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A started server; it is closed, and the store with it, at the end."""
    backend, failure = _backend(config)
    server = ApiServer(server_config(config), backend)
    client = Client(InProcessTransport(server.handler, PeerIdentity("system:apiserver", ("system:masters",))))

    async def until_cancelled() -> None:
        if failure is not None:
            # Whoever runs this starts another, which reads all anew.
            raise ProcessOver(f"the apiserver ends: {await failure()}")
        await asyncio.Event().wait()

    await server.start()
    masters = Masters(client, config.node_ip, server.port, server.clock) if config.etcd_servers else None
    try:
        async with Supervisor("masters") as supervisor:
            if masters is not None:
                supervisor.spawn(masters.run, "masters")
            await ensure_addons(client, config)
            yield until_cancelled
        if masters is not None:
            await masters.leave()
    finally:
        await server.close()
