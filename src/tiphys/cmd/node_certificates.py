"""The certificates of a node that joined: which they are, and their renewal while the node runs.

<data-dir>/pki/ca.crt                       whom to trust
<data-dir>/pki/kubelet-client-current.pem   system:node:<name>, in system:nodes
<data-dir>/pki/kubelet-server-current.pem   what the kubelet shows; signed once the Node says its addresses
<data-dir>/pki/proxy-client-current.pem     system:kube-proxy
<data-dir>/pki/dns-client-current.pem       the cluster DNS
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.api.certificate_requests import (
    API_SERVER_CLIENT,
    API_SERVER_CLIENT_KUBELET,
    CLIENT_USAGES,
    KUBELET_SERVING,
    NODE_PREFIX,
    NODES_GROUP,
    SERVER_USAGES,
)
from tiphys.api.errors import ApiError
from tiphys.base.backoff import Backoff
from tiphys.base.chance import CHANCE
from tiphys.base.clock import Clock, SystemClock
from tiphys.base.http.tls import load_identity, server_context
from tiphys.base.logging import get_logger
from tiphys.base.tasks import Supervisor
from tiphys.client.client import Client
from tiphys.client.transport import HttpTransport
from tiphys.cmd.certificate_files import RequestRefused, Wanted, obtain, read, renew_at
from tiphys.cmd.certificates import private_pem, write_private
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.pki import CLUSTER_NAME

_logger = get_logger(__name__)
RENEW_SHARES: Final = (0.7, 0.9)
"""A certificate is renewed at a random point between these shares of its life, so that nodes do not all ask at once."""
_NAP_SECONDS: Final = 3600.0
"""Clocks are set, machines sleep: the time to renew is looked at this often."""
_STANDBY: Final = timedelta(days=1)


class NodeIdentity(Protocol):
    """Which node, and where its certificates are. A ClusterConfig is one."""

    @property
    def node_name(self) -> str: ...

    @property
    def node_ip(self) -> str: ...

    @property
    def pki_dir(self) -> Path: ...


def client_certificates(config: NodeIdentity) -> dict[str, Wanted]:
    """Component to the certificate it shows the apiserver."""
    return {
        "kubelet": Wanted(
            config.pki_dir / "kubelet-client-current.pem",
            API_SERVER_CLIENT_KUBELET,
            CLIENT_USAGES,
            f"{NODE_PREFIX}{config.node_name}",
            (NODES_GROUP,),
        ),
        "proxy": Wanted(
            config.pki_dir / "proxy-client-current.pem", API_SERVER_CLIENT, CLIENT_USAGES, "system:kube-proxy"
        ),
        "dns": Wanted(
            config.pki_dir / "dns-client-current.pem",
            API_SERVER_CLIENT,
            CLIENT_USAGES,
            "system:serviceaccount:kube-system:kube-dns",
        ),
    }


def serving_certificate(config: NodeIdentity) -> Wanted:
    """What the kubelet shows to the apiserver."""
    return Wanted(
        config.pki_dir / "kubelet-server-current.pem",
        KUBELET_SERVING,
        SERVER_USAGES,
        f"{NODE_PREFIX}{config.node_name}",
        (NODES_GROUP,),
        tuple(dict.fromkeys((config.node_name, config.node_ip))),
    )


def write_kubeconfigs(config: ClusterConfig) -> None:
    """Each component's kubeconfig: it points at the files that are renewed."""
    for component, wanted in client_certificates(config).items():
        cluster = {"server": config.server, "certificate-authority": str(config.pki_dir / "ca.crt")}
        user = {"client-certificate": str(wanted.path), "client-key": str(wanted.path)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": CLUSTER_NAME, "cluster": cluster}],
            "users": [{"name": wanted.common_name, "user": user}],
            "contexts": [{"name": CLUSTER_NAME, "context": {"cluster": CLUSTER_NAME, "user": wanted.common_name}}],
            "current-context": CLUSTER_NAME,
        }
        write_private(config.kubeconfig(component), yaml.safe_dump(document, sort_keys=False).encode())


class NodeCertificates:
    """Keeps a joined node's certificates valid. `server_tls` is the kubelet's, and always shows the newest one.

    Until the first serving certificate is signed it shows one of its own making, which nobody trusts.
    """

    def __init__(
        self,
        client: Client,
        config: NodeIdentity,
        *,
        clock: Clock | None = None,
        share: Callable[[], float] = lambda: CHANCE.uniform(*RENEW_SHARES),
    ) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._share = share
        self._clients = client_certificates(config)
        self._serving = serving_certificate(config)
        if read(self._serving, self._now()) is not None:
            identity = self._serving.path.read_bytes()
        else:
            identity = _standby(config.node_name, self._now())
        self.server_tls: ssl.SSLContext = server_context(
            identity, identity, client_ca=(config.pki_dir / "ca.crt").read_bytes()
        )

    async def run(self) -> None:
        """Renew them all until cancelled."""
        async with Supervisor("certificates") as supervisor:
            supervisor.spawn(self.keep_client, "kubelet-client")
            supervisor.spawn(self.keep_serving, "kubelet-server")
            for component in ("proxy", "dns"):
                wanted = self._clients[component]
                supervisor.spawn(lambda wanted=wanted: self._keep(wanted, lambda: None), component)  # type: ignore[misc]
            await supervisor.wait()

    async def keep_client(self) -> None:
        """Renew what the kubelet shows the apiserver until cancelled."""
        await self._keep(self._clients["kubelet"], self._show_client)

    async def keep_serving(self) -> None:
        """Renew what the kubelet serves with until cancelled."""
        await self._keep(self._serving, self._show_serving)

    async def _keep(self, wanted: Wanted, shown: Callable[[], None]) -> None:
        backoff = Backoff(1.0, 2.0, 60.0)
        share = self._share()
        while True:
            certificate = read(wanted, self._now())
            if certificate is not None:
                remaining = (renew_at(certificate, share) - self._now()).total_seconds()
                if remaining > 0:
                    await self._clock.sleep(min(remaining, _NAP_SECONDS))
                    continue
            try:
                await obtain(self._client, wanted)
            except (ApiError, OSError, TimeoutError, RequestRefused) as error:
                seconds = backoff.next_seconds()
                _logger.warning("no certificate", file=wanted.path.name, error=str(error), again_in_seconds=seconds)
                await self._clock.sleep(seconds)
                continue
            backoff.reset()
            share = self._share()
            shown()
            _logger.info("certificate signed", file=wanted.path.name)
            # A cluster that signs for moments only must not keep us busy all the time.
            await self._clock.sleep(1.0)

    def _show_serving(self) -> None:
        pem = self._serving.path.read_bytes()
        load_identity(self.server_tls, pem, pem)

    def _show_client(self) -> None:
        if isinstance(self._client.transport, HttpTransport):
            self._client.transport.renew_identity()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


def _standby(name: str, now: datetime) -> bytes:
    """A certificate signed by itself, and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}-not-yet-signed"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _STANDBY)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + private_pem(key)
