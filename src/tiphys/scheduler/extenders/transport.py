"""The way to one extender: HTTP, or HTTPS with what its tlsConfig says."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from tiphys.base.http.client import ClientResponse, HttpClient, StaleConnection
from tiphys.base.http.tls import client_context
from tiphys.scheduler.durations import seconds
from tiphys.scheduler.extenders.settings import DEFAULT_TIMEOUT, Extender, ExtenderTLSConfig


class ExtenderError(Exception):
    """The extender did not answer, or said that it failed; the text is upstream's."""


def tls_context(settings: Extender) -> ssl.SSLContext | None:
    """How to reach it; None for plain HTTP. Raises OSError or ValueError if files or data cannot be used.

    With `enableHTTPS` and no authority nothing is verified: that is upstream's meaning of it.
    """
    if urlsplit(settings.url_prefix).scheme != "https":
        return None
    said = settings.tls_config or ExtenderTLSConfig()
    ca = _pem(said.ca_data, said.ca_file)
    certificate, key = _pem(said.cert_data, said.cert_file), _pem(said.key_data, said.key_file)
    if bool(certificate) != bool(key):
        raise ValueError("a client certificate and its key go together")
    insecure = said.insecure or (settings.enable_https and not ca)
    if insecure and ca:
        raise ValueError("specifying a root certificates file with the insecure flag is not allowed")
    return client_context(ca=ca, certificate=certificate, key=key, verify=not insecure)


def _pem(data: str, file: str) -> bytes:
    if data:
        return base64.b64decode(data, validate=True)
    return Path(file).read_bytes() if file else b""


class Transport:
    """Posts to one extender. Belongs to one event loop; `close` it in the end."""

    def __init__(self, settings: Extender) -> None:
        self._prefix = settings.url_prefix.rstrip("/")
        url = urlsplit(self._prefix)
        self._address = url.netloc
        self._path = url.path
        tls = settings.tls_config or ExtenderTLSConfig()
        self._timeout_seconds = seconds(settings.http_timeout) or seconds(DEFAULT_TIMEOUT) or 0.0
        base = f"{url.scheme}://{url.netloc}"
        self._client = HttpClient(base, tls_context(settings), server_name=tls.server_name)

    async def post(self, action: str, body: bytes) -> bytes:
        """The answer's body. Raises ExtenderError."""
        url = f"{self._prefix}/{action}"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    response = await self._request(action, body)
                except StaleConnection:
                    # It closed a connection that was kept: what was sent on it came too late to be read.
                    response = await self._request(action, body)
        except TimeoutError:
            words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            raise ExtenderError(f'Post "{url}": {words}') from None
        except ConnectionRefusedError:
            raise ExtenderError(f'Post "{url}": dial tcp {self._address}: connect: connection refused') from None
        except (OSError, ValueError) as error:
            raise ExtenderError(f'Post "{url}": {error}') from error
        if response.status != 200:
            raise ExtenderError(f"failed {action} with extender at URL {url}, code {response.status}")
        return response.body

    async def _request(self, action: str, body: bytes) -> ClientResponse:
        target, headers = f"{self._path}/{action}", ((b"Content-Type", b"application/json"),)
        return await self._client.request("POST", target, body, headers, timeout_seconds=self._timeout_seconds)

    async def close(self) -> None:
        await self._client.close()
