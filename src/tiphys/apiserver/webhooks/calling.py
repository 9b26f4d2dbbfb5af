"""One question to a webhook: by URL, or by Service, whose servers are found from its EndpointSlices."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from typing import Final, Protocol
from urllib.parse import urlsplit

from tiphys.api.types.core_v1 import Service
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.apiserver.admission.chain import Lookup
from tiphys.apiserver.aggregation.endpoints import Unresolved, resolve
from tiphys.base.http.client import HttpClient
from tiphys.base.http.tls import client_context

_DEFAULT_PORT: Final = 443
_MAXIMUM_CLIENTS: Final = 64
_MAXIMUM_ANSWER_BYTES: Final = 16 << 20
_JSON: Final = ((b"Content-Type", b"application/json"), (b"Accept", b"application/json"))
_Key = tuple[str, str, bytes]


class ServiceAddress(Protocol):
    """A ServiceReference of whatever group."""

    name: str
    namespace: str
    path: str | None
    port: int | None


class ClientConfig(Protocol):
    """A WebhookClientConfig of whatever group: `url` or `service`, and the authority that signed its certificate."""

    @property
    def ca_bundle(self) -> str | None: ...
    @property
    def service(self) -> ServiceAddress | None: ...
    @property
    def url(self) -> str | None: ...


class Unreachable(Exception):
    """The webhook gave no answer that can be used; the text says why."""


class WebhookCaller:
    """Keeps connections to the webhooks asked last. Belongs to one event loop; `close` it in the end."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._clients: OrderedDict[_Key, HttpClient] = OrderedDict()

    async def ask(self, config: ClientConfig, question: bytes, timeout_seconds: float) -> bytes:
        """POST a question; the answer's body. Raises Unreachable."""
        url, server_name, target = self._where(config)
        try:
            ca = base64.b64decode(config.ca_bundle or "", validate=True)
            client = await self._client(url, server_name, ca)
            async with asyncio.timeout(timeout_seconds):
                answer = await client.request("POST", target, question, _JSON, timeout_seconds=timeout_seconds)
        except TimeoutError as error:
            raise Unreachable(f'Post "{url}{target}": context deadline exceeded') from error
        except (OSError, binascii.Error, ssl.SSLError, ValueError) as error:
            raise Unreachable(f'Post "{url}{target}": {error}') from error
        if answer.status != 200:
            raise Unreachable(f"the server responded with the status code {answer.status} but did not say why")
        if len(answer.body) > _MAXIMUM_ANSWER_BYTES:
            raise Unreachable(f"the answer has more than {_MAXIMUM_ANSWER_BYTES} bytes")
        return answer.body

    async def close(self) -> None:
        """End all connections."""
        clients, self._clients = list(self._clients.values()), OrderedDict()
        for client in clients:
            await client.close()

    def _where(self, config: ClientConfig) -> tuple[str, str, str]:
        """Base URL, the name its certificate must carry, and the path with the query."""
        if config.service is None:
            parts = urlsplit(config.url or "")
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            return f"{parts.scheme}://{parts.netloc}", parts.hostname or "", target or "/"
        service = config.service
        port = service.port or _DEFAULT_PORT
        found = self._lookup.get(Service, service.name, service.namespace)
        slices = self._lookup.list(EndpointSlice, service.namespace)
        try:
            address = resolve(service.name, service.namespace, port, found, slices)[0]
        except Unresolved as error:
            raise Unreachable(str(error)) from error
        path = service.path or "/"
        return address.url, f"{service.name}.{service.namespace}.svc", path if path.startswith("/") else f"/{path}"

    async def _client(self, url: str, server_name: str, ca: bytes) -> HttpClient:
        key = (url, server_name, ca)
        client = self._clients.pop(key, None)
        if client is None:
            context = client_context(ca=ca) if url.startswith("https:") else None
            client = HttpClient(url, context, server_name=server_name)
            while len(self._clients) >= _MAXIMUM_CLIENTS:
                _, oldest = self._clients.popitem(last=False)
                await oldest.close()
        self._clients[key] = client
        return client
