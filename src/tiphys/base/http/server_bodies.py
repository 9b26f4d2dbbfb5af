"""Large bodies: which are read at all, and how much of memory they may take together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tiphys.base.logging import get_logger

from .messages import BadRequest, Response
from .server_parser import RequestParser

if TYPE_CHECKING:
    from .server import HttpServer
    from .server_connection import ServerConnection

log = get_logger(__name__)

SMALL_BYTES = 64 * 1024
"""Bodies up to that are read from everybody: no more than a head may have, and the connection can serve on."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyBudget:
    """Each body is counted at the length it may reach, until it is whole."""

    __slots__ = ("_limit_bytes", "taken_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.taken_bytes = 0

    def take(self, wanted_bytes: int) -> bool:
        """Whether there is room; if so it is taken."""
        if self.taken_bytes + wanted_bytes > self._limit_bytes:
            return False
        self.taken_bytes += wanted_bytes
        return True

    def give(self, taken_bytes: int) -> None:
        """Give back what was taken."""
        self.taken_bytes -= taken_bytes


class BodyGate:
    """One connection's: asks the server about the request whose head has come, while nothing more is read."""

    __slots__ = ("_connection", "_deciding", "_parser", "_server", "reserved_bytes")

    def __init__(self, server: HttpServer, connection: ServerConnection, parser: RequestParser) -> None:
        self._server = server
        self._connection = connection
        self._parser = parser
        self._deciding: asyncio.Future[Response | None] | None = None
        self.reserved_bytes = 0

    @property
    def undecided(self) -> bool:
        return self._deciding is not None

    def decide(self) -> None:
        """Refuse the request that is being read, or let its body come."""
        parser, server = self._parser, self._server
        parser.admitted = True
        wanted_bytes = parser.announced_bytes()
        if wanted_bytes <= SMALL_BYTES and not parser.awaited:
            return
        if not server.bodies.take(wanted_bytes):
            self._connection.refuse(server.on_error(429, "too many request bodies are being read"))
            return
        self.reserved_bytes = wanted_bytes
        try:
            decision = server.admit(parser.head()) if server.admit is not None else None
        except BadRequest as error:
            decision = server.on_error(error.status, str(error))
        except Exception:
            log.exception("a request could not be judged")
            decision = server.on_error(500, "internal error")
        if decision is None:
            self.tell()
        elif isinstance(decision, Response):
            self._connection.refuse(decision)
        else:
            self._connection.pause_reading()
            self._deciding = asyncio.ensure_future(decision)
            self._deciding.add_done_callback(self._decided)

    def tell(self) -> None:
        """Ask for the body, if the peer waits for that and no answer is owed before."""
        parser, connection = self._parser, self._connection
        if not (parser.awaited and parser.admitted and parser.in_body):
            return
        if not (connection.busy or connection.closing or self.undecided):
            parser.awaited = False
            connection.write(_CONTINUE)

    def release(self) -> None:
        """The body is whole, or will not be."""
        self._server.bodies.give(self.reserved_bytes)
        self.reserved_bytes = 0

    def close(self) -> None:
        """The connection is gone."""
        self.release()
        if self._deciding is not None:
            self._deciding.cancel()

    def _decided(self, finished: asyncio.Future[Response | None]) -> None:
        self._deciding = None
        if finished.cancelled():
            return
        if (error := finished.exception()) is not None:
            log.error("a request could not be judged", error=f"{type(error).__name__}: {error}")
            self._connection.refuse(self._server.on_error(500, "internal error"))
        elif (refusal := finished.result()) is not None:
            self._connection.refuse(refusal)
        else:
            self.tell()
        self._connection.resume_reading()
