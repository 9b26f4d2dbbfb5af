"""Services and endpoints for the proxy's tests, short to write."""

from __future__ import annotations

from typing import Any

from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.proxy.config import ProxyConfig

CONFIG = ProxyConfig(cluster_id="0badcafe", node_name="here", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/12")


def service(
    name: str = "web",
    ip: str = "10.96.0.7",
    *,
    ports: tuple[tuple[int, int], ...] = ((80, 0),),
    protocol: str = "TCP",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> Service:
    """``ports`` are pairs of port and nodePort (0: none); ``spec`` has further fields by their wire names."""
    wire = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": ip,
            "clusterIPs": [ip],
            "ports": [
                {"name": f"p{port}", "port": port, "protocol": protocol} | ({"nodePort": node} if node else {})
                for port, node in ports
            ],
            **spec,
        },
        "status": status or {},
    }
    return from_dict(Service, wire)


def endpoint(address: str, *, node: str = "here", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions or {"ready": True}}


def slice_of(
    *endpoints: dict[str, Any],
    service_name: str = "web",
    name: str = "web-1",
    port: int = 8080,
    port_name: str = "p80",
    protocol: str = "TCP",
) -> EndpointSlice:
    wire = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service_name},
        },
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": port_name, "port": port, "protocol": protocol}],
    }
    return from_dict(EndpointSlice, wire)
