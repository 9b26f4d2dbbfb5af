"""Extenders of tests: real servers whose answers are told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tiphys.api import codec
from tiphys.base.http.messages import Request, Response
from tiphys.base.http.server import HttpServer

Answer = Callable[[dict[str, Any]], Any]


class FakeExtender:
    """`answers` by verb: a function of what was sent; an int is a status. `asked`: what was sent, with the verb."""

    def __init__(self, **answers: Answer | int) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.peers: list[str] = []
        """Who showed a certificate."""
        self.prefix = ""
        self.hold: asyncio.Event | None = None
        """If set, answers wait for it."""

    async def handle(self, request: Request) -> Response:
        verb = request.path.rpartition("/")[2]
        sent = codec.decode_any(request.body)
        self.asked.append((verb, sent))
        if request.peer_certificate is not None:
            self.peers.append(request.peer_certificate.common_name)
        answer = self.answers.get(verb, 404)
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(answer, int):
            return Response(answer, b"no")
        return Response(200, codec.encode_any(answer(sent)), "application/json")

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@asynccontextmanager
async def serving(extender: FakeExtender, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeExtender]:
    server = HttpServer(extender.handle, tls=tls)
    port = await server.start("127.0.0.1", 0)
    extender.prefix = f"{'https' if tls else 'http'}://127.0.0.1:{port}/scheduler"
    try:
        yield extender
    finally:
        await server.close(0)


def names(sent: dict[str, Any]) -> list[str]:
    """The nodes that were asked about, either way."""
    if sent["NodeNames"] is not None:
        return list(sent["NodeNames"])
    return [node["metadata"]["name"] for node in sent["Nodes"]["items"]]


def letting(*allowed: str, resolvable: bool = True) -> Answer:
    """A filter that lets these nodes pass."""

    def answer(sent: dict[str, Any]) -> dict[str, Any]:
        passed = [name for name in names(sent) if name in allowed]
        refused = {name: "no licence" for name in names(sent) if name not in allowed}
        by_name = sent["NodeNames"] is not None
        return {
            "nodenames" if by_name else "unused": passed,
            "nodes": None if by_name else {"items": [{"metadata": {"name": name}} for name in passed]},
            "failedNodes" if resolvable else "failedAndUnresolvableNodes": refused,
        }

    return answer


def scoring(**scores: int) -> Answer:
    """A prioritizer."""
    return lambda sent: [{"host": name, "score": scores.get(name, 0)} for name in names(sent)]
