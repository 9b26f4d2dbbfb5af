"""Requests passed on to the server of their group, and its answers passed back as they come."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from typing import Final

from tiphys.api import errors
from tiphys.apiserver.aggregation.backends import Backends
from tiphys.apiserver.aggregation.endpoints import Address
from tiphys.apiserver.aggregation.identity import forwarded_headers
from tiphys.apiserver.aggregation.remotes import Remote
from tiphys.base.http.client import ClientStream, UpgradeRefused
from tiphys.base.http.messages import (
    HeaderList,
    Headers,
    RawConnection,
    Request,
    Response,
    StreamResponse,
    StreamWriter,
    UpgradeResponse,
)
from tiphys.base.http.raw import relay

HEAD_TIMEOUT_SECONDS: Final = 60.0
_NOT_RETURNED: Final = frozenset(
    {b"audit-id", b"connection", b"content-length", b"content-type", b"date", b"keep-alive", b"te", b"trailer"}
    | {b"transfer-encoding", b"upgrade", b"proxy-authenticate", b"cache-control"}
)


async def forward(request: Request, remote: Remote, addresses: Iterable[Address], backends: Backends) -> Response:
    """The answer of the server behind `remote`. Raises ApiError 503 when it cannot be reached."""
    headers = forwarded_headers(request, request.user)
    target = request.raw_target.decode("latin-1")
    if b"upgrade" in request.headers.tokens(b"connection"):
        return await _upgraded(request, remote, addresses, backends, headers)
    stack = contextlib.AsyncExitStack()
    context = backends.stream(remote, addresses, request.method, target, request.body, headers, HEAD_TIMEOUT_SECONDS)
    try:
        stream = await stack.enter_async_context(context)
    except OSError as error:
        raise unreachable(error) from error
    content_type = stream.headers.get(b"content-type").decode("latin-1")
    returned = _returned(stream.headers)
    if request.method == "HEAD" or stream.status in (204, 304):
        await stack.aclose()
        return Response(stream.status, b"", content_type, returned)
    if stream.complete:
        async with stack:
            return Response(stream.status, await stream.read_all(), content_type, returned)
    return _streamed(stream, stack, content_type, returned)


def unreachable(error: OSError) -> errors.ApiError:
    """503 in upstream's words."""
    kind = "tls" if isinstance(error, ssl.SSLError) else "dial"
    return errors.service_unavailable(f"error trying to reach service: {kind}: {error or type(error).__name__}")


def _streamed(
    stream: ClientStream, stack: contextlib.AsyncExitStack, content_type: str, headers: HeaderList
) -> StreamResponse:
    async def run(writer: StreamWriter) -> None:
        async with stack:
            async for piece in stream:
                writer.write(piece)
                await writer.drain()

    return StreamResponse(run, stream.status, content_type, headers, abandoned=stream.abort)


def _returned(headers: Headers) -> HeaderList:
    return tuple((name.title(), value) for name, value in headers if name not in _NOT_RETURNED)


async def _upgraded(
    request: Request, remote: Remote, addresses: Iterable[Address], backends: Backends, headers: HeaderList
) -> Response:
    protocol = request.headers.get(b"upgrade")
    target = request.raw_target.decode("latin-1")
    asked = ((b"Connection", b"Upgrade"), (b"Upgrade", protocol), *headers)
    try:
        upgraded = await backends.upgrade(remote, addresses, request.method, target, asked, request.body)
    except UpgradeRefused as refused:
        answer = refused.response
        return Response(answer.status, answer.body, answer.headers.get(b"content-type").decode("latin-1"))
    except OSError as error:
        raise unreachable(error) from error

    async def take_over(connection: RawConnection) -> None:
        try:
            await relay(connection, upgraded)
        finally:
            upgraded.abort()

    return UpgradeResponse(protocol, take_over, _returned(upgraded.headers), abandoned=upgraded.abort)
