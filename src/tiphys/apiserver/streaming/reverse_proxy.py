"""A generic reverse proxy: the ``proxy`` subresource of pods, services and nodes."""

from __future__ import annotations

import re
import ssl
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit

from tiphys.api import errors
from tiphys.base.http.client import ClientStream, HttpClient, UpgradeRefused
from tiphys.base.http.messages import (
    HeaderList,
    RawConnection,
    Request,
    Response,
    StreamResponse,
    StreamWriter,
    UpgradeResponse,
)
from tiphys.base.http.raw import relay

# Of one connection only; and who asked, which is the apiserver's secret.
_NOT_FORWARDED: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"host",
        b"authorization",
        b"content-length",
        b"expect",
        b"accept-encoding",
    }
)
# What a front proxy said of who asks, and whom they act as.
_IDENTITY: Final = (b"x-remote-user", b"x-remote-uid", b"x-remote-group", b"x-remote-extra-", b"impersonate-")
_NOT_RETURNED: Final = (_NOT_FORWARDED - {b"content-length"}) | {b"content-type", b"date", b"location"}
_HEAD_TIMEOUT_SECONDS: Final = 60.0
MAX_REWRITTEN_BYTES: Final = 4 * 1024 * 1024
# HTML attributes that hold addresses; those that start with a slash are the backend's own.
_LINK: Final = re.compile(
    rb"""(\b(?:href|src|action|cite|background|codebase|longdesc|poster|data|formaction|icon|manifest)\s*=\s*["']?)(/(?!/))""",
    re.IGNORECASE,
)


async def reverse_proxy(
    request: Request, base_url: str, target: str, prefix: str, tls: ssl.SSLContext | None
) -> Response:
    """Forward `request` to `target` (path and query, percent-encoded) at `base_url` and return the answer as it comes.

    `prefix` is what of the request's path comes before the backend's part: Location headers and links in HTML are made
    to point there. Raises ApiError 503 when the backend cannot be reached. Upgrades are passed through.
    """
    client = HttpClient(base_url, tls)
    if b"upgrade" in request.headers.tokens(b"connection"):
        return await _upgrade(request, client, target, base_url)
    stack = AsyncExitStack()
    stack.push_async_callback(client.close)
    headers = forwarded_headers(request, prefix)
    try:
        stream = await stack.enter_async_context(
            client.stream(request.method, target, request.body, headers, timeout_seconds=_HEAD_TIMEOUT_SECONDS)
        )
    except (OSError, ssl.SSLError) as error:
        await stack.aclose()
        raise _unreachable(error, base_url) from error
    content_type = stream.headers.get(b"content-type").decode("latin-1")
    returned = returned_headers(stream, prefix, base_url)
    if request.method == "HEAD" or stream.status in (204, 304):
        await stack.aclose()
        return Response(stream.status, b"", content_type, returned)
    if content_type.startswith("text/html") and b"content-encoding" not in stream.headers:
        return await _rewritten(stream, stack, content_type, returned, prefix)

    async def run(writer: StreamWriter) -> None:
        async with stack:
            async for piece in stream:
                writer.write(piece)
                await writer.drain()

    def abandoned() -> None:
        stream.abort()

    if stream.complete:
        async with stack:
            return Response(stream.status, await stream.read_all(), content_type, returned)
    return StreamResponse(run, stream.status, content_type, returned, abandoned=abandoned)


def _unreachable(error: Exception, base_url: str) -> errors.ApiError:
    """503 in upstream's words: the backend, not the apiserver, is at fault."""
    url = urlsplit(base_url)
    address = url.netloc if url.port else f"{url.netloc}:{443 if url.scheme == 'https' else 80}"
    if isinstance(error, ConnectionRefusedError):
        reason = f"dial tcp {address}: connect: connection refused"
    elif isinstance(error, TimeoutError):
        reason = f"dial tcp {address}: i/o timeout"
    else:
        reason = f"dial tcp {address}: {error or type(error).__name__}"
    return errors.service_unavailable(f"error trying to reach service: {reason}")


async def _rewritten(
    stream: ClientStream, stack: AsyncExitStack, content_type: str, headers: HeaderList, prefix: str
) -> Response:
    async with stack:
        parts, size = [], 0
        async for piece in stream:
            parts.append(piece)
            size += len(piece)
            if size > MAX_REWRITTEN_BYTES:
                raise errors.unclassified("the page is too large to be proxied")
    page = _LINK.sub(lambda match: match[1] + prefix.rstrip("/").encode() + match[2], b"".join(parts))
    return Response(stream.status, page, content_type, headers)


def forwarded_headers(request: Request, prefix: str) -> HeaderList:
    """What the backend is sent: the client's own fields, and where it came from."""
    connection = set(request.headers.tokens(b"connection"))
    kept = [
        (name, value)
        for name, value in request.headers
        if _is_forwarded(name) and name not in connection and name != b"x-forwarded-for"
    ]
    before = request.headers.get(b"x-forwarded-for")
    via = b", ".join(part for part in (before, request.remote.encode()) if part)
    if via:
        kept.append((b"X-Forwarded-For", via))
    kept.append((b"X-Forwarded-Uri", prefix.encode("utf-8")))
    return tuple(kept)


def _is_forwarded(name: bytes) -> bool:
    return name not in _NOT_FORWARDED and not name.startswith(_IDENTITY)


def returned_headers(stream: ClientStream, prefix: str, base_url: str) -> HeaderList:
    """What the client is sent of the backend's fields."""
    kept = [
        (name.title(), value)
        for name, value in stream.headers
        if name not in _NOT_RETURNED and name != b"content-length"
    ]
    location = stream.headers.get(b"location")
    if location:
        kept.append((b"Location", _location(location, prefix, base_url)))
    return tuple(kept)


def _location(location: bytes, prefix: str, base_url: str) -> bytes:
    """A redirect as the client can follow it: addresses of the backend itself move under the prefix."""
    text = location.decode("latin-1")
    url = urlsplit(text)
    backend = urlsplit(base_url)
    if url.netloc and url.netloc != backend.netloc:
        return location
    if not url.path.startswith("/"):
        return location
    moved = url._replace(scheme="", netloc="", path=prefix.rstrip("/") + url.path)
    return moved.geturl().encode("latin-1")


async def _upgrade(request: Request, client: HttpClient, target: str, base_url: str) -> Response:
    protocol = request.headers.get(b"upgrade")
    headers = (
        (b"Connection", b"Upgrade"),
        (b"Upgrade", protocol),
        *((name, value) for name, value in request.headers if _is_forwarded(name)),
    )
    try:
        upgraded = await client.upgrade(request.method, target, headers, request.body)
    except UpgradeRefused as refused:
        await client.close()
        answer = refused.response
        return Response(answer.status, answer.body, answer.headers.get(b"content-type").decode("latin-1"))
    except (OSError, ssl.SSLError) as error:
        await client.close()
        raise _unreachable(error, base_url) from error
    returned = tuple((name.title(), value) for name, value in upgraded.headers if name not in _NOT_RETURNED)

    async def take_over(connection: RawConnection) -> None:
        try:
            await relay(connection, upgraded)
        finally:
            upgraded.abort()

    return UpgradeResponse(protocol, take_over, returned, abandoned=upgraded.abort)
