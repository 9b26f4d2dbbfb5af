"""Requests out of one connection's bytes, with the limits a server has on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httptools

from .messages import BadRequest, Headers, PeerIdentity, Request

_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class ReadRequest(NamedTuple):
    """A request and what its connection must know to answer it."""

    request: Request
    keep_alive: bool
    old_protocol: bool  # HTTP/1.0: no chunked answers


class RequestParser:
    """Feeds `deliver` with requests, in order.

    `started` is True from a request's first byte to its last, `in_body` from the end of its head; `admitted` is for the
    connection to set there. `awaited`: the peer waits for ``100 Continue``. A head may exceed `max_header_bytes` by no
    more than what one read brings.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_deliver",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_max_body_bytes",
        "_max_header_bytes",
        "_old_protocol",
        "_parser",
        "_url",
        "admitted",
        "awaited",
        "in_body",
        "peer",
        "remote",
        "started",
    )

    def __init__(
        self,
        deliver: Callable[[ReadRequest], None],
        *,
        max_header_bytes: int,
        max_body_bytes: int,
    ) -> None:
        self._deliver = deliver
        self._max_header_bytes = max_header_bytes
        self._max_body_bytes = max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers = Headers()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._keep_alive = True
        self._old_protocol = False
        self.peer: PeerIdentity | None = None
        self.remote = ""
        self.started = False
        self.in_body = False
        self.admitted = False
        self.awaited = False

    def feed(self, data: bytes) -> bytes | None:
        """Parse `data`. Returns None, or after a request to upgrade the bytes that follow it (no longer HTTP).
        Raises BadRequest; then nothing more can be read from this peer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, BadRequest) else BadRequest("malformed HTTP request") from error
        if self.started and not self.in_body:
            self._head_bytes += len(data)
            if self._head_bytes > self._max_header_bytes:
                raise BadRequest("request header fields too large", 431)
        return None

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = Headers()
        self._body = []
        self._body_bytes = 0
        self.started = True
        self.admitted = self.awaited = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_body:
            # Trailers: nobody here wants any, and they must not pass for headers that were checked before the body.
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > self._max_header_bytes:
                raise BadRequest("request trailer fields too large", 431)
            return
        self._headers.add(name, value)

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self.in_body = True
        headers = self._headers
        # After a refused upgrade, what follows cannot be told from what the peer meant to upgrade to.
        self._keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._old_protocol = self._parser.get_http_version() != "1.1"
        if b"host" not in headers and not self._old_protocol:
            raise BadRequest("missing required Host header")
        length = headers.get(b"content-length")
        if length and int(length) > self._max_body_bytes:
            raise BadRequest(f"limit is {self._max_body_bytes}", 413)
        if b"expect" in headers:
            if headers.get(b"expect").lower() != b"100-continue":
                raise BadRequest("unknown expectation", 417)
            self.awaited = True

    def on_body(self, data: bytes) -> None:
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body_bytes:
            raise BadRequest(f"limit is {self._max_body_bytes}", 413)

    def on_message_complete(self) -> None:
        self.in_body = False
        self.started = False
        self._head_bytes = 0
        body = self._body
        whole = b"" if not body else body[0] if len(body) == 1 else b"".join(body)
        self._deliver(ReadRequest(self._request(whole), self._keep_alive, self._old_protocol))

    def head(self) -> Request:
        """The request whose body is being read, without it. Raises BadRequest if it is none."""
        return self._request(b"")

    def announced_bytes(self) -> int:
        """How large the body may become."""
        length = self._headers.get(b"content-length")
        return int(length) if length else self._max_body_bytes

    def _request(self, body: bytes) -> Request:
        method = self._parser.get_method()
        return Request(
            _METHODS.get(method) or method.decode(),
            self._url,
            self._headers,
            body,
            peer_certificate=self.peer,
            remote=self.remote,
        )
