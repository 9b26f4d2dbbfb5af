"""A machine joins a cluster that it knows only by an address, a token and a fingerprint.

    1. discovery    cluster-info is read from whoever answers; it is believed because the token's secret half signed it
                    and its authority has the fingerprint, then read again over the connection that this proves
    2. kubelet      a bootstrap token may ask for a node's client certificate
    3. agents       the node asks for those of proxy and DNS
    4. settings     how nodes of this cluster are set up

The kubelet's serving certificate comes later, while it runs (`node_certificates`): it is approved by comparison with
the addresses its Node reports.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tiphys.api import bootstrap_tokens
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.client.config import ClientConfig
from tiphys.cmd import settings
from tiphys.cmd.certificate_files import RequestRefused, obtain, read
from tiphys.cmd.certificates import write_private
from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.node_certificates import client_certificates, write_kubeconfigs

DEFAULT_PORT = 6443
ANSWER_SECONDS = 10.0
"""For each apiserver asked during discovery."""
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class JoinError(ConfigError):
    """Why a machine cannot join; one line for the user."""


async def join(
    server_urls: Sequence[str],
    token: str,
    ca_cert_hash: str,
    node_name: str,
    node_ip: str,
    data_dir: Path,
    *,
    kubelet_port: int = 10250,
) -> ClusterConfig:
    """Make this machine a member: its certificates and kubeconfigs are under `data_dir` then, 0600.

    `server_urls` are apiservers (``https://host:port`` or ``host:port``) of which one must answer; `token` is a
    bootstrap token; `ca_cert_hash` is ``sha256:<hex>`` of the authority's public key. Returns the settings to save and
    run with. May be run again: what was signed before and is still valid is kept. Raises JoinError.
    """
    halves = bootstrap_tokens.split(token)
    if halves is None:
        raise JoinError("the token is not of the form abcdef.0123456789abcdef")
    if not _HASH.fullmatch(ca_cert_hash):
        raise JoinError(f"the authority's hash {ca_cert_hash!r} is not of the form sha256:<64 hex digits>")
    server, ca = await discover([url_of(url) for url in server_urls], halves, ca_cert_hash)
    joining = ClientConfig(server=server, ca_data=ca, token=token)
    try:
        async with _client(joining) as client:
            found = await settings.read(client)
            config = _config(found, server, node_name, node_ip, data_dir, kubelet_port)
            write_private(config.pki_dir / "ca.crt", ca)
            await _credentials(client, config, server)
    except ApiError as error:
        if error.code == 401:
            raise JoinError(f"{server} does not accept the token: it has expired or may not authenticate") from None
        raise JoinError(f"{server} refuses: {error.message}") from None
    except msgspec.DecodeError as error:
        raise JoinError(f"the settings in ConfigMap kube-system/{settings.SETTINGS} are damaged: {error}") from None
    except (RequestRefused, OSError) as error:
        raise JoinError(str(error) or repr(error)) from None
    return config


async def discover(urls: Sequence[str], token: tuple[str, str], ca_cert_hash: str) -> tuple[str, bytes]:
    """(URL of an apiserver that answers, the cluster's authority as PEM), both verified. Raises JoinError."""
    failures = []
    for url in urls:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                ca = await _authority_of(url, token, ca_cert_hash)
                # Once more, now that an impostor would be noticed: who answers holds a certificate of that authority.
                async with _client(ClientConfig(server=url, ca_data=ca)) as client:
                    verified = await client.get(
                        ConfigMap, bootstrap_tokens.CLUSTER_INFO, bootstrap_tokens.CLUSTER_INFO_NAMESPACE
                    )
            _signed_content(verified, token)
        except ApiError as error:
            failures.append(f"{url}: {error.message}")
        except TimeoutError:
            failures.append(f"{url}: no answer in {ANSWER_SECONDS:.0f} s")
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            return url, ca
    raise JoinError(f"no apiserver answers as it should: {'; '.join(failures) or 'none was named'}")


def ca_hash(ca: bytes) -> str:
    """``sha256:<hex>`` of the first certificate's public key (DER of SubjectPublicKeyInfo), as kubeadm's."""
    return _key_hash(x509.load_pem_x509_certificates(ca)[0])


def url_of(text: str) -> str:
    """An apiserver's URL from ``https://host:port``, ``host:port`` or ``host``. Raises JoinError."""
    url = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise JoinError(f"{text} is not an address such as https://192.0.2.1:6443") from None
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/"):
        raise JoinError(f"{text} is not an address such as https://192.0.2.1:6443")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port or DEFAULT_PORT}"


async def _authority_of(url: str, token: tuple[str, str], ca_cert_hash: str) -> bytes:
    """The authority that `url` claims, held against the token's signature and the hash. Raises JoinError."""
    async with _client(ClientConfig(server=url, insecure_skip_tls_verify=True)) as client:
        found = await client.get(ConfigMap, bootstrap_tokens.CLUSTER_INFO, bootstrap_tokens.CLUSTER_INFO_NAMESPACE)
    content = _signed_content(found, token)
    try:
        cluster = yaml.safe_load(content)["clusters"][0]["cluster"]
        ca = base64.b64decode(cluster["certificate-authority-data"], validate=True)
        hashes = [_key_hash(certificate) for certificate in x509.load_pem_x509_certificates(ca)]
    except (yaml.YAMLError, KeyError, IndexError, TypeError, binascii.Error, ValueError):
        raise JoinError(f"cluster-info of {url} has no authority") from None
    if not any(hmac.compare_digest(known, ca_cert_hash) for known in hashes):
        raise JoinError(f"the authority of {url} has the hash {hashes[0]}, not {ca_cert_hash}: is it another cluster?")
    return ca


def _signed_content(cluster_info: ConfigMap, token: tuple[str, str]) -> str:
    """The kubeconfig in cluster-info, once the token's signature is verified. Raises JoinError."""
    token_id, secret = token
    content = cluster_info.data.get(bootstrap_tokens.KUBECONFIG_KEY, "")
    jws = cluster_info.data.get(bootstrap_tokens.SIGNATURE_PREFIX + token_id)
    if jws is None:
        advice = "make one with `tiphys token create`"
        raise JoinError(f"the cluster knows no token {token_id}: it is wrong, or has expired: {advice}")
    if not bootstrap_tokens.verifies(jws, content, token_id, secret):
        raise JoinError(f"the token {token_id}.… is wrong: its secret half did not sign this cluster's cluster-info")
    return content


async def _credentials(joining: Client, config: ClusterConfig, server: str) -> None:
    """The node's client certificates, and kubeconfigs that point at them."""
    now = datetime.now(UTC)
    wanted = client_certificates(config)
    kubelet = wanted.pop("kubelet")
    if read(kubelet, now) is None:
        await obtain(joining, kubelet)
    write_kubeconfigs(config)
    # At the apiserver that answered: this machine's balancer does not run yet.
    as_node = dataclasses.replace(kubeconfig.load(config.kubeconfig("kubelet")), server=server)
    async with _client(as_node) as node:
        await asyncio.gather(*(obtain(node, one) for one in wanted.values() if read(one, now) is None))


def _config(
    found: settings.NodeSettings, server: str, node_name: str, node_ip: str, data_dir: Path, kubelet_port: int
) -> ClusterConfig:
    taken_over = msgspec.structs.asdict(found) | {"server_urls": found.server_urls or (server,)}
    return ClusterConfig(
        data_dir=str(data_dir),
        node_name=node_name,
        node_ip=node_ip,
        role="worker",
        secure_port=urlsplit(server).port or DEFAULT_PORT,
        kubelet_port=kubelet_port,
        **taken_over,
    )


def _key_hash(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


@contextlib.asynccontextmanager
async def _client(config: ClientConfig) -> AsyncIterator[Client]:
    client = Client.from_config(config)
    try:
        yield client
    finally:
        await client.close()
