"""A kubelet's node server that plays small commands itself, and an apiserver in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from tiphys.api.errors import ApiError
from tiphys.apiserver.streaming import locations
from tiphys.apiserver.streaming.logs import proxy_stream
from tiphys.apiserver.streaming.upgrade import proxy_upgrade
from tiphys.base.http.client import HttpClient
from tiphys.base.http.messages import (
    RawConnection,
    Request,
    Response,
    StreamResponse,
    StreamWriter,
    UpgradeResponse,
)
from tiphys.base.http.server import HttpServer
from tiphys.base.http.spdy import SpdySession, SpdyStream

FAILED = b'{"metadata":{},"status":"Failure","message":"exit status 3","reason":"NonZeroExitCode"}'


class Kubelet:
    """``exec`` runs what the first command word says: echo, cat, fail or hang. port-forward echoes in upper case."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.resized: list[bytes] = []
        self.sessions = 0

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        protocols = request.headers.get_all(b"x-stream-protocol-version")
        chosen = next((name for name in protocols if name in (b"v4.channel.k8s.io", b"portforward.k8s.io")), b"")
        headers = ((b"X-Stream-Protocol-Version", chosen),)
        if request.path == "/exec/ns/p/missing":
            return Response(404, b"container not found", "text/plain")
        if request.path.startswith(("/exec/", "/attach/")):
            return UpgradeResponse(b"SPDY/3.1", lambda raw: self._command(raw, request), headers)
        if request.path.startswith("/portForward/"):
            return UpgradeResponse(b"SPDY/3.1", self._forward, headers)
        if request.path == "/containerLogs/ns/p/c":
            return StreamResponse(_lines, 200, "text/plain")
        return Response(404, b"404 page not found", "text/plain")

    async def _command(self, raw: RawConnection, request: Request) -> None:
        streams: dict[str, SpdyStream] = {}
        opened = asyncio.Event()

        def on_stream(stream: SpdyStream) -> None:
            streams[stream.headers["streamtype"]] = stream
            opened.set()

        flags = [name for name in ("input", "output", "error", "tty") if request.query.get(name) == "1"]
        session = SpdySession(raw, server=True, on_stream=on_stream)
        running = asyncio.ensure_future(session.run())
        self.sessions += 1
        try:
            while len(streams) < 1 + len(flags):
                opened.clear()
                await opened.wait()
            await self._play(request.query.get_all("command") or ["cat"], streams)
            await running
        finally:
            self.sessions -= 1
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _play(self, command: list[str], streams: dict[str, SpdyStream]) -> None:
        out = streams.get("stdout")
        if command[0] == "hang":
            return
        if command[0] == "resize":
            self.resized.append(await streams["resize"].read())
        if command[0] == "cat" and out is not None:
            while data := await streams["stdin"].read():
                out.write(data)
                await out.drain()
        if command[0] == "echo" and out is not None:
            out.write(" ".join(command[1:]).encode())
        if command[0] == "fail":
            streams["stderr"].write(b"oh no")
            streams["error"].write(FAILED)
        for name in ("stdout", "stderr", "error"):
            if name in streams:
                streams[name].close()

    async def _forward(self, raw: RawConnection) -> None:
        tasks: list[asyncio.Future[None]] = []
        errors: dict[str, SpdyStream] = {}

        async def echo(stream: SpdyStream) -> None:
            while data := await stream.read():
                stream.write(stream.headers["port"].encode() + data.upper())
            stream.close()

        def on_stream(stream: SpdyStream) -> None:
            if stream.headers["streamtype"] == "error":
                errors[stream.headers["requestid"]] = stream
            else:
                tasks.append(asyncio.ensure_future(echo(stream)))

        self.sessions += 1
        try:
            await SpdySession(raw, server=True, on_stream=on_stream).run()
            await asyncio.gather(*tasks)
        finally:
            self.sessions -= 1


async def _lines(writer: StreamWriter) -> None:
    for number in range(3):
        writer.write(b"line %d\n" % number)


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Kubelet, int]]:
    """The kubelet, and the port of the server that passes requests for the pod ``ns/p`` to it."""
    kubelet = Kubelet()
    node = HttpServer(kubelet)
    client = HttpClient(f"http://127.0.0.1:{await node.start('127.0.0.1', 0)}")

    async def guarded(work: Awaitable[Response]) -> Response:
        try:
            return await work
        except ApiError as error:
            return Response(error.code, error.message.encode())

    def handler(request: Request) -> Awaitable[Response]:
        kind = request.path.rpartition("/")[2]
        container = request.query.get("container", "c")
        if kind == "portforward":
            return guarded(proxy_upgrade(request, client, locations.port_forward_target("ns", "p", request.query)))
        if kind == "log":
            return guarded(proxy_stream(request, client, locations.logs_target("ns", "p", container, request.query)))
        target = locations.exec_target(kind, "ns", "p", container, request.query)
        return guarded(proxy_upgrade(request, client, target))

    server = HttpServer(handler, linger_seconds=0.01)
    port = await server.start("127.0.0.1", 0)
    try:
        yield kubelet, port
    finally:
        await server.close(0.2)
        await client.close()
        await node.close(0.2)
