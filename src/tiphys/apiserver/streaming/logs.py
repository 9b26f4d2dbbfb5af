"""Streams passed on as they come: container logs, to plain HTTP clients and to WebSocket ones."""

from __future__ import annotations

import asyncio
import base64
import ssl
from contextlib import AsyncExitStack
from typing import Final

from tiphys.api import errors
from tiphys.apiserver.streaming.upgrade import dialing_failed
from tiphys.base.http import websocket
from tiphys.base.http.client import ClientStream, HttpClient
from tiphys.base.http.messages import (
    Chunk,
    RawConnection,
    Request,
    Response,
    StreamResponse,
    StreamWriter,
    UpgradeResponse,
)

BINARY_PROTOCOLS: Final = ("", "binary.k8s.io", "base64.binary.k8s.io")


async def proxy_stream(request: Request, kubelet: HttpClient, target: str) -> Response:
    """Pass on what the kubelet answers at `target`, piece by piece; over WebSocket if the client asks for that. Raises
    ApiError: the kubelet's refusal, or 500 when it cannot be reached."""
    stack = AsyncExitStack()
    try:
        stream = await stack.enter_async_context(kubelet.stream("GET", target))
    except (OSError, ssl.SSLError) as error:
        raise dialing_failed(error) from error
    content_type = stream.headers.get(b"content-type", b"text/plain").decode("latin-1")
    if stream.status != 200:
        try:
            text = (await stream.read_all()).decode("utf-8", "replace")
        finally:
            await stack.aclose()
        raise _refusal(stream.status, text)

    async def run(writer: StreamWriter) -> None:
        async with stack:
            async for piece in stream:
                writer.write(piece)
                await writer.drain()

    response = StreamResponse(run, 200, content_type, abandoned=lambda: _drop(stream))
    return over_websocket(request, response, BINARY_PROTOCOLS) if websocket.is_upgrade(request) else response


def _refusal(status: int, text: str) -> errors.ApiError:
    """A kubelet's plain refusal as the API's: clients read its words in a Status."""
    if status == 400:
        return errors.bad_request(text)
    if status == 500:
        return errors.internal(text)
    return errors.ApiError.from_body(status, text.encode())


def _drop(stream: ClientStream) -> None:
    stream.abort()


def over_websocket(request: Request, response: StreamResponse, protocols: tuple[str, ...] = ("",)) -> Response:
    """`response` to a client that asked for WebSocket: each write becomes a message, binary for the ``binary.k8s.io``
    protocols and text otherwise. Raises ApiError 400 for a handshake that fails."""
    protocol = websocket.choose(request, protocols)
    if protocol is None:
        raise errors.bad_request(f"unable to negotiate protocol: client supports {websocket.offered(request)}")
    try:
        headers = websocket.handshake_headers(request, protocol)
    except ValueError as error:
        raise errors.bad_request(str(error)) from error
    form = "base64" if protocol.startswith("base64.") else "binary" if protocols != ("",) else "text"

    async def take_over(connection: RawConnection) -> None:
        socket = websocket.WebSocket(connection)
        gone = asyncio.ensure_future(_until_closed(socket))
        running = asyncio.ensure_future(response.run(MessageWriter(socket, form, gone)))
        try:
            await asyncio.wait((gone, running), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
                await socket.finish()
                running.result()
        finally:
            gone.cancel()
            running.cancel()
            await asyncio.gather(gone, running, return_exceptions=True)

    return UpgradeResponse(b"websocket", take_over, headers, abandoned=response.abandoned)


async def _until_closed(socket: websocket.WebSocket) -> None:
    """Answer pings until the client closes; what it says otherwise is of no interest."""
    while await socket.receive() is not None:
        pass


class MessageWriter:
    """StreamWriter whose writes are WebSocket messages."""

    def __init__(self, socket: websocket.WebSocket, form: str, gone: asyncio.Future[None]) -> None:
        """`form` is binary, base64 or text; `gone` is done when the client has closed."""
        self.coalesce = False
        self._socket = socket
        self._form = form
        self._gone = gone

    def write(self, data: bytes) -> None:
        if self._form == "binary":
            self._socket.send(data)
        elif self._form == "base64":
            self._socket.send(base64.b64encode(data).decode("ascii"))
        else:
            self._socket.send(data.decode("utf-8", "replace"))

    def write_chunk(self, chunk: Chunk) -> None:
        self.write(chunk.data)

    async def drain(self) -> None:
        await self._socket.drain()

    async def wait_closed(self) -> None:
        await asyncio.wait((self._gone,))

    @property
    def closed(self) -> bool:
        return not self._socket.open
