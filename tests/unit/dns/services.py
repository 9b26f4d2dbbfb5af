"""Services and endpoints for the tests of DNS, short to write."""

from __future__ import annotations

from typing import Any

from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice

PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}]


def service(name: str = "web", ip: str = "10.96.0.7", namespace: str = "shop", **spec: Any) -> Service:
    """``ip`` "": an ExternalName has none."""
    address = {"clusterIP": ip, "clusterIPs": [ip]} if ip else {}
    wire = {"metadata": {"name": name, "namespace": namespace}, "spec": {**address, "ports": PORTS, **spec}}
    return from_dict(Service, wire)


def endpoint(address: str, hostname: str = "", **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "hostname": hostname or None, "conditions": conditions or {"ready": True}}


def slice_of(*endpoints: dict[str, Any], service_name: str = "web", name: str = "web-1") -> EndpointSlice:
    wire = {
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    return from_dict(EndpointSlice, wire)
