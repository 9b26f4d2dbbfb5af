"""Health over HTTP: the proxy's own, and each Service's with ``externalTrafficPolicy: Local`` for balancers to ask."""

from __future__ import annotations

import json
from typing import NamedTuple

from tiphys.base.http.messages import Request, Response
from tiphys.base.http.server import HttpServer
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)


class ServiceHealth(NamedTuple):
    namespace: str
    name: str
    port: int
    local_endpoints: int


class HealthServers:
    """One listener a Service. ``healthy`` is whether the proxy itself keeps up."""

    def __init__(self, address: str) -> None:
        self.healthy = False
        self._address = address
        self._states: dict[int, ServiceHealth] = {}
        self._servers: dict[int, HttpServer] = {}
        self._own: list[HttpServer] = []

    async def update(self, wanted: dict[int, ServiceHealth]) -> None:
        """Listen on exactly these ports. A port that cannot be had is logged and tried again at the next update."""
        self._states = wanted
        for port in self._servers.keys() - wanted.keys():
            await self._servers.pop(port).close(grace_seconds=0)
        for port in wanted.keys() - self._servers.keys():
            server = HttpServer(lambda _, port=port: self._answer(port))  # type: ignore[misc]
            try:
                await server.start(self._address, port)
            except OSError as error:
                _logger.warning("health check port cannot be had", port=port, error=str(error))
                continue
            self._servers[port] = server

    async def serve_own(self, port: int) -> None:
        """Serve the proxy's own /healthz until ``close``."""
        server = HttpServer(self._answer_own)
        await server.start(self._address, port)
        self._own.append(server)

    async def close(self) -> None:
        servers = [*self._servers.values(), *self._own]
        self._servers.clear()
        self._own.clear()
        for server in servers:
            await server.close(grace_seconds=0)

    def _answer(self, port: int) -> Response:
        state = self._states.get(port)
        count = state.local_endpoints if state else 0
        body = {
            "service": {"namespace": state.namespace if state else "", "name": state.name if state else ""},
            "localEndpoints": count,
            "serviceProxyHealthy": self.healthy,
        }
        return Response(200 if count and self.healthy else 503, json.dumps(body).encode())

    def _answer_own(self, request: Request) -> Response:
        if request.path not in ("/healthz", "/livez"):
            return Response(404, b"404 page not found\n", "text/plain; charset=utf-8")
        return Response(200 if self.healthy else 503, b"ok" if self.healthy else b"not synced", "text/plain")
