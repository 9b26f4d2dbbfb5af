"""Reading kubeconfig files, and the service account that Kubernetes mounts into pods."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Any

import yaml

from tiphys.client.config import ClientConfig

IN_CLUSTER_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(ValueError):
    """The file cannot be used; the message names the file and what is wrong with it."""


def load(path: str | Path, *, context: str = "") -> ClientConfig:
    """The configuration of `context` (the current one if empty) in a kubeconfig file. Raises KubeconfigError, OSError.

    Relative file names in it are relative to its folder. Exec and auth-provider credentials are refused.
    """
    file = Path(path)
    try:
        document = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise KubeconfigError(f"{file}: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{file}: not a kubeconfig")
    chosen = _named(document, "contexts", "context", context or document.get("current-context") or "", file)
    cluster = _named(document, "clusters", "cluster", chosen.get("cluster") or "", file)
    user = _named(document, "users", "user", chosen["user"], file) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise KubeconfigError(f"{file}: cluster {chosen.get('cluster')!r} has no server")
    for unsupported in ("exec", "auth-provider"):
        if unsupported in user:
            raise KubeconfigError(f"{file}: user {chosen['user']!r} uses {unsupported}, which is not supported")
    token_file = user.get("tokenFile")
    return ClientConfig(
        server=str(cluster["server"]).rstrip("/"),
        ca_data=_data(cluster, "certificate-authority", file),
        client_cert_data=_data(user, "client-certificate", file),
        client_key_data=_data(user, "client-key", file),
        client_identity_file=_identity_file(user, file),
        token=str(user.get("token") or ""),
        token_file=file.parent / token_file if token_file else None,
        insecure_skip_tls_verify=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        namespace=str(chosen.get("namespace") or "default"),
    )


def in_cluster(directory: Path = IN_CLUSTER_DIR) -> ClientConfig:
    """The configuration of a pod that talks to its own cluster. Raises KubeconfigError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise KubeconfigError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: not in a pod")
    shown = f"[{host}]" if ":" in host else host
    return ClientConfig(
        server=f"https://{shown}:{port}",
        ca_data=(directory / "ca.crt").read_bytes(),
        token_file=directory / "token",
        namespace=(directory / "namespace").read_text().strip(),
    )


def _named(document: dict[str, Any], section: str, item: str, name: str, file: Path) -> dict[str, Any]:
    for entry in document.get(section) or ():
        if entry.get("name") == name:
            return entry.get(item) or {}
    raise KubeconfigError(f"{file}: no {item} named {name!r}")


def _identity_file(user: dict[str, Any], file: Path) -> Path | None:
    """The one file that certificate and key are in, as where they rotate together."""
    certificate, key = user.get("client-certificate"), user.get("client-key")
    embedded = user.get("client-certificate-data") or user.get("client-key-data")
    return file.parent / certificate if certificate and certificate == key and not embedded else None


def _data(entry: dict[str, Any], key: str, file: Path) -> bytes:
    if entry.get(f"{key}-data"):
        try:
            return base64.b64decode(entry[f"{key}-data"], validate=True)
        except binascii.Error as error:
            raise KubeconfigError(f"{file}: {key}-data is not base64: {error}") from error
    return (file.parent / entry[key]).read_bytes() if entry.get(key) else b""
