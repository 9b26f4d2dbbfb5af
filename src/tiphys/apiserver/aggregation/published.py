"""The OpenAPI version 2 documents of other servers: fetched beside the checks of whether they answer, never for a
request, and only when they changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tiphys.api import codec, errors
from tiphys.apiserver.aggregation.availability import AGGREGATOR
from tiphys.apiserver.aggregation.backends import Backends
from tiphys.apiserver.aggregation.endpoints import Address
from tiphys.apiserver.aggregation.identity import identity_headers
from tiphys.apiserver.aggregation.remotes import Remote
from tiphys.apiserver.openapi.merging import Part, part_of
from tiphys.apiserver.registry import nesting
from tiphys.base.backoff import Backoff
from tiphys.base.http.messages import HeaderList
from tiphys.base.logging import get_logger

_logger = get_logger(__name__)
PATH: Final = "/openapi/v2"
#: How often a document is asked for: a server that has the same one says so in a few bytes.
REFRESH_SECONDS: Final = 60.0
FIRST_RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 600.0
FETCH_TIMEOUT_SECONDS: Final = 10.0
#: Upstream's own document has 4 MiB.
MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class _Known:
    remote: Remote
    part: Part | None = None
    etag: bytes = b""
    due: float = 0.0
    backoff: Backoff = field(
        default_factory=lambda: Backoff(FIRST_RETRY_SECONDS, maximum_seconds=LONGEST_RETRY_SECONDS)
    )


class Published:
    """What is known of each server's document, by the name of the APIService."""

    def __init__(self, backends: Backends, monotonic: Callable[[], float]) -> None:
        self._backends = backends
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    async def part(self, remote: Remote, addresses: Iterable[Address]) -> Part | None:
        """What the server's document says of the group and version; None if it has no document. What it said last is
        the answer if it is not time to ask, and if it cannot be had."""
        known = self._known.get(remote.name)
        if known is None or known.remote != remote:
            known = self._known[remote.name] = _Known(remote)
        elif self._monotonic() < known.due:
            return known.part
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                known.etag, known.part = await self._fetch(known, addresses)
        except (OSError, ValueError) as error:
            # Its resources are served all the same.
            _logger.warning("no OpenAPI document", apiservice=remote.name, error=str(error) or type(error).__name__)
            known.due = self._monotonic() + known.backoff.next_seconds()
            return known.part
        known.backoff.reset()
        known.due = self._monotonic() + REFRESH_SECONDS
        return known.part

    async def _fetch(self, known: _Known, addresses: Iterable[Address]) -> tuple[bytes, Part | None]:
        """The ETag and what the document says. Raises OSError, and ValueError for what is no such document."""
        headers: HeaderList = ((b"Accept", b"application/json"), *identity_headers(AGGREGATOR))
        if known.etag:
            headers += ((b"If-None-Match", known.etag),)
        stream = self._backends.stream(known.remote, addresses, "GET", PATH, b"", headers, FETCH_TIMEOUT_SECONDS)
        async with stream as answer:
            if answer.status == 304 and known.etag:
                return known.etag, known.part
            if answer.status == 404:
                return b"", None
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            body = bytearray()
            async for piece in answer:
                body += piece
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"over {MAX_DOCUMENT_BYTES} bytes")
            etag = answer.headers.get(b"etag")
        # A document of some MiB takes longer to read than a request may wait.
        return etag, await asyncio.to_thread(_read, bytes(body), known.remote.path)


def _read(body: bytes, path: str) -> Part:
    try:
        nesting.check_json(body)
        return part_of(codec.decode_any(body), path)
    except (errors.ApiError, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error
