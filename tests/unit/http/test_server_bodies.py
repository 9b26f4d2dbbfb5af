"""Large bodies are read of those who may send them, and only so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from tests.unit.http.serving import Peer, serving, until
from tiphys.base.http.messages import Request, Response
from tiphys.base.http.server_bodies import SMALL_BYTES

LARGE = SMALL_BYTES + 1
HEAD = b"POST /%b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n%b\r\n"
EXPECT = b"Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def size(request: Request) -> Response:
    return Response(200, b"%d" % len(request.body))


def admit(request: Request) -> Response | Awaitable[Response | None] | None:
    """By the path: ``/may``, ``/no``, ``/later-may``, ``/later-no``, ``/fails``, ``/later-fails``."""
    assert request.body == b""
    if request.path.startswith("/later"):
        return _later(request.path)
    if request.path == "/fails":
        raise ValueError
    return Response(401, b"who?") if request.path == "/no" else None


async def _later(path: str) -> Response | None:
    await asyncio.sleep(0)
    if path == "/later-fails":
        raise ValueError
    return Response(401, b"who?") if path == "/later-no" else None


@pytest.mark.parametrize("path", [b"may", b"later-may"])
async def test_a_body_that_may_come_is_read(path: bytes) -> None:
    async with serving(size, admit=admit) as (server, port), Peer.connect(port) as peer:
        for _ in range(2):
            peer.send(HEAD % (path, LARGE, b""))
            await until(lambda: server.bodies.taken_bytes == LARGE)
            peer.send(b"x" * LARGE)
            assert (await peer.response())[2] == b"%d" % LARGE
            assert server.bodies.taken_bytes == 0


@pytest.mark.parametrize(("path", "status"), [(b"no", 401), (b"later-no", 401), (b"fails", 500), (b"later-fails", 500)])
@pytest.mark.parametrize("length", [b"Content-Length: 100000\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_body_that_may_not_is_not_waited_for(path: bytes, status: int, length: bytes) -> None:
    async with serving(size, admit=admit) as (server, port), Peer.connect(port) as peer:
        peer.send(b"POST /%b HTTP/1.1\r\nHost: h\r\n%b\r\n" % (path, length))
        answer, headers, _ = await peer.response()
        assert (answer, headers["connection"]) == (status, "close")
        assert await peer.rest() == b""
        await until(lambda: server.connection_count == 0)
        assert server.bodies.taken_bytes == 0


async def test_who_sends_on_gets_the_refusal_all_the_same() -> None:
    async with serving(size, admit=admit) as (_, port), Peer.connect(port) as peer:
        peer.send(HEAD % (b"no", 3_000_000, b""))
        for _ in range(30):
            peer.send(b"x" * 100_000)
        assert (await peer.response())[0] == 401


async def test_small_bodies_are_judged_when_they_are_whole() -> None:
    async with serving(size, admit=admit) as (server, port), Peer.connect(port) as peer:
        peer.send(HEAD % (b"no", 4, b""))
        await peer.writer.drain()
        peer.send(b"four")
        assert (await peer.response())[2] == b"4"
        assert server.connection_count == 1


async def test_who_waits_with_a_body_is_asked_for_it_or_told_at_once() -> None:
    async with serving(size, admit=admit) as (_, port):
        for path in (b"may", b"later-may"):
            async with Peer.connect(port) as peer, asyncio.timeout(5):
                peer.send(HEAD % (path, 2, EXPECT))
                assert await peer.reader.readuntil(b"\r\n\r\n") == CONTINUE
                peer.send(b"hi")
                assert (await peer.response())[2] == b"2"
        for path in (b"no", b"later-no"):
            async with Peer.connect(port) as peer:
                peer.send(HEAD % (path, 2, EXPECT))
                assert (await peer.response())[0] == 401


async def test_a_body_is_asked_for_when_the_answer_before_it_is_out() -> None:
    release = asyncio.Event()

    async def slow() -> Response:
        await release.wait()
        return Response(200, b"slow")

    def handler(request: Request) -> Response | Awaitable[Response]:
        return slow() if request.path == "/slow" else size(request)

    async with serving(handler, admit=admit) as (server, port), Peer.connect(port) as peer, asyncio.timeout(5):
        peer.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n" + HEAD % (b"may", 2, EXPECT))
        await until(lambda: server.bodies.taken_bytes == 2)
        release.set()
        assert (await peer.response())[2] == b"slow"
        assert await peer.reader.readuntil(b"\r\n\r\n") == CONTINUE
        peer.send(b"hi")
        assert (await peer.response())[2] == b"2"


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    release = asyncio.Event()

    async def slow() -> Response:
        await release.wait()
        return Response(200, b"slow")

    def handler(_: Request) -> Awaitable[Response]:
        return slow()

    async with serving(handler, admit=admit) as (_, port), Peer.connect(port) as peer:
        peer.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n" + HEAD % (b"no", LARGE, b""))
        await peer.writer.drain()
        release.set()
        assert (await peer.response())[2] == b"slow"
        assert (await peer.response())[0] == 401
        assert await peer.rest() == b""


async def test_all_bodies_together_have_a_bound_and_give_their_room_back() -> None:
    async with serving(size, max_reading_bytes=2 * LARGE) as (server, port):
        async with Peer.connect(port) as first, Peer.connect(port) as second, Peer.connect(port) as third:
            for number, peer in enumerate((first, second), 1):
                peer.send(HEAD % (b"", LARGE, b""))
                await until(lambda number=number: server.bodies.taken_bytes == number * LARGE)
            third.send(HEAD % (b"", LARGE, b""))
            assert (await third.response())[0] == 429
            first.send(b"x" * LARGE)
            assert (await first.response())[0] == 200
        # The second goes without having sent its body.
        await until(lambda: server.bodies.taken_bytes == 0)


async def test_a_server_that_ends_judges_no_more() -> None:
    judging = asyncio.Event()
    given_up = asyncio.Event()

    async def never(_: Request) -> Response | None:
        judging.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return None

    async with serving(size, admit=never) as (server, port), Peer.connect(port) as peer, asyncio.timeout(5):
        peer.send(HEAD % (b"", LARGE, b""))
        await judging.wait()
        await server.close(grace_seconds=0.01)
        await given_up.wait()
        assert server.bodies.taken_bytes == 0
