"""Response heads as bytes, rendered once per status and content type and reused."""

from __future__ import annotations

import time
from http import HTTPStatus

from .messages import HeaderList, Response

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_REASONS[413] = b"Request Entity Too Large"
_REASONS[422] = b"Unprocessable Entity"

# Content types may be chosen by clients (a proxied answer), so what is remembered of them has a bound.
MAX_REMEMBERED_PREFIXES = 512


class HeadRenderer:
    """Renders heads for one server. `default_headers` go into every response."""

    __slots__ = ("_date_line", "_date_second", "_extra", "_prefixes")

    def __init__(self, default_headers: HeaderList = ()) -> None:
        self._extra = render_fields(default_headers)
        self._prefixes: dict[tuple[int, str], bytes] = {}
        self._date_second = -1
        self._date_line = b""

    def date_line(self) -> bytes:
        """The Date field with its line end, rendered once a second."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            self._date_line = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()
        return self._date_line

    def prefix(self, status: int, content_type: str) -> bytes:
        """Status line, Content-Type and the server's own fields."""
        key = (status, content_type)
        found = self._prefixes.get(key)
        if found is None:
            found = b"HTTP/1.1 %d %b\r\n%b" % (status, _REASONS.get(status, b"Unknown"), self._extra)
            if content_type:
                found += render_fields(((b"Content-Type", content_type.encode("latin-1", "replace")),))
            if len(self._prefixes) < MAX_REMEMBERED_PREFIXES:
                self._prefixes[key] = found
        return found

    def head(self, response: Response, framing: bytes) -> bytes:
        """The whole head up to and with the empty line. `framing` is Content-Length or the like, with line ends."""
        return b"%b%b%b%b\r\n" % (
            self.prefix(response.status, response.content_type),
            render_fields(response.headers) if response.headers else b"",
            self.date_line(),
            framing,
        )


def render_fields(fields: HeaderList) -> bytes:
    """Header fields as lines. A line break inside a value becomes a space: a value cannot smuggle in a field."""
    rendered = b"".join([b"%b: %b\r\n" % field for field in fields])
    if rendered.count(b"\n") == rendered.count(b"\r") == len(fields):
        return rendered
    cleaned = [(name, value.replace(b"\r", b" ").replace(b"\n", b" ")) for name, value in fields]
    return b"".join([b"%b: %b\r\n" % field for field in cleaned])
