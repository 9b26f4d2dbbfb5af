"""Connections to kubelets, one client a node address."""

from __future__ import annotations

import ssl
from typing import Final

from tiphys.api import errors
from tiphys.api.types.core_v1 import Node
from tiphys.base.http.client import HttpClient

# Upstream's order of preference for reaching a node.
ADDRESS_TYPES: Final = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
DEFAULT_PORT: Final = 10250
MAX_CLIENTS: Final = 8192


class Kubelets:
    """Clients by node. `tls` carries who the apiserver is to kubelets and the authority that signed theirs."""

    def __init__(self, tls: ssl.SSLContext, address_types: tuple[str, ...] = ("InternalIP", *ADDRESS_TYPES)) -> None:
        self._tls = tls
        self._address_types = address_types
        self._clients: dict[tuple[str, int], HttpClient] = {}

    def client(self, node: Node) -> HttpClient:
        """The client for a node's kubelet. Raises ApiError 500 when the node has no address."""
        host = self._address(node)
        endpoint = node.status.daemon_endpoints.kubelet_endpoint if node.status.daemon_endpoints else None
        return self.at(host, (endpoint.port if endpoint is not None else 0) or DEFAULT_PORT)

    def at(self, host: str, port: int) -> HttpClient:
        """The client for an address."""
        client = self._clients.get((host, port))
        if client is None:
            authority = f"[{host}]" if ":" in host else host
            client = HttpClient(f"https://{authority}:{port}", self._tls)
            if len(self._clients) < MAX_CLIENTS:
                self._clients[host, port] = client
        return client

    def _address(self, node: Node) -> str:
        for wanted in self._address_types:
            for address in node.status.addresses:
                if address.type == wanted and address.address:
                    return address.address
        raise errors.internal(f"no preferred addresses found; known addresses: {list(node.status.addresses)}")

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
