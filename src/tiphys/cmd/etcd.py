"""A member of the etcd cluster that keeps the state, and everybody's credentials for it.

<data-dir>/pki/etcd/ca.{crt,key}        signs what etcd trusts; the cluster's own authority opens no way in
<data-dir>/pki/etcd/member.{crt,key}    who a member is, to clients and to other members
<data-dir>/pki/etcd/client.{crt,key}    who an apiserver is to etcd
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from tiphys.cmd.certificates import Authority, Profile, load_or_issue
from tiphys.cmd.config import ClusterConfig
from tiphys.cmd.host_packages import Program
from tiphys.store.etcd import EtcdBackend
from tiphys.store.etcd_client import EtcdTls
from tiphys.store.etcd_snapshot import EtcdArchive

PROGRAMS: Final = (Program("etcd", "etcd-server"), Program("setpriv", "util-linux"))
CLIENT_PORT: Final = 2379
PEER_PORT: Final = 2380
CLUSTER_TOKEN: Final = "tiphys"
QUOTA_BYTES: Final = 8 << 30
"""The size etcd may grow to: what upstream recommends as the most."""
REQUEST_BYTES: Final = 4 << 20
"""An object may have 3 MB, as the apiserver limits it."""


def authority(config: ClusterConfig, now: datetime) -> Authority:
    """The one that signs for etcd, made if it is missing. Raises PkiError when it is damaged."""
    folder = config.pki_dir / "etcd"
    return Authority.load_or_create(folder / "ca.crt", folder / "ca.key", "etcd-ca", now)


def ensure_credentials(config: ClusterConfig, now: datetime) -> None:
    """Make or renew what this machine's member and apiserver need; nothing for an etcd of others'. Idempotent."""
    folder = config.pki_dir / "etcd"
    if config.etcd_member:
        names = (config.node_ip, "127.0.0.1", "localhost", config.node_name)
        member = Profile("etcd", names=names, connects=True)
        load_or_issue(authority(config, now), member, folder / "member", now)
    if config.etcd_certificate == str(folder / "client.crt"):
        load_or_issue(authority(config, now), Profile("kube-apiserver-etcd-client"), folder / "client", now)


def command(config: ClusterConfig) -> list[str]:
    """The command line of this machine's member. It ends with the process that runs it."""
    folder = config.pki_dir / "etcd"
    client, peer = f"https://{config.node_ip}:{CLIENT_PORT}", f"https://{config.node_ip}:{PEER_PORT}"
    return [
        "setpriv", "--pdeathsig", "KILL", "etcd",
        "--name", config.etcd_member,
        "--data-dir", str(config.etcd_dir),
        "--listen-client-urls", client,
        "--advertise-client-urls", client,
        "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer,
        "--initial-cluster", ",".join(config.etcd_initial_cluster),
        "--initial-cluster-token", CLUSTER_TOKEN,
        *_tls("", folder),
        *_tls("peer-", folder),
        "--enable-grpc-gateway=false",
        "--quota-backend-bytes", str(QUOTA_BYTES),
        "--max-request-bytes", str(REQUEST_BYTES),
        "--logger", "zap",
        "--log-level", "warn",
    ]  # fmt: skip


def _tls(kind: str, folder: Path) -> list[str]:
    return [
        f"--{kind}cert-file", str(folder / "member.crt"),
        f"--{kind}key-file", str(folder / "member.key"),
        f"--{kind}trusted-ca-file", str(folder / "ca.crt"),
        f"--{kind}client-cert-auth",
    ]  # fmt: skip


def backend(config: ClusterConfig) -> EtcdBackend:
    """The store on `config.etcd_servers`. Raises OSError when a credential cannot be read."""
    return EtcdBackend(config.etcd_servers, tls=_credentials(config), prefix=_prefix(config))


def archive(config: ClusterConfig) -> EtcdArchive:
    """The same for snapshots. Raises OSError when a credential cannot be read."""
    return EtcdArchive(config.etcd_servers, tls=_credentials(config), prefix=_prefix(config))


def _credentials(config: ClusterConfig) -> EtcdTls | None:
    if not (config.etcd_ca or config.etcd_certificate):
        return None
    return EtcdTls(_read(config.etcd_ca), _read(config.etcd_certificate), _read(config.etcd_key))


def _prefix(config: ClusterConfig) -> str:
    """What stands in etcd before our own ``/registry``, which is upstream's default."""
    return "" if config.etcd_prefix == "/registry" else config.etcd_prefix


def _read(path: str) -> bytes:
    return Path(path).read_bytes() if path else b""
