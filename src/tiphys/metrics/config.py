"""What a metrics server is started with."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.client.config import ClientConfig

NAMESPACE = "kube-system"
SERVICE = "metrics-server"
PORT_NAME = "https"


@dataclass(frozen=True, slots=True)
class MetricsServerConfig:
    """`identity` names this instance among others; `address` is where apiservers reach it. Certificates are PEM.

    `kubelet_access` is by which authority kubelets are verified and who we are to them (its `server` is not used).
    port 0 chooses a free one: clients find it by the Service's EndpointSlice.
    """

    identity: str
    address: str
    certificate: bytes
    key: bytes
    kubelet_access: ClientConfig
    bind_address: str = "0.0.0.0"
    port: int = 0
