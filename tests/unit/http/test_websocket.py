"""WebSocket over the server, against the independent `websockets` client, and against misbehaving peers."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.unit.http.pipes import pipe
from tests.unit.http.serving import serving
from tiphys.base.http import websocket
from tiphys.base.http.messages import BadRequest, Headers, RawConnection, Request, Response, UpgradeResponse
from tiphys.base.http.websocket import MAX_MESSAGE_BYTES, WebSocket


def handler(request: Request) -> Response:
    async def take_over(connection: RawConnection) -> None:
        socket = WebSocket(connection)
        while (message := await socket.receive()) is not None:
            if message == b"close":
                await socket.finish(1000, "as you wish")
                return
            socket.send(message)
            await socket.drain()

    protocol = websocket.choose(request, ("v5", "v4"))
    if protocol is None:
        return Response(400, b"no protocol")
    return UpgradeResponse(b"websocket", take_over, websocket.handshake_headers(request, protocol))


async def test_messages_fragments_pings_and_close() -> None:
    async with serving(handler) as (_, port):
        async with connect(f"ws://127.0.0.1:{port}/", subprotocols=["v9", "v4", "v5"]) as peer:  # type: ignore[list-item]
            assert peer.subprotocol == "v4"
            for message in ("text é", b"binary", b"x" * 1_000_000, ""):
                await peer.send(message)
                assert await peer.recv() == message
            await peer.send(iter(["frag", "men", "ts"]))
            assert await peer.recv() == "fragments"
            async with asyncio.timeout(5):
                await (await peer.ping())
            await peer.send(b"close")
            with pytest.raises(ConnectionClosed):
                await peer.recv()
            assert (peer.close_code, peer.close_reason) == (1000, "as you wish")
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}/", subprotocols=["v9"])  # type: ignore[list-item]


async def test_a_message_over_the_limit_closes() -> None:
    async with (
        serving(handler) as (_, port),
        connect(f"ws://127.0.0.1:{port}/", subprotocols=["v4"], max_size=None) as peer,  # type: ignore[list-item]
    ):
        with pytest.raises(ConnectionClosed):
            await peer.send(b"x" * (MAX_MESSAGE_BYTES + 1))
            await peer.recv()


async def test_two_of_ours_talk() -> None:
    one, two = pipe()
    client, server = WebSocket(one, server=False), WebSocket(two)
    client.send(b"hello")
    assert await server.receive() == b"hello"
    server.send("hi")
    assert await client.receive() == "hi"
    both = await asyncio.gather(client.finish(), server.receive())
    assert both[1] is None and one.closed and not server.open


async def test_bytes_that_are_no_websocket_close() -> None:
    one, two = pipe()
    socket = WebSocket(two)
    one.write(b"\xff\xff\xff\xff")
    assert await socket.receive() is None
    assert two.closed


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Sec-WebSocket-Key", b"short"), (b"Sec-WebSocket-Version", b"13")],
        [(b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="), (b"Sec-WebSocket-Version", b"8")],
        [],
    ],
)
def test_a_malformed_handshake_is_a_bad_request(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadRequest):
        websocket.handshake_headers(Request("GET", b"/", Headers(headers)))
