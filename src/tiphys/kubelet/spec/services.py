"""Services as environment variables. Source: the documentation, "Service: Environment variables"."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.api.types.core_v1 import Service


def service_environment(services: Iterable[Service], namespace: str, *, links: bool) -> dict[str, str]:
    """Variables for every Service of `namespace` (if `links`) and for ``default/kubernetes``."""
    chosen: dict[str, Service] = {}
    for service in services:
        own = links and service.metadata.namespace == namespace
        master = service.metadata.namespace == "default" and service.metadata.name == "kubernetes"
        if not (own or master) or (service.spec.cluster_ip or "None") == "None":
            continue
        name = service.metadata.name or ""
        if own or name not in chosen:
            chosen[name] = service
    result: dict[str, str] = {}
    for name in sorted(chosen):
        result.update(_variables(name, chosen[name]))
    return result


def _variables(name: str, service: Service) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    address = service.spec.cluster_ip or ""
    ports = service.spec.ports
    result = {f"{prefix}_SERVICE_HOST": address}
    if not ports:
        return result
    result[f"{prefix}_SERVICE_PORT"] = str(ports[0].port)
    for port in ports:
        if port.name:
            result[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    shown = f"[{address}]" if ":" in address else address
    for index, port in enumerate(ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{shown}:{port.port}"
        if index == 0:
            result[f"{prefix}_PORT"] = url
        one = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        result[one] = url
        result[f"{one}_PROTO"] = protocol.lower()
        result[f"{one}_PORT"] = str(port.port)
        result[f"{one}_ADDR"] = address
    return result
