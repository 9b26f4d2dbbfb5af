"""The last touches to an answer, where a client asks for them: indented JSON, errors in YAML, gzip."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, Protocol

import msgspec
import yaml

from tiphys.api import errors
from tiphys.apiserver import protobuf
from tiphys.apiserver.negotiation import PROTOBUF, YAML, negotiate
from tiphys.apiserver.routing import RequestInfo
from tiphys.base.http.messages import Chunk, Request, Response, StreamResponse, StreamWriter

GZIP_OVER_BYTES: Final = 128 * 1024
_NO_FOLDING: Final = 1 << 30
_GZIP_LEVEL: Final = 1
_GZIP_FORMAT: Final = 31
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_GZIPPED: Final = (b"Content-Encoding", b"gzip")
_GZIP_HEADERS: Final = (_GZIPPED, (b"Vary", b"Accept-Encoding"))
_PEOPLE: Final = (b"curl", b"Wget", b"Mozilla/5.0")


def _is_json(response: Response) -> bool:
    return response.content_type == "application/json" and response.body[:1] in (b"{", b"[")


class Compressor(Protocol):
    """What `zlib.compressobj` makes."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def wants_pretty(request: Request) -> bool:
    """True if a person reads the answer: the query says so, or the agent is a browser's or a command line's."""
    if request.query.raw and b"pretty" in request.query.raw:
        asked = request.query.get("pretty")
        if asked:
            return asked in _TRUE
    return request.headers.get(b"user-agent").startswith(_PEOPLE) or b"pretty=1" in request.headers.get(b"accept")


def pretty(response: Response) -> None:
    """Indent the answer's JSON; what is compressed already was indented before, or is another server's."""
    if _is_json(response):
        with suppress(msgspec.DecodeError):
            response.body = msgspec.json.format(response.body, indent=2)


def dress(request: Request, response: Response, info: RequestInfo | None) -> None:
    """Indent what people read, and tell clients of YAML in YAML what is refused. Answers of others pass as they are."""
    refused = response.status >= 400
    if not refused and (info is None or info.subresource == "proxy" or (info.resource and info.target is None)):
        return
    if refused:
        _written_error(request, response)
    if wants_pretty(request) and not request.path.startswith("/openapi"):
        pretty(response)


def _written_error(request: Request, response: Response) -> None:
    """A refusal's Status as YAML or protobuf for who accepts nothing better; who accepts nothing there is gets JSON."""
    accept = request.headers.get(b"accept")
    if not (b"yaml" in accept or b"protobuf" in accept) or not _is_json(response):
        return
    try:
        wanted = negotiate(accept)
    except errors.ApiError:
        return
    if wanted.media_type == YAML:
        response.body = to_yaml(msgspec.json.decode(response.body))
        response.content_type = YAML
    elif wanted.media_type == PROTOBUF:
        response.body = protobuf.encode(response.body)
        response.content_type = PROTOBUF


def to_yaml(data: object) -> bytes:
    """Plain data as YAML, names sorted as upstream's."""
    return yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=True, allow_unicode=True, width=_NO_FOLDING).encode()


def compressed(request: Request, answer: Response | Awaitable[Response]) -> Response | Awaitable[Response]:
    """The answer, with gzip if the client takes it and there is more than 128 KiB; made in a thread, off the loop."""
    if not isinstance(answer, Response):
        return _compressed_later(request, answer) if _takes_gzip(request) else answer
    if isinstance(answer, StreamResponse):
        return _compressed_stream(answer) if _takes_gzip(request) else answer
    if len(answer.body) <= GZIP_OVER_BYTES or not _takes_gzip(request):
        return answer
    return _compress(request, answer)


async def _compressed_later(request: Request, answer: Awaitable[Response]) -> Response:
    response = await answer
    if isinstance(response, StreamResponse):
        return _compressed_stream(response)
    if len(response.body) <= GZIP_OVER_BYTES:
        return response
    return await _compress(request, response)


async def _compress(request: Request, response: Response) -> Response:
    if wants_pretty(request):
        pretty(response)
    response.body = await asyncio.to_thread(_gzip, response.body)
    response.headers += _GZIP_HEADERS
    return response


def _compressed_stream(response: StreamResponse) -> StreamResponse:
    """What a list in parts writes, compressed part by part."""

    async def run(writer: StreamWriter) -> None:
        parts = _GzipParts(writer)
        await response.run(parts)
        await parts.finish()

    return StreamResponse(
        run, response.status, response.content_type, response.headers + _GZIP_HEADERS, abandoned=response.abandoned
    )


class _GzipParts:
    """A StreamWriter that compresses, in a thread, what was written since the last `drain`."""

    def __init__(self, writer: StreamWriter) -> None:
        self.coalesce = False
        self._writer = writer
        self._maker = _new_gzip()
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._waiting.append(data)

    def write_chunk(self, chunk: Chunk) -> None:
        self._waiting.append(chunk.data)

    async def drain(self) -> None:
        data, self._waiting = b"".join(self._waiting), []
        if made := await asyncio.to_thread(self._maker.compress, data):
            self._writer.write(made)
        await self._writer.drain()

    async def finish(self) -> None:
        """Write what is left and the format's end."""
        await self.drain()
        self._writer.write(self._maker.flush())

    async def wait_closed(self) -> None:
        await self._writer.wait_closed()

    @property
    def closed(self) -> bool:
        return self._writer.closed


def _new_gzip() -> Compressor:
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)


def _gzip(data: bytes) -> bytes:
    maker = _new_gzip()
    return maker.compress(data) + maker.flush()


def _takes_gzip(request: Request) -> bool:
    given = request.headers.get(b"accept-encoding")
    return b"gzip" in given and any(token.strip() == b"gzip" for token in given.split(b","))
