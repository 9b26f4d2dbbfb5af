"""What handlers get and give: Request, Response and its streaming and upgrading kinds. No I/O here."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

HeaderList = tuple[tuple[bytes, bytes], ...]

CLOSE = (b"Connection", b"close")
"""Among a refusal's headers: the connection closes after it."""
MAX_QUERY_PARAMETERS = 10_000

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadRequest(ValueError):
    """A request that cannot be understood; `status` is what the peer is answered before the connection closes."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Headers:
    """Header fields by name, any case. A field sent more than once: `get` gives the first, `get_all` each."""

    __slots__ = ("_first", "_more")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._first: dict[bytes, bytes] = {}
        self._more: list[tuple[bytes, bytes]] | None = None
        for name, value in pairs:
            self.add(name, value)

    def add(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        if key not in self._first:
            self._first[key] = value
        elif self._more is None:
            self._more = [(key, value)]
        else:
            self._more.append((key, value))

    def get(self, name: bytes, default: bytes = b"") -> bytes:
        """The (first) value, or `default`. Fastest with a lower-case `name`."""
        value = self._first.get(name)
        return self._first.get(name.lower(), default) if value is None else value

    def get_all(self, name: bytes) -> list[bytes]:
        """Every value in the order sent; empty if there is none."""
        key = name.lower()
        if key not in self._first:
            return []
        return [self._first[key], *(value for more, value in self._more or () if more == key)]

    def __contains__(self, name: bytes) -> bool:
        return name in self._first or name.lower() in self._first

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """(lower-case name, value) pairs; fields sent twice come at the end."""
        yield from self._first.items()
        yield from self._more or ()

    def __len__(self) -> int:
        return len(self._first) + len(self._more or ())

    def tokens(self, name: bytes) -> list[bytes]:
        """The comma-separated elements of a list header in lower case, e.g. ``Connection: keep-alive, Upgrade``."""
        values = self.get_all(name)
        return [part.strip().lower() for value in values for part in value.split(b",") if part.strip()]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


class Query:
    """The query string's parameters, parsed when first asked for; then BadRequest is raised if there are too many."""

    __slots__ = ("_parsed", "raw")

    def __init__(self, raw: bytes = b"") -> None:
        self.raw = raw
        self._parsed: dict[str, list[str]] | None = None

    def _parameters(self) -> dict[str, list[str]]:
        if self._parsed is None:
            self._parsed = {}
            if self.raw:
                if self.raw.count(b"&") >= MAX_QUERY_PARAMETERS:
                    raise BadRequest("too many query parameters")
                for name, value in parse_qsl(self.raw.decode("latin-1"), keep_blank_values=True):
                    self._parsed.setdefault(name, []).append(value)
        return self._parsed

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`, or `default`."""
        if not self.raw:
            return default
        values = self._parameters().get(name)
        return values[0] if values else default

    def get_all(self, name: str) -> list[str]:
        return list(self._parameters().get(name, ())) if self.raw else []

    def __contains__(self, name: str) -> bool:
        return bool(self.raw) and name in self._parameters()

    def __bool__(self) -> bool:
        return bool(self.raw)

    def items(self) -> list[tuple[str, str]]:
        """(name, value) pairs, the values of one name together."""
        return [(name, value) for name, values in self._parameters().items() for value in values]


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who a verified client certificate says the peer is. Only made for certificates the CA signed and still valid.

    Connections may outlive certificates: `not_after` (seconds since the epoch) tells who must look again.
    `authorities` are the fingerprints of the certificates that vouch for this one; none for peers in this process.
    """

    common_name: str
    organizations: tuple[str, ...] = ()
    fingerprint_sha256: str = ""  # hexadecimal, of the DER certificate
    not_after: float = math.inf
    authorities: tuple[str, ...] = ()


class Request:
    """A request read in full. Made by the server; `user` and `attributes` are for the handler to set."""

    __slots__ = (
        "attributes",
        "body",
        "deadline",
        "headers",
        "method",
        "path",
        "peer_certificate",
        "query",
        "raw_target",
        "remote",
        "user",
    )

    def __init__(
        self,
        method: str,
        raw_target: bytes,
        headers: Headers | None = None,
        body: bytes = b"",
        *,
        peer_certificate: PeerIdentity | None = None,
        remote: str = "",
    ) -> None:
        """`raw_target` is the request line's target; raises BadRequest when it is no valid path."""
        self.method = method
        self.raw_target = raw_target
        self.path, self.query = parse_target(raw_target)
        self.headers = Headers() if headers is None else headers
        self.body = body
        self.peer_certificate = peer_certificate
        self.remote = remote  # the peer's IP address, "" in process
        self.user: Any = None
        self.attributes: Any = None
        self.deadline: float | None = None  # on the loop's clock

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


def parse_target(raw_target: bytes) -> tuple[str, Query]:
    """Percent-decoded path and query of a request target (origin or absolute form). Raises BadRequest."""
    path, mark, query = raw_target.partition(b"?")
    if not path.startswith(b"/"):
        path = _path_of_absolute(path)
    if b"%" in path:
        if _BAD_ESCAPE.search(path):
            raise BadRequest("invalid URL escape")
        path = unquote_to_bytes(path)
    try:
        return path.decode(), Query(query) if mark else Query()
    except UnicodeDecodeError as error:
        raise BadRequest("the path is not UTF-8") from error


def _path_of_absolute(target: bytes) -> bytes:
    if target == b"*":
        return target
    scheme, mark, rest = target.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("invalid request target")
    _, slash, path = rest.partition(b"/")
    return slash + path or b"/"


class Response:
    """A complete answer. Content-Length, Date and Connection are the server's to add."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        content_type: str = "application/json",
        headers: HeaderList = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type  # "" for none
        self.headers = headers

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {len(self.body)} bytes>"


class Chunk:
    """Bytes that several streams are sent: framed for chunked transfer once, shared by all."""

    __slots__ = ("_frame", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """`data` as one HTTP/1.1 chunk."""
        if self._frame is None:
            self._frame = b"%x\r\n%b\r\n" % (len(self.data), self.data)
        return self._frame


class StreamWriter(Protocol):
    """Where a StreamResponse writes. Over HTTP each write is a chunk; in process it goes to the reader's queue."""

    coalesce: bool  # True: writes within 5 ms leave together (set it for watches, not for terminals)

    def write(self, data: bytes) -> None:
        """Queue bytes without blocking. Over the stream's bound the connection is cut. No-op once closed."""
        ...

    def write_chunk(self, chunk: Chunk) -> None:
        """As `write`, for bytes shared with other streams."""
        ...

    async def drain(self) -> None:
        """Return when the peer has taken enough that more may be written (or the stream is closed)."""
        ...

    async def wait_closed(self) -> None:
        """Return when the peer is gone or the server ends the stream."""
        ...

    @property
    def closed(self) -> bool: ...


class RawConnection(Protocol):
    """A byte stream taken over from HTTP (after an upgrade)."""

    async def read(self, max_bytes: int = 65536) -> bytes:
        """At least one byte, at most `max_bytes`; b"" at the end of the stream."""
        ...

    def write(self, data: bytes) -> None:
        """Queue bytes; no-op once closed. Call `drain` between writes of much data."""
        ...

    async def drain(self) -> None:
        """Wait until the write buffer is low; raises ConnectionError when the peer is gone."""
        ...

    def write_eof(self) -> None:
        """Half-close where the transport can (TLS cannot: then the connection closes once written out)."""
        ...

    def close(self) -> None:
        """Close once what was written is sent."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    @property
    def closed(self) -> bool: ...


MAX_STREAM_BUFFER_BYTES = 8 * 1024 * 1024


class StreamResponse(Response):
    """An answer of unknown length. `run` writes it; the stream ends when `run` returns, and `run` is cancelled when
    the peer goes away. `abandoned` is called instead of `run` when the peer is gone before it starts, or wants the head
    only."""

    __slots__ = ("abandoned", "max_buffer_bytes", "run")

    def __init__(
        self,
        run: Callable[[StreamWriter], Awaitable[None]],
        status: int = 200,
        content_type: str = "application/json",
        headers: HeaderList = (),
        *,
        max_buffer_bytes: int = MAX_STREAM_BUFFER_BYTES,
        abandoned: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(status, b"", content_type, headers)
        self.abandoned = abandoned
        self.run = run
        self.max_buffer_bytes = max_buffer_bytes


class UpgradeResponse(Response):
    """``101 Switching Protocols``: after it, `take_over` owns the connection, which closes when it returns.
    `abandoned` is called instead when the peer is gone before."""

    __slots__ = ("abandoned", "protocol", "take_over")

    def __init__(
        self,
        protocol: bytes,
        take_over: Callable[[RawConnection], Awaitable[None]],
        headers: HeaderList = (),
        *,
        abandoned: Callable[[], None] | None = None,
    ) -> None:
        """`protocol` is the Upgrade header's value, e.g. b"websocket" or b"SPDY/3.1"."""
        super().__init__(101, b"", "", headers)
        self.abandoned = abandoned
        self.protocol = protocol
        self.take_over = take_over


Handler = Callable[[Request], Response | Awaitable[Response]]
