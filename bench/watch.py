"""The watch row: 500 watchers of 500 creates, events delivered per second until the last one has its last."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import cast

from bench.report import Report, Row
from bench.server import Server, apiserver

WATCHERS = 500
CREATES = 500
_PATH = "/api/v1/namespaces/default/configmaps"


class _Watcher(asyncio.Protocol):
    """Counts the events on one connection: each is one line that begins with its type."""

    def __init__(self, request: bytes, opened: asyncio.Future[None], done: asyncio.Future[None]) -> None:
        self.request, self.opened, self.done, self.count = request, opened, done, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        self.count += data.count(b'{"type":"ADDED"')
        if self.count >= CREATES and not self.done.done():
            self.done.set_result(None)


async def run(report: Report) -> None:
    """One row; the watchers' client shares the cores with the server."""
    async with apiserver() as server:
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context(cafile=str(server.ca_path))
        listed = json.loads((await server.client.raw("GET", _PATH)).body)
        revision = listed["metadata"]["resourceVersion"]
        request = (
            f"GET {_PATH}?watch=true&resourceVersion={revision} HTTP/1.1\r\nHost: bench\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n"
        ).encode()
        opened = [loop.create_future() for _ in range(WATCHERS)]
        done = [loop.create_future() for _ in range(WATCHERS)]
        connections = [
            await loop.create_connection(
                lambda i=i: _Watcher(request, opened[i], done[i]), "127.0.0.1", server.port, ssl=context
            )
            for i in range(WATCHERS)
        ]
        await asyncio.wait_for(asyncio.gather(*opened), 30)
        started = time.monotonic()
        await _create_all(server)
        await asyncio.wait_for(asyncio.gather(*done), 60)
        figure = WATCHERS * CREATES / (time.monotonic() - started)
        report.add(Row(f"watch: {WATCHERS} watchers x {CREATES} creates", figure, "events/s", 52_000, 110_000))
        for transport, _ in connections:
            transport.abort()


async def _create_all(server: Server) -> None:
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NAME"}, "data": {"a": "b" * 300}})

    async def create(offset: int) -> None:
        for index in range(offset, CREATES, 32):
            await server.client.raw("POST", _PATH, body.replace("NAME", f"w-{index}").encode())

    await asyncio.gather(*(create(offset) for offset in range(32)))
