"""A machine joins over TLS: a real apiserver on the memory store, real controllers, a bootstrap token."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from tiphys.api import bootstrap_tokens
from tiphys.api.errors import ApiError
from tiphys.api.types.authentication_v1 import SelfSubjectReview
from tiphys.api.types.certificates_v1 import CertificateSigningRequest
from tiphys.api.types.core_v1 import ConfigMap, Node, NodeAddress, NodeStatus, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.apiserver.config import ApiServerConfig
from tiphys.apiserver.server import ApiServer
from tiphys.base.http.messages import PeerIdentity
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, InProcessTransport, kubeconfig
from tiphys.client.config import ClientConfig
from tiphys.client.transport import HttpTransport
from tiphys.cmd import pki, settings
from tiphys.cmd.certificate_files import read
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.join import JoinError, ca_hash, join, url_of
from tiphys.cmd.node_certificates import NodeCertificates, client_certificates, serving_certificate
from tiphys.cmd.token import create_token, join_command, new_token, seconds_of
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.manager import ControllerManager
from tiphys.store.memory import MemoryBackend
from tiphys.testing.control_plane import eventually

CONTROLLERS = (
    "bootstrap-signer-controller",
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-signing-controller",
)


@dataclass
class Cluster:
    url: str
    ca: bytes
    client: Client
    config: ClusterConfig

    async def token(self) -> str:
        token = await create_token(self.client, ttl_seconds=3600)
        async with asyncio.timeout(5):
            while not await self._signed(token):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return token

    async def _signed(self, token: str) -> bool:
        found = await self.client.get(ConfigMap, "cluster-info", "kube-public")
        return bootstrap_tokens.SIGNATURE_PREFIX + token[:6] in found.data


@pytest.fixture(name="cluster")
async def _cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    config = ClusterConfig(data_dir=str(tmp_path / "server"), node_name="server", node_ip="192.0.2.1")
    credentials = pki.ensure(config, datetime.now(UTC))
    server = ApiServer(
        ApiServerConfig(
            bind_address="127.0.0.1",
            port=0,
            certificate=credentials.apiserver.certificate,
            key=credentials.apiserver.key,
            client_ca=credentials.ca,
        ),
        MemoryBackend(),
    )
    await server.start()
    url = f"https://127.0.0.1:{server.port}"
    config = ClusterConfig(
        data_dir=config.data_dir, node_name="server", node_ip="192.0.2.1", server_urls=(url,), pod_cidr="10.9.0.0/16"
    )
    client = Client(InProcessTransport(server.handler, PeerIdentity("admin", ("system:masters",))))
    await settings.publish(client, config, credentials.ca)
    manager = Client(InProcessTransport(server.handler, PeerIdentity("system:kube-controller-manager")))
    controllers = ControllerManager(
        manager,
        ControllerManagerConfig(
            controllers=CONTROLLERS,
            cluster_signing_certificate=credentials.ca,
            cluster_signing_key=(config.pki_dir / "ca.key").read_bytes(),
        ),
    )
    try:
        async with Supervisor("test") as supervisor:
            supervisor.spawn(controllers.run, "controllers")
            yield Cluster(url, credentials.ca, client, config)
    finally:
        await server.close()


async def joined(cluster: Cluster, data_dir: Path) -> ClusterConfig:
    return await join([cluster.url], await cluster.token(), ca_hash(cluster.ca), "worker-1", "192.0.2.9", data_dir)


async def name_of(client: Client) -> str:
    """Who the client is to the apiserver."""
    review = await client.create(SelfSubjectReview())
    return review.status.user_info.username or ""


async def test_a_machine_gets_credentials_and_settings(cluster: Cluster, tmp_path: Path) -> None:
    data_dir = tmp_path / "worker"
    config = await joined(cluster, data_dir)
    assert (config.role, config.pod_cidr, config.server_urls) == ("worker", "10.9.0.0/16", (cluster.url,))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in data_dir.rglob("*") if path.is_file()}
    assert modes == {0o600}
    names = {}
    for component in ("kubelet", "proxy", "dns"):
        client = Client.from_config(kubeconfig.load(config.kubeconfig(component)))
        names[component] = await name_of(client)
        await client.close()
    assert names == {
        "kubelet": "system:node:worker-1",
        "proxy": "system:kube-proxy",
        "dns": "system:serviceaccount:kube-system:kube-dns",
    }
    requests = (await cluster.client.list(CertificateSigningRequest)).items
    assert {request.spec.username for request in requests} >= {"system:node:worker-1"}
    assert any((request.spec.username or "").startswith("system:bootstrap:") for request in requests)


async def test_a_renewed_certificate_is_shown_by_clients_that_run(cluster: Cluster, tmp_path: Path) -> None:
    config = await joined(cluster, tmp_path / "worker")
    client = Client.from_config(kubeconfig.load(config.kubeconfig("kubelet")))
    transport = client.transport
    assert isinstance(transport, HttpTransport)
    assert await name_of(client) == "system:node:worker-1"
    wanted = client_certificates(config)
    wanted["kubelet"].path.write_bytes(wanted["proxy"].path.read_bytes())
    assert await name_of(client) == "system:node:worker-1"  # the connection is kept, the file looked at now and then
    transport.renew_identity()
    assert await name_of(client) == "system:kube-proxy"
    await client.close()


async def test_joining_again_keeps_what_was_signed(cluster: Cluster, tmp_path: Path) -> None:
    config = await joined(cluster, tmp_path / "worker")
    before = client_certificates(config)["kubelet"].path.read_bytes()
    await joined(cluster, tmp_path / "worker")
    assert client_certificates(config)["kubelet"].path.read_bytes() == before
    assert len((await cluster.client.list(CertificateSigningRequest)).items) == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda token, fingerprint: (new_token(), fingerprint), "the cluster knows no token"),
        (lambda token, fingerprint: (token[:7] + "0" * 16, fingerprint), "secret half did not sign"),
        (lambda token, fingerprint: (token, "sha256:" + "0" * 64), "has the hash sha256:"),
        (lambda token, fingerprint: ("nonsense", fingerprint), "not of the form abcdef"),
        (lambda token, fingerprint: (token, "md5:0"), "not of the form sha256:"),
    ],
)
async def test_a_wrong_token_or_hash_is_one_line(cluster: Cluster, tmp_path: Path, change: object, says: str) -> None:
    token, fingerprint = change(await cluster.token(), ca_hash(cluster.ca))  # type: ignore[operator]
    with pytest.raises(JoinError, match=says) as error:
        await join([cluster.url], token, fingerprint, "worker-1", "192.0.2.9", tmp_path / "worker")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "worker").exists()


async def test_an_apiserver_that_is_not_there_is_one_line_and_the_next_is_asked(
    cluster: Cluster, tmp_path: Path
) -> None:
    dead = "https://127.0.0.1:9"
    with pytest.raises(JoinError, match=r"no apiserver answers as it should: https://127\.0\.0\.1:9"):
        await join([dead], new_token(), ca_hash(cluster.ca), "w", "192.0.2.9", tmp_path / "worker")
    token = await cluster.token()
    config = await join([dead, cluster.url], token, ca_hash(cluster.ca), "w", "192.0.2.9", tmp_path / "worker")
    assert config.node_name == "w"


async def test_a_token_is_only_good_for_joining(cluster: Cluster) -> None:
    client = Client.from_config(ClientConfig(server=cluster.url, ca_data=cluster.ca, token=await cluster.token()))
    with pytest.raises(ApiError, match="cannot list resource"):
        await client.list(Pod)
    await client.close()


async def test_what_the_kubelet_serves_with_is_signed_once_its_node_has_the_address(
    cluster: Cluster, tmp_path: Path
) -> None:
    config = await joined(cluster, tmp_path / "worker")
    node = Client.from_config(kubeconfig.load(config.kubeconfig("kubelet")))
    certificates = NodeCertificates(node, config)
    wanted = serving_certificate(config)
    async with Supervisor("worker") as supervisor:
        supervisor.spawn(certificates.run, "certificates")
        await asyncio.sleep(0.05)
        assert read(wanted, datetime.now(UTC)) is None
        status = NodeStatus(addresses=(NodeAddress(type="InternalIP", address="192.0.2.8"),))
        made = await cluster.client.create(Node(metadata=ObjectMeta(name="worker-1"), status=status))
        await asyncio.sleep(0.05)
        assert read(wanted, datetime.now(UTC)) is None  # another address than it asks for
        made.status.addresses = (
            NodeAddress(type="InternalIP", address="192.0.2.9"),
            NodeAddress(type="Hostname", address="worker-1"),
        )
        await cluster.client.update_status(made)
        await eventually(lambda: read(wanted, datetime.now(UTC)) is not None)
        shown = await _shown(certificates.server_tls)
    await node.close()
    assert shown.issuer == x509.load_pem_x509_certificate(cluster.ca).subject


async def _shown(context: ssl.SSLContext) -> x509.Certificate:
    """What a server with this context shows."""
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=5)
    server.close()
    await server.wait_closed()
    return x509.load_pem_x509_certificate(pem.encode())


def test_what_all_machines_share_is_named_as_in_the_settings() -> None:
    config = ClusterConfig(data_dir="/d", node_name="a", node_ip="192.0.2.1", network_backend="routes")
    published = settings.shared(config)
    assert published.server_urls == ("https://192.0.2.1:6443",)
    for name in settings.NodeSettings.__struct_fields__:
        if name != "server_urls":
            assert getattr(published, name) == getattr(config, name), name


def test_addresses_of_apiservers() -> None:
    assert url_of("192.0.2.1") == "https://192.0.2.1:6443"
    assert url_of("host:7443") == url_of("https://host:7443/") == "https://host:7443"
    for wrong in ("http://host", "https://host/path", "https://", "host:port"):
        with pytest.raises(JoinError):
            url_of(wrong)


def test_the_join_command_is_whole(tmp_path: Path) -> None:
    config = ClusterConfig(data_dir=str(tmp_path), node_name="a", node_ip="192.0.2.1")
    ca = pki.ensure(config, datetime.now(UTC)).ca
    command = join_command("https://192.0.2.1:6443", "abcdef.0123456789abcdef", ca).split()
    assert command[:5] == ["tiphys", "join", "https://192.0.2.1:6443", "--token", "abcdef.0123456789abcdef"]
    assert command[5:] == ["--discovery-token-ca-cert-hash", ca_hash(ca)]


def test_durations() -> None:
    assert [seconds_of(text) for text in ("24h", "90m", "1h30m", "0", "2d")] == [86400, 5400, 5400, 0, 172800]
