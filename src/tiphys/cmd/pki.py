"""A cluster's credentials: authority, serving certificates, component identities, token keys, kubeconfigs.

    <data-dir>/pki/ca.{crt,key}                         the authority; everyone trusts ca.crt
    <data-dir>/pki/apiserver.{crt,key}                  what the apiserver shows
    <data-dir>/pki/apiserver-kubelet-client.{crt,key}   who the apiserver is to kubelets
    <data-dir>/pki/kubelet-<node>.{crt,key}             what a node's kubelet shows
    <data-dir>/pki/sa.{key,pub}                         signs and verifies service account tokens
    <data-dir>/pki/clients/<component>.{crt,key}        who each component is
    <data-dir>/kubeconfigs/<component>.kubeconfig, <data-dir>/admin.kubeconfig

Every file is 0600 and written whole. `ensure` may run at every start: what is good stays as it is.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from tiphys.cmd.certificates import (
    Authority,
    Identity,
    PkiError,
    Profile,
    load_or_issue,
    new_signing_key,
    write_private,
)
from tiphys.cmd.config import ClusterConfig

__all__ = ["Pki", "PkiError", "ensure"]

CLUSTER_NAME: Final = "tiphys"

# Component to who it is: upstream's names, which the bootstrap roles are bound to.
_CLIENTS: Final = {
    "admin": Profile("kubernetes-admin", ("system:masters",)),
    "scheduler": Profile("system:kube-scheduler"),
    "controller-manager": Profile("system:kube-controller-manager"),
    "proxy": Profile("system:kube-proxy"),
    "dns": Profile("system:serviceaccount:kube-system:kube-dns"),
    "metrics-server": Profile("system:serviceaccount:kube-system:metrics-server"),
}


@dataclass(frozen=True, slots=True)
class Pki:
    """What the processes of a cluster need. Certificates and keys are PEM."""

    directory: Path
    ca: bytes
    apiserver: Identity
    kubelet_client: Identity
    kubelet: Identity
    service_account_key: bytes
    service_account_public_key: bytes


def ensure(config: ClusterConfig, now: datetime) -> Pki:
    """Make or renew everything under `config.pki_dir` and the kubeconfigs; `now` is aware. Idempotent.

    Raises PkiError when the authority is damaged: nothing is replaced then.
    """
    directory = config.pki_dir
    authority = _authority(config, now)
    key, public = _signing_key(directory)
    for component, profile in _CLIENTS.items():
        identity = load_or_issue(authority, profile, directory / "clients" / component, now)
        write_kubeconfig(config.kubeconfig(component), config.server, authority.pem, identity, component)
        if component == "admin":
            write_kubeconfig(config.admin_kubeconfig, config.server, authority.pem, identity, "kubernetes-admin")
    ensure_node(config, config.node_name, config.node_ip, config.kubeconfig("kubelet"), now)
    kubelet_client = Profile("kube-apiserver-kubelet-client", ("system:masters",))
    return Pki(
        directory=directory,
        ca=authority.pem,
        apiserver=load_or_issue(authority, apiserver_profile(config), directory / "apiserver", now),
        kubelet_client=load_or_issue(authority, kubelet_client, directory / "apiserver-kubelet-client", now),
        kubelet=_kubelet_serving(authority, config, config.node_name, config.node_ip, now),
        service_account_key=key,
        service_account_public_key=public,
    )


def ensure_node(config: ClusterConfig, name: str, address: str, kubeconfig: Path, now: datetime) -> Identity:
    """The credentials of one node: its kubeconfig at `kubeconfig`; returns what its kubelet shows to clients."""
    authority = _authority(config, now)
    profile = Profile(f"system:node:{name}", ("system:nodes",))
    identity = load_or_issue(authority, profile, config.pki_dir / "clients" / f"kubelet-{name}", now)
    write_kubeconfig(kubeconfig, config.server, authority.pem, identity, f"system:node:{name}")
    return _kubelet_serving(authority, config, name, address, now)


def apiserver_profile(config: ClusterConfig) -> Profile:
    """The names clients reach the apiserver by: in pods, on this machine, from others."""
    domain = config.cluster_domain
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{domain}",
        "localhost",
        config.node_name,
        "127.0.0.1",
        "::1",
        config.api_service_ip,
        config.node_ip,
        *config.server_names,
    )
    return Profile("kube-apiserver", names=tuple(dict.fromkeys(name for name in names if name)))


def write_kubeconfig(path: Path, server: str, ca: bytes, identity: Identity, user: str) -> None:
    """A kubeconfig that stands alone, credentials inside; rewritten only if it differs."""
    text = kubeconfig_text(server, ca, identity, user)
    if not path.exists() or path.read_bytes() != text:
        write_private(path, text)


def kubeconfig_text(server: str, ca: bytes, identity: Identity, user: str, *, namespace: str = "") -> bytes:
    """A kubeconfig with all it needs inside; `namespace` is what its user works in."""
    context = {"cluster": CLUSTER_NAME, "user": user} | ({"namespace": namespace} if namespace else {})
    credentials = {
        "client-certificate-data": _base64(identity.certificate),
        "client-key-data": _base64(identity.key),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER_NAME, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CLUSTER_NAME, "context": context}],
        "current-context": CLUSTER_NAME,
        "preferences": {},
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _authority(config: ClusterConfig, now: datetime) -> Authority:
    directory = config.pki_dir
    return Authority.load_or_create(directory / "ca.crt", directory / "ca.key", "kubernetes", now)


def _kubelet_serving(authority: Authority, config: ClusterConfig, name: str, address: str, now: datetime) -> Identity:
    names = tuple(dict.fromkeys(value for value in (name, address, "127.0.0.1", "localhost") if value))
    profile = Profile(f"system:node:{name}", ("system:nodes",), names)
    return load_or_issue(authority, profile, config.pki_dir / f"kubelet-{name}", now)


def _signing_key(directory: Path) -> tuple[bytes, bytes]:
    """The token key pair; never replaced, since every token out there depends on it."""
    private_path, public_path = directory / "sa.key", directory / "sa.pub"
    if private_path.exists() and public_path.exists():
        return private_path.read_bytes(), public_path.read_bytes()
    if private_path.exists() or public_path.exists():
        raise PkiError(f"of {private_path} and {public_path} one is missing: restore it, or remove both")
    private, public = new_signing_key()
    write_private(private_path, private)
    write_private(public_path, public)
    return private, public


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
