"""exec, attach and port-forward: an upgraded client connection joined to one with the kubelet.

SPDY clients are passed through byte for byte; WebSocket clients are translated, for containers' runtimes speak SPDY and
the old WebSocket protocols know no end of stdin.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Final

from tiphys.api import errors
from tiphys.apiserver.streaming import channels, port_forward, remote_command
from tiphys.base.http import websocket
from tiphys.base.http.client import HttpClient, UpgradedConnection, UpgradeRefused
from tiphys.base.http.messages import HeaderList, RawConnection, Request, Response, UpgradeResponse, parse_target
from tiphys.base.http.raw import relay

SPDY: Final = b"SPDY/3.1"
_STREAM_PROTOCOL: Final = b"X-Stream-Protocol-Version"
_DIAL_TIMEOUT_SECONDS: Final = 30.0


async def proxy_upgrade(request: Request, kubelet: HttpClient, target: str) -> Response:
    """Join the client of `request` to the kubelet's stream at `target` (see `locations`): ``/exec/…``, ``/attach/…``
    or ``/portForward/…``. Returns the upgrade, or the kubelet's refusal. Raises ApiError: 400 for a request that wants
    no upgrade known here, 500 when the kubelet cannot be reached."""
    headers = request.headers
    if websocket.is_upgrade(request):
        return await _websocket(request, kubelet, target)
    if headers.get(b"upgrade").lower() == SPDY.lower() and b"upgrade" in headers.tokens(b"connection"):
        wanted = headers.get_all(_STREAM_PROTOCOL)
        upgraded = await _dial(kubelet, target, [value.decode("latin-1") for value in wanted], request.method)
        if isinstance(upgraded, Response):
            return upgraded
        chosen = upgraded.headers.get(_STREAM_PROTOCOL)
        passed = ((_STREAM_PROTOCOL, chosen),) if chosen else ()
        return _join(SPDY, passed, upgraded, lambda client: relay(client, upgraded))
    raise errors.bad_request("Upgrade request required")


async def _websocket(request: Request, kubelet: HttpClient, target: str) -> Response:
    forwards = target.startswith("/portForward/")
    supported = (port_forward.TUNNEL, *channels.PORT_FORWARD) if forwards else channels.REMOTE_COMMAND
    protocol = websocket.choose(request, supported)
    if protocol is None:
        raise errors.bad_request(
            f"unable to negotiate protocol: client supports {websocket.offered(request)}, "
            f"server accepts {[name for name in supported if name]}"
        )
    try:
        accepted = websocket.handshake_headers(request, protocol)
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
    wanted = [port_forward.PROTOCOL] if forwards else list(remote_command.SPDY_PROTOCOLS)
    upgraded = await _dial(kubelet, target, wanted, "POST")
    if isinstance(upgraded, Response):
        return upgraded
    _, parameters = parse_target(target.encode())
    if protocol == port_forward.TUNNEL:
        return _join(b"websocket", accepted, upgraded, lambda client: port_forward.tunnel(client, upgraded))
    if forwards:
        ports = [int(port) for port in parameters.get_all("port") if port.isdigit()]
        if not ports:
            upgraded.abort()
            raise errors.bad_request('query parameter "port" is required')
        return _join(
            b"websocket",
            accepted,
            upgraded,
            lambda client: port_forward.forward_channels(client, upgraded, protocol, ports),
        )
    return _join(
        b"websocket",
        accepted,
        upgraded,
        lambda client: remote_command.translate(client, upgraded, protocol, parameters),
    )


def _join(
    protocol: bytes,
    headers: HeaderList,
    upgraded: UpgradedConnection,
    run: Callable[[RawConnection], Awaitable[None]],
) -> UpgradeResponse:
    async def take_over(client: RawConnection) -> None:
        try:
            await run(client)
        finally:
            upgraded.close()

    return UpgradeResponse(protocol, take_over, headers, abandoned=upgraded.abort)


async def _dial(kubelet: HttpClient, target: str, protocols: list[str], method: str) -> UpgradedConnection | Response:
    wanted = tuple((_STREAM_PROTOCOL, name.encode("latin-1")) for name in protocols)
    headers = ((b"Connection", b"Upgrade"), (b"Upgrade", SPDY), *wanted)
    try:
        return await kubelet.upgrade(method, target, headers, timeout_seconds=_DIAL_TIMEOUT_SECONDS)
    except UpgradeRefused as refused:
        answer = refused.response
        content_type = answer.headers.get(b"content-type", b"text/plain").decode("latin-1")
        return Response(answer.status, answer.body, content_type)
    except (OSError, ssl.SSLError) as error:
        raise dialing_failed(error) from error


def dialing_failed(error: Exception) -> errors.ApiError:
    """500 in upstream's words, for a node or pod that cannot be reached."""
    return errors.unclassified(f"error dialing backend: {error or type(error).__name__}")
