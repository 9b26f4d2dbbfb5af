"""Certificates of a joined node are renewed while it runs: signed by a real apiserver and controllers, time is ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tiphys.api.types.core_v1 import Node, NodeAddress, NodeStatus
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import PeerIdentity
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, InProcessTransport
from tiphys.cmd.certificate_files import read, renew_at
from tiphys.cmd.certificates import Authority
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.node_certificates import NodeCertificates, client_certificates, serving_certificate
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager
from tiphys.store.memory import MemoryBackend
from tiphys.testing.clock import FakeClock
from tiphys.testing.control_plane import ADMIN, eventually

CONTROLLERS = ("certificatesigningrequest-approving-controller", "certificatesigningrequest-signing-controller")
DAY = 86400.0


@dataclass
class World:
    clock: FakeClock
    config: ClusterConfig
    certificates: NodeCertificates
    authority: x509.Certificate

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def serials(self) -> dict[str, int]:
        wanted = {**client_certificates(self.config), "serving": serving_certificate(self.config)}
        found = {name: read(one, self.now()) for name, one in wanted.items()}
        return {name: certificate.serial_number for name, certificate in found.items() if certificate is not None}


@pytest.fixture(name="world")
async def _world(tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock()
    server = ApiServer(ApiServerConfig(), MemoryBackend(clock=clock), clock=clock)
    await server.start()

    def client(name: str, *groups: str) -> Client:
        return Client(InProcessTransport(server.handler, PeerIdentity(name, groups)), clock=clock)

    config = ClusterConfig(data_dir=str(tmp_path), node_name="n1", node_ip="192.0.2.7", role="worker")
    start = datetime.fromtimestamp(clock.now(), UTC)
    Authority.load_or_create(config.pki_dir / "ca.crt", config.pki_dir / "ca.key", "kubernetes", start)
    authority = (config.pki_dir / "ca.crt").read_bytes()
    settings = ControllerManagerConfig(
        controllers=CONTROLLERS,
        cluster_signing_certificate=authority,
        cluster_signing_key=(config.pki_dir / "ca.key").read_bytes(),
        cluster_signing_duration_seconds=10 * DAY,
    )
    status = NodeStatus(addresses=(NodeAddress(type="InternalIP", address="192.0.2.7"),))
    admin = Client(InProcessTransport(server.handler, ADMIN), clock=clock)
    await admin.create(Node(metadata=ObjectMeta(name="n1"), status=status))
    node = client("system:node:n1", "system:nodes")
    certificates = NodeCertificates(node, config, clock=clock, share=lambda: 0.8)
    try:
        async with Supervisor("test") as supervisor:
            manager = ControllerManager(client("system:kube-controller-manager"), settings, clock=clock)
            supervisor.spawn(manager.run, "controllers")
            supervisor.spawn(certificates.run, "certificates")
            yield World(clock, config, certificates, x509.load_pem_x509_certificate(authority))
    finally:
        await server.close()


async def test_all_are_renewed_before_their_end_and_the_server_shows_the_new_one(world: World) -> None:
    await eventually(lambda: len(world.serials()) == 4)
    first = world.serials()
    assert await shown(world) == first["serving"]
    for _ in range(24 * 7):
        await world.clock.advance(3600)
    assert world.serials() == first  # seven of ten days: too early
    for _ in range(24 * 2):
        await world.clock.advance(3600)
        await asyncio.sleep(0.002)
    await eventually(lambda: not set(world.serials().values()) & set(first.values()))
    second = world.serials()
    assert set(second) == set(first)
    await world.clock.advance(0)
    await asyncio.sleep(0.02)
    assert await shown(world) == second["serving"]


async def test_what_the_file_holds_is_judged(world: World, tmp_path: Path) -> None:
    await eventually(lambda: len(world.serials()) == 4)
    wanted = serving_certificate(world.config)
    certificate = read(wanted, world.now())
    assert certificate is not None
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert renew_at(certificate, 0.8) == certificate.not_valid_before_utc + life * 0.8
    assert read(wanted, world.now() + timedelta(days=11)) is None
    moved = serving_certificate(
        ClusterConfig(data_dir=world.config.data_dir, node_name="n1", node_ip="192.0.2.8", role="worker")
    )
    assert read(moved, world.now()) is None  # another address than the node has now
    wanted.path.write_bytes(b"damaged")
    assert read(wanted, world.now()) is None


async def shown(world: World) -> int:
    """The serial number of what the kubelet's server shows."""
    server = await asyncio.start_server(
        lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=world.certificates.server_tls
    )
    port = server.sockets[0].getsockname()[1]
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=5)
    server.close()
    await server.wait_closed()
    return x509.load_pem_x509_certificate(pem.encode()).serial_number
