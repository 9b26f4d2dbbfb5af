"""port-forward, logs and proxies as clients see them."""

from __future__ import annotations

import asyncio
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.unit.apiserver_streaming.kubelet import cluster
from tests.unit.http.pipes import pipe
from tests.unit.http.serving import serving, until
from tiphys.api.errors import ApiError
from tiphys.apiserver.streaming.reverse_proxy import reverse_proxy
from tiphys.base.http.client import HttpClient
from tiphys.base.http.messages import Headers, Request, Response, StreamResponse, StreamWriter
from tiphys.base.http.spdy import SpdySession
from tiphys.base.http.websocket import WebSocket, request_headers

TUNNEL = "SPDY/3.1+portforward.k8s.io"


async def test_a_tunnel_carries_spdy() -> None:
    async with cluster() as (kubelet, port):
        client = HttpClient(f"http://127.0.0.1:{port}")
        connection = await client.upgrade("GET", "/portforward", request_headers([TUNNEL]))
        assert connection.headers.get(b"sec-websocket-protocol") == TUNNEL.encode()
        peer = WebSocket(connection, server=False)
        here, there = pipe()

        async def up() -> None:
            while data := await there.read():
                peer.send(data)

        async def down() -> None:
            while message := await peer.receive():
                assert isinstance(message, bytes)
                there.write(message)

        session = SpdySession(here)
        tasks = [asyncio.ensure_future(work) for work in (up(), down(), session.run())]
        names = {"port": "80", "requestID": "0"}
        session.open_stream({"streamType": "error", **names}).close()
        data = session.open_stream({"streamType": "data", **names})
        data.write(b"hello")
        data.close()
        async with asyncio.timeout(5):
            assert await data.read_all() == b"80HELLO"
        assert kubelet.requests[0].raw_target == b"/portForward/ns/p"
        peer.close()
        await until(lambda: kubelet.sessions == 0)
        here.close()
        await asyncio.gather(*tasks)
        await client.close()


async def test_channels_per_port() -> None:
    async with cluster() as (kubelet, port):
        url = f"ws://127.0.0.1:{port}/portforward?ports=80&ports=8080"
        async with connect(url, subprotocols=["v4.channel.k8s.io"]) as peer, asyncio.timeout(5):  # type: ignore[list-item]
            first = [await peer.recv() for _ in range(4)]
            assert first == [bytes((channel,)) + struct.pack("<H", 80 if channel < 2 else 8080) for channel in range(4)]
            await peer.send(b"\2ping")
            assert await peer.recv() == b"\x028080PING"
            await peer.send(b"\0pong")
            assert await peer.recv() == b"\x0080PONG"
        await until(lambda: kubelet.sessions == 0)
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/portforward", subprotocols=["v4.channel.k8s.io"])  # type: ignore[list-item]


async def test_logs_plain_and_over_websocket() -> None:
    lines = b"line 0\nline 1\nline 2\n"
    async with cluster() as (kubelet, port):
        client = HttpClient(f"http://127.0.0.1:{port}")
        answer = await client.request("GET", "/log?follow=true&tailLines=5&timestamps=false")
        assert (answer.status, answer.body, answer.headers.get(b"content-type")) == (200, lines, b"text/plain")
        assert kubelet.requests[0].raw_target == b"/containerLogs/ns/p/c?follow=true&tailLines=5"
        answer = await client.request("GET", "/log?container=other")
        assert (answer.status, answer.body) == (404, b"404 page not found")
        await client.close()
        async with connect(f"ws://127.0.0.1:{port}/log", subprotocols=["binary.k8s.io"]) as peer:  # type: ignore[list-item]
            received = b""
            with pytest.raises(ConnectionClosed):
                while True:
                    message = await peer.recv()
                    assert isinstance(message, bytes)
                    received += message
            assert received == lines


PREFIX = "/api/v1/namespaces/ns/pods/p:80/proxy/"


async def proxied(backend_port: int, target: str, request: Request) -> tuple[Response, bytes]:
    """The answer and its body through the proxy."""
    response = await reverse_proxy(request, f"http://127.0.0.1:{backend_port}", target, PREFIX, None)
    if not isinstance(response, StreamResponse):
        return response, response.body
    running = response.run
    async with serving(lambda _: StreamResponse(running)) as (_, port):
        client = HttpClient(f"http://127.0.0.1:{port}")
        body = (await client.request("GET", "/")).body
        await client.close()
    return response, body


def backend(request: Request) -> Response:
    if request.path == "/page":
        return Response(200, b'<a href="/rewriteme">x</a><img src="//cdn/x"><a href="y">', "text/html; charset=utf-8")
    if request.path == "/moved":
        return Response(302, b"", "text/plain", ((b"Location", b"/there?x=1"), (b"X-Mine", b"1")))
    names = (b"authorization", b"x-remote-user", b"impersonate-user", b"x-forwarded-for", b"x-custom", b"cookie")
    seen = {name.decode(): request.headers.get(name).decode() for name in names}
    return Response(
        200, f"{request.method} {request.raw_target.decode()} {seen} ".encode() + request.body, "text/plain"
    )


async def test_a_proxied_request_keeps_its_content_and_loses_its_credentials() -> None:
    headers = Headers(
        [
            (b"Authorization", b"Bearer secret"),
            (b"X-Remote-User", b"jane"),
            (b"Impersonate-User", b"joe"),
            (b"X-Custom", b"1"),
            (b"Connection", b"x-hop"),
            (b"X-Hop", b"1"),
        ]
    )
    request = Request("PUT", b"/whatever", headers, b"body", remote="192.0.2.9")
    async with serving(backend) as (_, port):
        response, body = await proxied(port, "/a%2Fb?c=d", request)
    hidden = {"authorization": "", "x-remote-user": "", "impersonate-user": ""}
    seen = {**hidden, "x-forwarded-for": "192.0.2.9", "x-custom": "1", "cookie": ""}
    assert response.status == 200
    assert body == f"PUT /a%2Fb?c=d {seen} body".encode()


async def test_links_and_redirects_lead_back_through_the_proxy() -> None:
    async with serving(backend) as (_, port):
        _, page = await proxied(port, "/page", Request("GET", b"/"))
        moved, _ = await proxied(port, "/moved", Request("GET", b"/"))
    assert page == b'<a href="' + PREFIX.encode() + b'rewriteme">x</a><img src="//cdn/x"><a href="y">'
    assert moved.status == 302 and dict(moved.headers)[b"Location"] == PREFIX.encode() + b"there?x=1"
    assert dict(moved.headers)[b"X-Mine"] == b"1"


async def test_a_long_answer_is_passed_on_in_pieces() -> None:
    async def run(writer: StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"x" * 50_000)
            await writer.drain()

    async with serving(lambda _: StreamResponse(run, content_type="text/plain")) as (_, port):
        _, body = await proxied(port, "/", Request("GET", b"/"))
    assert len(body) == 5_000_000


async def test_a_backend_that_is_not_there() -> None:
    with pytest.raises(ApiError) as caught:
        await reverse_proxy(Request("GET", b"/"), "http://127.0.0.1:1", "/", PREFIX, None)
    assert (caught.value.code, caught.value.reason, caught.value.status.message) == (
        503,
        "ServiceUnavailable",
        "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused",
    )
