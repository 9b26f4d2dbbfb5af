"""An HTTP GET to a container: what httpGet probes and hooks send. Redirects on the same host are followed."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Final
from urllib.parse import urljoin, urlsplit

import httptools

from tiphys.api.types.core_v1 import HTTPHeader

MAX_BODY_BYTES: Final = 10 * 1024
MAX_REDIRECTS: Final = 10
_READ_BYTES: Final = 8192


class HttpAnswer:
    """A status and the beginning of a body; `location` of a redirect."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.location = ""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self.location = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if len(self.body) < MAX_BODY_BYTES:
            self.body = (self.body + body)[:MAX_BODY_BYTES]

    def on_message_complete(self) -> None:
        self.complete = True


def _insecure() -> ssl.SSLContext:
    """Probes don't check certificates: containers' are rarely signed by anyone the node knows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_TLS: ssl.SSLContext | None = None


def _tls() -> ssl.SSLContext:
    global _TLS
    if _TLS is None:
        _TLS = _insecure()
    return _TLS


async def get(
    scheme: str, host: str, port: int, path: str, headers: Iterable[HTTPHeader], user_agent: str
) -> HttpAnswer:
    """The answer after redirects; one to another host is returned as it is. Raises OSError and HttpParserError."""
    more = tuple(headers)
    target = path if path.startswith("/") else f"/{path}"
    for _ in range(MAX_REDIRECTS):
        answer = await _get_once(scheme, host, port, target, more, user_agent)
        if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
            return answer
        shown = f"[{host}]" if ":" in host else host
        following = urlsplit(urljoin(f"{scheme.lower()}://{shown}:{port}{target}", answer.location))
        if following.hostname != host.lower():
            return answer
        scheme = following.scheme
        port = following.port or (443 if scheme == "https" else 80)
        target = (following.path or "/") + (f"?{following.query}" if following.query else "")
    raise OSError(f"stopped after {MAX_REDIRECTS} redirects")


async def _get_once(
    scheme: str, host: str, port: int, target: str, headers: tuple[HTTPHeader, ...], user_agent: str
) -> HttpAnswer:
    reader, writer = await asyncio.open_connection(host, port, ssl=_tls() if scheme.lower() == "https" else None)
    try:
        writer.write(_request(host, port, target, headers, user_agent))
        answer = HttpAnswer()
        parser = httptools.HttpResponseParser(answer)
        # Scripts answer with bare newlines; upstream's probes read those.
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_data_after_close=True)
        while not answer.complete:
            data = await reader.read(_READ_BYTES)
            if not data:
                break
            parser.feed_data(data)
            if len(answer.body) >= MAX_BODY_BYTES:
                break
        answer.status = parser.get_status_code()
        if not answer.status:
            raise ConnectionResetError("EOF")
        return answer
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            writer.transport.abort()


def _request(host: str, port: int, target: str, headers: tuple[HTTPHeader, ...], user_agent: str) -> bytes:
    given = {h.name.lower() for h in headers}
    shown = f"[{host}]" if ":" in host else host
    lines = [f"GET {target} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {shown}:{port}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {user_agent}")
    if "accept" not in given:
        lines.append("Accept: */*")
    lines.extend(f"{h.name}: {h.value}" for h in headers if h.value or h.name.lower() not in ("accept", "user-agent"))
    lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")
