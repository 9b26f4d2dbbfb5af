"""WebSocket (RFC 6455) on a taken-over connection: handshake facts here, frames by wsproto."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.utilities import ProtocolError

from .messages import BadRequest, HeaderList, RawConnection, Request

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
CLOSE_TIMEOUT_SECONDS: Final = 5.0
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_upgrade(request: Request) -> bool:
    """Whether a client asks for WebSocket."""
    headers = request.headers
    return headers.get(b"upgrade").lower() == b"websocket" and b"upgrade" in headers.tokens(b"connection")


def offered(request: Request) -> list[str]:
    """The subprotocols a client offers, in its order of preference; empty if it names none."""
    values = request.headers.get_all(b"sec-websocket-protocol")
    return [part.strip().decode("latin-1") for value in values for part in value.split(b",") if part.strip()]


def choose(request: Request, supported: Sequence[str]) -> str | None:
    """The first offered subprotocol that is supported; "" if none is offered and "" is; else None."""
    names = offered(request)
    if not names:
        return "" if "" in supported else None
    return next((name for name in names if name in supported), None)


def handshake_headers(request: Request, protocol: str = "") -> HeaderList:
    """What goes into the 101 response. Raises BadRequest for a malformed handshake."""
    key = request.headers.get(b"sec-websocket-key")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        good = False
    if not good or request.headers.get(b"sec-websocket-version") != b"13" or request.method != "GET":
        raise BadRequest("malformed WebSocket handshake")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    headers = [(b"Sec-WebSocket-Accept", accept)]
    if protocol:
        headers.append((b"Sec-WebSocket-Protocol", protocol.encode("latin-1")))
    return tuple(headers)


def request_headers(protocols: Sequence[str] = ()) -> HeaderList:
    """What a client sends to ask for WebSocket."""
    headers = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
        (b"Sec-WebSocket-Key", base64.b64encode(os.urandom(16))),
    ]
    if protocols:
        headers.append((b"Sec-WebSocket-Protocol", ", ".join(protocols).encode("latin-1")))
    return tuple(headers)


class WebSocket:
    """Messages over a connection whose handshake is done. One task reads; any may write."""

    __slots__ = ("_fragments", "_size", "_state", "connection")

    def __init__(self, connection: RawConnection, *, server: bool = True) -> None:
        self.connection = connection
        self._state = Connection(ConnectionType.SERVER if server else ConnectionType.CLIENT)
        self._fragments: list[bytes | str] = []
        self._size = 0

    async def receive(self) -> bytes | str | None:
        """The next message: bytes for a binary one, str for text; None when the peer has closed or is gone. Pings are
        answered on the way. A message over the limit, or bytes that are no WebSocket, close the connection."""
        while True:
            try:
                for event in self._state.events():
                    message = self._take(event)
                    if message is not None:
                        return message
                data = b"" if self._state.state is ConnectionState.CLOSED else await self.connection.read()
                if not data:
                    self.connection.close()
                    return None
                self._state.receive_data(data)
            except ProtocolError:
                self._refuse(1002, "protocol error")

    def _take(self, event: object) -> bytes | str | None:
        if isinstance(event, Message):
            data = bytes(event.data) if isinstance(event, BytesMessage) else str(event.data)
            self._size += len(data)
            if self._size > MAX_MESSAGE_BYTES:
                self._refuse(1009, "message too big")
                return None
            self._fragments.append(data)
            if event.message_finished:
                fragments, self._fragments, self._size = self._fragments, [], 0
                return fragments[0] if len(fragments) == 1 else _joined(fragments)
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            if self._state.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())
                self.connection.close()
            elif self._state.state is ConnectionState.OPEN:  # not the peer's: wsproto could not parse it
                self._refuse(event.code, event.reason or "")
        return None

    def _refuse(self, code: int, reason: str) -> None:
        self.close(code, reason)
        self.connection.close()

    def send(self, data: bytes | str) -> None:
        """Queue one message, binary or text by its type; no-op once closing."""
        if self._state.state is ConnectionState.OPEN:
            self._send(BytesMessage(data) if isinstance(data, bytes) else TextMessage(data))

    def ping(self) -> None:
        if self._state.state is ConnectionState.OPEN:
            self._send(Ping())

    async def drain(self) -> None:
        """Wait until the connection takes more; raises ConnectionError when it is gone."""
        await self.connection.drain()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye; the connection closes when the peer has, or when its owner closes it."""
        if self._state.state is ConnectionState.OPEN:
            self._send(CloseConnection(code, reason))

    async def finish(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait (a few seconds at most) for the peer to answer, so that what was sent before arrives."""
        self.close(code, reason)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                while await self.receive() is not None:
                    pass
        except TimeoutError:
            self.connection.abort()

    @property
    def open(self) -> bool:
        return self._state.state is ConnectionState.OPEN and not self.connection.closed

    def _send(self, event: BytesMessage | TextMessage | Ping | Pong | CloseConnection) -> None:
        if not self.connection.closed:
            self.connection.write(self._state.send(event))


def _joined(fragments: list[bytes | str]) -> bytes | str:
    if isinstance(fragments[0], str):
        return "".join(part for part in fragments if isinstance(part, str))
    return b"".join(part for part in fragments if isinstance(part, bytes))
