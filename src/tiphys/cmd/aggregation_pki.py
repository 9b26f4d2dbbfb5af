"""Credentials of aggregation: the front proxy's authority and identity, and what the metrics server shows.

<data-dir>/pki/front-proxy-ca.{crt,key}       signs front proxies alone: who it names may speak for any user
<data-dir>/pki/front-proxy-client.{crt,key}   who the apiserver is to servers of other groups
<data-dir>/pki/metrics-server.{crt,key}       signed by the cluster's authority
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tiphys.cmd.certificates import Authority, Identity, Profile, load_or_issue
from tiphys.cmd.config import ClusterConfig
from tiphys.metrics.config import NAMESPACE, SERVICE

FRONT_PROXY: Final = "front-proxy-client"


@dataclass(frozen=True, slots=True)
class AggregationPki:
    """Certificates and keys are PEM. `front_proxy_ca` signed `front_proxy`; `ca`, the cluster's, `metrics_server`."""

    ca: bytes
    front_proxy_ca: bytes
    front_proxy: Identity
    metrics_server: Identity


def ensure(config: ClusterConfig, now: datetime) -> AggregationPki:
    """Make or renew what is missing; `now` is aware. Idempotent. Raises PkiError when an authority is damaged."""
    directory = config.pki_dir
    authority = Authority.load_or_create(directory / "ca.crt", directory / "ca.key", "kubernetes", now)
    front = Authority.load_or_create(
        directory / "front-proxy-ca.crt", directory / "front-proxy-ca.key", "front-proxy-ca", now
    )
    host = f"{SERVICE}.{NAMESPACE}.svc"
    names = (host, f"{SERVICE}.{NAMESPACE}", f"{host}.{config.cluster_domain}")
    return AggregationPki(
        ca=authority.pem,
        front_proxy_ca=front.pem,
        front_proxy=load_or_issue(front, Profile(FRONT_PROXY), directory / "front-proxy-client", now),
        metrics_server=load_or_issue(authority, Profile(host, names=names), directory / "metrics-server", now),
    )
