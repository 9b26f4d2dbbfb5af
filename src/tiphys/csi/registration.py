"""The registration service that a plugin offers the kubelet on a socket of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from tiphys.csi.client import connect
from tiphys.csi.errors import CsiCode, CsiError
from tiphys.csi.wire import REGISTRATION

CSI_PLUGIN: Final = "CSIPlugin"
TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Registration:
    """What a plugin says of itself. `endpoint` is the driver's socket; the registration socket when empty."""

    type: str
    name: str
    endpoint: str
    versions: tuple[str, ...]


class RegistrationSocket:
    """``async with``: ask who is there, and say what became of it. Raises CsiError."""

    def __init__(self, socket: Path) -> None:
        self._channel = connect(socket)

    async def __aenter__(self) -> RegistrationSocket:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(grace=None)

    async def info(self) -> Registration:
        answer = await self._call("GetInfo", REGISTRATION["InfoRequest"](), REGISTRATION["PluginInfo"])
        return Registration(answer.type, answer.name, answer.endpoint, tuple(answer.supported_versions))

    async def notify(self, *, registered: bool, error: str = "") -> None:
        status = REGISTRATION["RegistrationStatus"](plugin_registered=registered, error=error)
        await self._call("NotifyRegistrationStatus", status, REGISTRATION["RegistrationStatusResponse"])

    async def _call(self, method: str, request: Any, response: Any) -> Any:
        call: Any = self._channel.unary_unary(
            f"/pluginregistration.Registration/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        try:
            return await call(request, timeout=TIMEOUT_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise CsiError(CsiCode.UNKNOWN, error.details() or "") from None
