"""Connections to the servers of other groups: kept, verified, and turned from one that does not answer to the next."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from tiphys.apiserver.aggregation.endpoints import Address
from tiphys.apiserver.aggregation.remotes import Remote
from tiphys.base.http.client import ClientResponse, ClientStream, HttpClient, UpgradedConnection
from tiphys.base.http.messages import HeaderList
from tiphys.base.http.tls import client_context

#: How long an address that did not answer comes last.
AVOID_SECONDS: Final = 30.0
#: How long a read waits for one server while there is another to ask: a host that died says nothing at all.
PATIENCE_SECONDS: Final = 3.0
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_Key = tuple[Address, str, bytes, bool]


class Backends:
    """`identity` is the certificate and key, in PEM, by which we are known as the front proxy; empty for none."""

    def __init__(self, identity: tuple[bytes, bytes], monotonic: Callable[[], float]) -> None:
        self._identity = identity
        self._monotonic = monotonic
        self._clients: dict[_Key, HttpClient] = {}
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._avoided: dict[Address, float] = {}

    async def request(
        self,
        remote: Remote,
        addresses: Iterable[Address],
        method: str,
        target: str,
        body: bytes,
        headers: HeaderList,
        timeout_seconds: float,
    ) -> ClientResponse:
        """One whole exchange with the first server that answers. Raises OSError."""
        failure: OSError = ConnectionError("no address")
        ordered = self._ordered(addresses)
        for address in ordered:
            try:
                async with asyncio.timeout(_patience(method, address is ordered[-1])):
                    client = self._client(remote, address)
                    return await client.request(method, target, body, headers, timeout_seconds=timeout_seconds)
            except OSError as error:
                self._avoid(address)
                failure = error
                if not _another(method, error):
                    break
        raise failure

    @asynccontextmanager
    async def stream(
        self,
        remote: Remote,
        addresses: Iterable[Address],
        method: str,
        target: str,
        body: bytes,
        headers: HeaderList,
        timeout_seconds: float,
    ) -> AsyncIterator[ClientStream]:
        """As `request`, for an answer that is read while it is sent; the timeout is for its head."""
        failure: OSError = ConnectionError("no address")
        ordered = self._ordered(addresses)
        for address in ordered:
            client = self._client(remote, address)
            context = client.stream(method, target, body, headers, timeout_seconds=timeout_seconds)
            try:
                async with asyncio.timeout(_patience(method, address is ordered[-1])):
                    stream = await context.__aenter__()
            except OSError as error:
                self._avoid(address)
                failure = error
                if not _another(method, error):
                    break
                continue
            try:
                yield stream
            finally:
                await context.__aexit__(None, None, None)
            return
        raise failure

    async def upgrade(
        self, remote: Remote, addresses: Iterable[Address], method: str, target: str, headers: HeaderList, body: bytes
    ) -> UpgradedConnection:
        """Raises OSError, UpgradeRefused."""
        address = self._ordered(addresses)[0]
        return await self._client(remote, address).upgrade(method, target, headers, body)

    async def close(self) -> None:
        """End all connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.close()

    async def keep_only(self, wanted: set[tuple[Address, str]]) -> None:
        """Let go of connections to servers that nothing leads to any more: (address, server name)."""
        gone = [key for key in self._clients if (key[0], key[1]) not in wanted]
        await asyncio.gather(*(self._clients.pop(key).close() for key in gone))

    def _ordered(self, addresses: Iterable[Address]) -> list[Address]:
        now = self._monotonic()
        self._avoided = {address: until for address, until in self._avoided.items() if until > now}
        return sorted(addresses, key=lambda address: address in self._avoided)

    def _avoid(self, address: Address) -> None:
        self._avoided[address] = self._monotonic() + AVOID_SECONDS

    def _client(self, remote: Remote, address: Address) -> HttpClient:
        key = (address, remote.server_name, remote.ca, remote.insecure)
        client = self._clients.get(key)
        if client is None:
            context = self._context(remote.ca, remote.insecure)
            client = self._clients[key] = HttpClient(address.url, context, server_name=remote.server_name)
        return client

    def _context(self, ca: bytes, insecure: bool) -> ssl.SSLContext:
        found = self._contexts.get((ca, insecure))
        if found is None:
            certificate, key = self._identity
            found = client_context(ca=ca, certificate=certificate, key=key, verify=not insecure)
            self._contexts[ca, insecure] = found
        return found


def _patience(method: str, is_last: bool) -> float | None:
    return PATIENCE_SECONDS if method in _REPEATABLE and not is_last else None


def _another(method: str, error: OSError) -> bool:
    """Whether another server may be asked: always for reads, for writes only if this one was never reached."""
    return method in _REPEATABLE or isinstance(error, ConnectionRefusedError | ssl.SSLCertVerificationError)
