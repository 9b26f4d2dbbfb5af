"""How requests reach an apiserver: over HTTPS, or by calling its handler in the same process."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from tiphys.api.errors import ApiError
from tiphys.base.http.client import ClientResponse, HttpClient, UpgradeRefused
from tiphys.base.http.messages import (
    Chunk,
    Handler,
    Headers,
    PeerIdentity,
    RawConnection,
    Request,
    Response,
    StreamResponse,
)
from tiphys.base.http.tls import load_identity
from tiphys.client.config import ClientConfig

HeaderPairs = Sequence[tuple[bytes, bytes]]
TOKEN_FILE_SECONDS: Final = 60.0
"""How long a token read from a file is used before the file is read again."""
IDENTITY_FILE_SECONDS: Final = 30.0
"""How often the file of a client certificate is looked at, when there are requests."""
MAX_WHOLE_BYTES: Final = 256 << 20
"""Of a stream that is read as one answer (an error, a log asked for as a whole)."""


class Transport(Protocol):
    """What a `Client` needs. `target` is a percent-encoded path with query; `content_type` is empty without a body."""

    async def request(
        self, method: str, target: str, body: bytes, content_type: str, headers: HeaderPairs
    ) -> ClientResponse:
        """One request and its whole answer, whatever its status. Raises OSError or TimeoutError without an answer."""
        ...

    def stream(
        self, method: str, target: str, headers: HeaderPairs = ()
    ) -> AbstractAsyncContextManager[AsyncIterable[bytes]]:
        """An answer in chunks as they arrive; ApiError for a status of 300 or more. Leaving the block ends it."""
        ...

    async def upgrade(self, method: str, target: str, protocol: bytes, headers: HeaderPairs = ()) -> RawConnection:
        """Take over the connection (exec, attach, port-forward); raises ApiError when refused."""
        ...

    async def close(self) -> None:
        """Close idle connections; requests under way fail."""
        ...


class HttpTransport:
    """HTTP/1.1 with keep-alive connections to one server."""

    def __init__(self, config: ClientConfig, *, user_agent: str = "tiphys") -> None:
        self._config = config
        self._agent = (b"user-agent", user_agent.encode())
        self._token = ""
        self._token_until = 0.0
        self._tls = config.tls_context()
        self._identity_seen = _modified(config.client_identity_file)
        self._identity_until = time.monotonic() + IDENTITY_FILE_SECONDS
        self._http = HttpClient(config.server, tls=self._tls, server_name=config.tls_server_name)

    async def request(
        self, method: str, target: str, body: bytes, content_type: str, headers: HeaderPairs
    ) -> ClientResponse:
        return await self._http.request(method, target, body, self._headers(content_type, headers))

    @asynccontextmanager
    async def stream(self, method: str, target: str, headers: HeaderPairs = ()) -> AsyncIterator[AsyncIterable[bytes]]:
        async with self._http.stream(method, target, headers=self._headers("", headers)) as answer:
            if answer.status >= 300:
                raise ApiError.from_body(answer.status, await _joined(answer))
            yield answer

    async def upgrade(self, method: str, target: str, protocol: bytes, headers: HeaderPairs = ()) -> RawConnection:
        asked = ((b"connection", b"Upgrade"), (b"upgrade", protocol), *self._headers("", headers))
        try:
            return await self._http.upgrade(method, target, asked)
        except UpgradeRefused as refusal:
            raise ApiError.from_body(refusal.response.status, refusal.response.body) from refusal

    async def close(self) -> None:
        await self._http.close()

    def _bearer_token(self) -> str:
        # Bound tokens rotate in their file, at four fifths of their life: reading it now and then is enough.
        if self._config.token_file is None:
            return self._config.token
        now = time.monotonic()
        if now >= self._token_until:
            self._token, self._token_until = self._config.bearer_token(), now + TOKEN_FILE_SECONDS
        return self._token

    def renew_identity(self) -> None:
        """Use the certificate that is in its file now, if it is another one; new connections show it."""
        file, tls = self._config.client_identity_file, self._tls
        self._identity_until = time.monotonic() + IDENTITY_FILE_SECONDS
        modified = _modified(file)
        if file is None or tls is None or modified in (0, self._identity_seen):
            return
        pem = file.read_bytes()
        load_identity(tls, pem, pem)
        self._identity_seen = modified
        self._http.renew()

    def _headers(self, content_type: str, more: HeaderPairs) -> tuple[tuple[bytes, bytes], ...]:
        if self._identity_seen and time.monotonic() >= self._identity_until:
            self.renew_identity()
        given: list[tuple[bytes, bytes]] = [self._agent, *more]
        if content_type:
            given.append((b"content-type", content_type.encode()))
        token = self._bearer_token()
        if token:
            given.append((b"authorization", b"Bearer " + token.encode()))
        return tuple(given)


def _modified(file: Path | None) -> int:
    """When a file was last written, in nanoseconds; 0 for none."""
    try:
        return file.stat().st_mtime_ns if file is not None else 0
    except OSError:
        return 0


class InProcessTransport:
    """Calls an apiserver's handler directly, as the user a client certificate with `identity` would name.

    No sockets, no TLS; bodies are the server's own bytes.
    """

    def __init__(self, handler: Handler, identity: PeerIdentity, *, user_agent: str = "tiphys") -> None:
        self._handler = handler
        self._identity = identity
        self._agent = user_agent.encode()

    async def request(
        self, method: str, target: str, body: bytes, content_type: str, headers: HeaderPairs
    ) -> ClientResponse:
        answer = await self._call(method, target, body, content_type, headers)
        if isinstance(answer, StreamResponse):
            async with _running(answer) as pipe:
                return ClientResponse(answer.status, Headers(answer.headers), await _joined(pipe))
        return ClientResponse(answer.status, Headers(answer.headers), answer.body)

    @asynccontextmanager
    async def stream(self, method: str, target: str, headers: HeaderPairs = ()) -> AsyncIterator[AsyncIterable[bytes]]:
        answer = await self._call(method, target, b"", "", headers)
        if answer.status >= 300:
            raise ApiError.from_body(answer.status, answer.body)
        if isinstance(answer, StreamResponse):
            async with _running(answer) as pipe:
                yield pipe
        else:
            yield _once(answer.body)

    async def upgrade(self, method: str, target: str, protocol: bytes, headers: HeaderPairs = ()) -> RawConnection:
        raise OSError("a handler called in process has no connection to take over")

    async def close(self) -> None:
        return None

    async def _call(self, method: str, target: str, body: bytes, content_type: str, headers: HeaderPairs) -> Response:
        sent = Headers(headers)
        sent.add(b"user-agent", self._agent)
        if content_type:
            sent.add(b"content-type", content_type.encode())
        request = Request(method, target.encode(), sent, body, peer_certificate=self._identity)
        answer = self._handler(request)
        return await answer if inspect.isawaitable(answer) else answer


class _Pipe:
    """The two ends of an in-process stream: the handler's StreamWriter and the reader's iterator of chunks."""

    def __init__(self, max_buffer_bytes: int) -> None:
        self.coalesce = False
        self._max_buffer_bytes = max_buffer_bytes
        self._chunks: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()

    @property
    def closed(self) -> bool:
        return self._ended

    def write(self, data: bytes) -> None:
        if self._ended or not data:
            return
        self._chunks.append(data)
        self._buffered_bytes += len(data)
        self._readable.set()
        if self._buffered_bytes > self._max_buffer_bytes:
            self.end(ConnectionResetError("the reader of a stream is too slow"))
        elif self._buffered_bytes > self._max_buffer_bytes // 2:
            self._writable.clear()

    def write_chunk(self, chunk: Chunk) -> None:
        self.write(chunk.data)

    async def drain(self) -> None:
        await self._writable.wait()

    async def wait_closed(self) -> None:
        await self._gone.wait()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will be written; `error` is raised to the reader after what is buffered."""
        if not self._ended:
            self._ended, self._error = True, error
        self._gone.set()
        self._readable.set()
        self._writable.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered_bytes = 0
        self._writable.set()
        return data


@asynccontextmanager
async def _running(answer: StreamResponse) -> AsyncIterator[_Pipe]:
    pipe = _Pipe(answer.max_buffer_bytes)

    async def write() -> None:
        try:
            await answer.run(pipe)
        except Exception as error:
            pipe.end(ConnectionResetError(f"the server's stream failed: {error!r}"))
        else:
            pipe.end()

    task = asyncio.ensure_future(write())
    try:
        yield pipe
    finally:
        pipe.end()
        task.cancel()
        await asyncio.wait((task,))


async def _joined(chunks: AsyncIterable[bytes]) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for chunk in chunks:
        parts.append(chunk)
        length += len(chunk)
        if length > MAX_WHOLE_BYTES:
            raise ConnectionResetError("the answer is too long")
    return b"".join(parts)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
