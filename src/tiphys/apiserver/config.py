"""What an apiserver is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

DEFAULT_PORT: Final = 6443
DEFAULT_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class ApiServerConfig:
    """Certificates and keys are PEM. Everything has a default that fits tests without sockets.

    port 0 chooses a free one. client_ca verifies client certificates and, unless kubelet_ca is given, kubelets.
    service_account_keys verify tokens; service_account_signing_key makes them. advertise_address is where pods find
    the server: the `kubernetes` Service's endpoint ("" for none). tokens: static bearer tokens to (user, groups).
    requestheader_client_ca signs front proxies: who shows such a certificate, with a name that is among
    requestheader_allowed_names (any if there are none), says for whom it asks in X-Remote-… headers. This server is one
    itself to servers of aggregated groups, by proxy_client_certificate. default_unreachable_toleration_seconds is how
    long pods that do not say otherwise stay bound to a node that is not reachable or not ready.

    The two limits of requests in flight, together, are the seats that flow control divides. A server that ends is not
    ready at once and serves on for shutdown_delay_seconds, that balancers may notice; with shutdown_send_retry_after it
    then answers 429 to new requests, instead of refusing connections, while those under way are finished, for at most
    shutdown_grace_seconds.
    """

    bind_address: str = "0.0.0.0"
    port: int = DEFAULT_PORT
    certificate: bytes = b""
    key: bytes = b""
    client_ca: bytes = b""
    kubelet_ca: bytes = b""
    kubelet_client_certificate: bytes = b""
    kubelet_client_key: bytes = b""
    service_account_keys: tuple[bytes, ...] = ()
    service_account_signing_key: bytes = b""
    service_account_issuer: str = DEFAULT_ISSUER
    api_audiences: tuple[str, ...] = ()
    service_cidr: str = "10.96.0.0/12"
    node_ports: tuple[int, int] = (30000, 32767)
    advertise_address: str = ""
    requestheader_client_ca: bytes = b""
    requestheader_allowed_names: tuple[str, ...] = ("front-proxy-client",)
    proxy_client_certificate: bytes = b""
    proxy_client_key: bytes = b""
    anonymous: bool = True
    tokens: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    default_unreachable_toleration_seconds: int = 300
    max_requests_inflight: int = 2000
    max_mutating_requests_inflight: int = 2000
    request_timeout_seconds: float = 60.0
    shutdown_delay_seconds: float = 0.0
    shutdown_send_retry_after: bool = False
    shutdown_grace_seconds: float = 10.0
