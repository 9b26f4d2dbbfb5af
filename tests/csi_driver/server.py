"""The driver on its sockets: CSI on one, and on another the registration that the kubelet looks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.csi_driver.driver import Refuse, TestDriver
from tiphys.csi import wire
from tiphys.csi.wire import REGISTRATION


def _handler(answer: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    async def serve(message: Any, context: Any) -> Any:
        try:
            return await answer(message)
        except Refuse as refused:
            await context.abort(refused.code, str(refused))

    return grpc.unary_unary_rpc_method_handler(
        serve, request_deserializer=request.FromString, response_serializer=lambda m: m.SerializeToString()
    )


class DriverServer:
    """`socket` serves CSI; with `registration` it registers with the kubelet whose folder that socket is in."""

    def __init__(self, driver: TestDriver, socket: Path, registration: Path | None = None) -> None:
        self._driver = driver
        self._socket = socket
        self._registration = registration
        self._servers: list[grpc.aio.Server] = []
        self.registered: list[tuple[bool, str]] = []

    def use(self, driver: TestDriver) -> None:
        """Serve another driver from now on, under the same name."""
        self._driver = driver

    async def start(self) -> None:
        services = {}
        for service, methods in wire.METHODS.items():
            handlers = {
                method: _handler(lambda m, name=method: self._driver.call(name, m), wire.request_of(method))  # type: ignore[misc]
                for method in methods
            }
            services[f"csi.v1.{service}"] = handlers
        await self._serve(self._socket, services)
        if self._registration is not None:
            await self._serve(
                self._registration,
                {
                    "pluginregistration.Registration": {
                        "GetInfo": _handler(self._info, REGISTRATION["InfoRequest"]),
                        "NotifyRegistrationStatus": _handler(self._notified, REGISTRATION["RegistrationStatus"]),
                    }
                },
            )

    async def _serve(self, socket: Path, services: dict[str, dict[str, Any]]) -> None:
        socket.parent.mkdir(parents=True, exist_ok=True)
        socket.unlink(missing_ok=True)
        server = grpc.aio.server()
        for name, handlers in services.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        server.add_insecure_port(f"unix://{socket}")
        await server.start()
        self._servers.append(server)

    async def _info(self, request: Any) -> Any:
        return REGISTRATION["PluginInfo"](
            type="CSIPlugin",
            name=self._driver.config.name,
            endpoint=str(self._socket),
            supported_versions=["1.0.0"],
        )

    async def _notified(self, status: Any) -> Any:
        self.registered.append((status.plugin_registered, status.error))
        return REGISTRATION["RegistrationStatusResponse"]()

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop(grace=None)
        self._servers.clear()
        for socket in (self._socket, self._registration):
            if socket is not None:
                socket.unlink(missing_ok=True)
