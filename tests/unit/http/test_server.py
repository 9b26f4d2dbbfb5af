"""The server as a peer sees it on the wire."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.http.serving import Peer, serving, until
from tiphys.base.http.messages import Request, Response, StreamResponse, StreamWriter, UpgradeResponse

GET = b"GET /a%20b?x=1&x=2&y HTTP/1.1\r\nHost: h\r\n\r\n"


def echo(request: Request) -> Response:
    return Response(200, f"{request.method} {request.path}|".encode() + request.body, "text/plain")


async def test_a_plain_answer_has_length_type_date_and_keeps_the_connection() -> None:
    async with serving(echo) as (_, port), Peer.connect(port) as peer:
        for _ in range(2):
            peer.send(GET)
            status, headers, body = await peer.response()
            assert (status, body) == (200, b"GET /a b|")
            assert headers["content-type"] == "text/plain"
            assert headers["date"].endswith("GMT")
            assert "connection" not in headers


async def test_the_request_has_query_headers_and_peer() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204, b"dropped")

    async with serving(handler) as (_, port), Peer.connect(port) as peer:
        peer.send(b"GET /p?x=1&x=2&y HTTP/1.1\r\nHoSt: h\r\nA: 1\r\na: 2\r\n\r\n")
        status, headers, body = await peer.response()
    request = seen[0]
    assert (status, body) == (204, b"") and "content-length" not in headers
    assert request.query.get("x") == "1" and request.query.get_all("x") == ["1", "2"] and "y" in request.query
    assert request.headers.get(b"Host") == b"h" and request.headers.get_all(b"A") == [b"1", b"2"]
    assert request.remote == "127.0.0.1"


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096])
async def test_bytes_may_come_in_any_pieces(piece_bytes: int) -> None:
    chunked = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    sized = b"PUT /s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nwxyz"
    wire = chunked + sized + GET
    async with serving(echo) as (_, port), Peer.connect(port) as peer:
        for at in range(0, len(wire), piece_bytes):
            peer.send(wire[at : at + piece_bytes])
            await peer.writer.drain()
        answers = [(await peer.response())[2] for _ in range(3)]
    assert answers == [b"POST /c|abcde", b"PUT /s|wxyz", b"GET /a b|"]


async def test_pipelined_answers_keep_their_order_when_the_first_is_slow() -> None:
    release = asyncio.Event()

    async def slow() -> Response:
        await release.wait()
        return Response(200, b"slow")

    async with (
        serving(lambda request: slow() if request.path == "/slow" else echo(request)) as (_, port),
        Peer.connect(port) as peer,
    ):
        peer.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n" + GET * 100)
        await peer.writer.drain()
        release.set()
        assert (await peer.response())[2] == b"slow"
        for _ in range(100):
            assert (await peer.response())[2] == b"GET /a b|"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n80\r\n" + b"x" * 128 + b"\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 9000, 431),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
            431,
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_and_the_connection_closed(wire: bytes, status: int) -> None:
    async with serving(echo, max_body_bytes=100, max_header_bytes=4096) as (_, port), Peer.connect(port) as peer:
        peer.send(GET + wire)
        assert (await peer.response())[0] == 200
        answer, headers, _ = await peer.response()
        assert (answer, headers["connection"]) == (status, "close")
        assert await peer.rest() == b""


async def test_trailers_are_no_headers() -> None:
    seen: list[bytes] = []

    def handler(request: Request) -> Response:
        seen.append(request.headers.get(b"impersonate-user"))
        return Response(200, b"")

    wire = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nImpersonate-User: x\r\n\r\n"
    async with serving(handler) as (_, port), Peer.connect(port) as peer:
        peer.send(wire)
        assert (await peer.response())[0] == 200
    assert seen == [b""]


async def test_expect_continue_is_answered_before_the_body_is_read() -> None:
    async with serving(echo) as (_, port), Peer.connect(port) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        async with asyncio.timeout(5):
            assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"hi")
        assert (await peer.response())[2] == b"POST /|hi"


async def test_head_has_the_length_and_no_body() -> None:
    async with serving(echo) as (_, port), Peer.connect(port) as peer:
        peer.send(b"HEAD /h HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = await peer.rest()
    assert answer.endswith(b"\r\n\r\n") and b"Content-Length: 8\r\n" in answer


async def test_old_clients_get_the_end_of_the_connection_as_the_end_of_a_stream() -> None:
    async def run(writer: StreamWriter) -> None:
        writer.write(b"one ")
        writer.write(b"two")

    async with serving(lambda _: StreamResponse(run)) as (_, port), Peer.connect(port) as peer:
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await peer.rest()
    assert answer.endswith(b"\r\n\r\none two") and b"chunked" not in answer


@pytest.mark.parametrize("coalesce", [False, True])
async def test_a_stream_is_chunked_and_the_connection_serves_on(coalesce: bool) -> None:
    async def run(writer: StreamWriter) -> None:
        writer.coalesce = coalesce
        writer.write(b"ab")
        writer.write(b"")
        writer.write(b"cde")

    def handler(request: Request) -> Response:
        return StreamResponse(run) if request.path == "/s" else echo(request)

    async with serving(handler) as (_, port), Peer.connect(port) as peer:
        peer.send(b"GET /s HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            await peer.reader.readuntil(b"\r\n\r\n")
            assert await peer.reader.readuntil(b"0\r\n\r\n") == b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"
        peer.send(GET)
        assert (await peer.response())[0] == 200


async def test_a_stream_that_fails_ends_without_its_last_chunk() -> None:
    async def run(writer: StreamWriter) -> None:
        writer.write(b"ab")
        raise RuntimeError("broken")

    async with serving(lambda _: StreamResponse(run)) as (_, port), Peer.connect(port) as peer:
        peer.send(GET)
        assert not (await peer.rest()).endswith(b"0\r\n\r\n")


async def test_a_stream_is_cancelled_when_its_reader_goes() -> None:
    ended = asyncio.Event()
    started = asyncio.Event()

    async def run(writer: StreamWriter) -> None:
        started.set()
        try:
            await writer.wait_closed()
        finally:
            ended.set()

    async with serving(lambda _: StreamResponse(run)) as (server, port):
        async with Peer.connect(port) as peer:
            peer.send(GET)
            await started.wait()
        async with asyncio.timeout(5):
            await ended.wait()
        await until(lambda: server.connection_count == 0)


@pytest.mark.parametrize(("method", "ended"), [("GET", True), ("POST", False)])
async def test_only_reads_are_given_up_when_their_client_goes(method: str, ended: bool) -> None:
    started = asyncio.Event()
    release = asyncio.Event()
    outcome: list[str] = []

    async def work() -> Response:
        started.set()
        try:
            await release.wait()
            outcome.append("done")
        except asyncio.CancelledError:
            outcome.append("cancelled")
            raise
        return Response()

    async with serving(lambda _: work()) as (server, port):
        async with Peer.connect(port) as peer:
            peer.send(f"{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".encode())
            await started.wait()
        await until(lambda: server.connection_count == 0)
        await asyncio.sleep(0)
        release.set()
        await until(lambda: bool(outcome))
    assert outcome == ["cancelled" if ended else "done"]


async def test_a_reader_that_does_not_read_is_cut_at_the_bound() -> None:
    cut = asyncio.Event()

    async def run(writer: StreamWriter) -> None:
        writer.coalesce = True
        try:
            while not writer.closed:
                writer.write(b"x" * 100_000)
                await asyncio.sleep(0)
        finally:
            cut.set()

    async with (
        serving(lambda _: StreamResponse(run, max_buffer_bytes=1_000_000)) as (_, port),
        Peer.connect(port) as peer,
    ):
        peer.send(GET)
        async with asyncio.timeout(10):
            await cut.wait()


async def test_drain_waits_for_the_reader() -> None:
    total = 20_000_000

    async def run(writer: StreamWriter) -> None:
        for _ in range(total // 50_000):
            writer.write(b"x" * 50_000)
            await writer.drain()

    async with (
        serving(lambda _: StreamResponse(run, max_buffer_bytes=200_000)) as (_, port),
        Peer.connect(port) as peer,
    ):
        peer.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await peer.rest()).count(b"x") == total


async def test_a_failing_handler_is_an_internal_error_in_the_servers_own_words() -> None:
    async def later() -> Response:
        raise RuntimeError("broken")

    def handler(request: Request) -> Response:
        raise RuntimeError("broken")

    def words(status: int, message: str) -> Response:
        return Response(status, b"{}", "application/json")

    for broken in (handler, lambda _: later()):
        async with serving(broken, on_error=words) as (_, port), Peer.connect(port) as peer:
            peer.send(GET)
            assert (await peer.response())[::2] == (500, b"{}")


async def test_an_upgrade_hands_over_the_bytes_that_came_early() -> None:
    async def take_over(connection: object) -> None:
        from tiphys.base.http.raw import TransportConnection

        assert isinstance(connection, TransportConnection)
        while data := await connection.read():
            connection.write(data.upper())
            await connection.drain()

    async def decide() -> Response:
        await asyncio.sleep(0)
        return UpgradeResponse(b"shout", take_over, ((b"X-Chosen", b"1"),))

    async with serving(lambda _: decide()) as (_, port), Peer.connect(port) as peer:
        peer.send(
            b"POST /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: shout\r\nContent-Length: 0\r\n\r\nab"
        )
        async with asyncio.timeout(5):
            head = await peer.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nX-Chosen: 1\r\n") and b"Upgrade: shout" in head
            peer.send(b"c")
            assert await peer.reader.readexactly(3) == b"ABC"
        peer.writer.write_eof()
        assert await peer.rest() == b""


async def test_a_refused_upgrade_closes_the_connection() -> None:
    async with serving(echo) as (_, port), Peer.connect(port) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        assert (await peer.response())[1]["connection"] == "close"
        assert await peer.rest() == b""


async def test_closing_drains_requests_in_flight_and_ends_streams() -> None:
    started = asyncio.Event()
    release = asyncio.Event()

    async def slow() -> Response:
        started.set()
        await release.wait()
        return Response(200, b"done")

    async def run(writer: StreamWriter) -> None:
        writer.write(b"first")
        await writer.wait_closed()

    def handler(request: Request) -> object:
        return StreamResponse(run) if request.path == "/s" else slow()

    async with (
        serving(handler) as (server, port),  # type: ignore[arg-type]
        Peer.connect(port) as idle,
        Peer.connect(port) as stream,
        Peer.connect(port) as busy,
    ):
        stream.send(b"GET /s HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(5):
            await stream.reader.readuntil(b"first\r\n")
        busy.send(GET)
        await started.wait()
        closing = asyncio.ensure_future(server.close(5))
        assert await idle.rest() == b""
        assert await stream.rest() == b"0\r\n\r\n"
        release.set()
        status, headers, body = await busy.response()
        assert (status, headers["connection"], body) == (200, "close", b"done")
        async with asyncio.timeout(5):
            await closing


async def test_slow_senders_and_idle_connections_are_cut_by_the_sweep() -> None:
    async with (
        serving(echo, header_timeout_seconds=5, body_timeout_seconds=20, idle_timeout_seconds=50) as (server, port),
        Peer.connect(port) as head,
        Peer.connect(port) as body,
        Peer.connect(port) as idle,
    ):
        idle.send(GET)
        await idle.response()
        head.send(b"GET / HT")
        body.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        async with asyncio.timeout(5):
            await body.reader.readuntil(b"\r\n\r\n")
        connections = list(server._connections)
        await until(lambda: sum(connection._parser.started for connection in connections) == 2)
        now = server.loop.time()
        for after_seconds, left in ((1, 3), (10, 2), (25, 1), (60, 0)):
            for connection in connections:
                connection.expire(now + after_seconds)
            await until(lambda left=left: server.connection_count == left)  # type: ignore[misc]
