"""The client against our server, and against peers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.unit.http.serving import serving, until
from tiphys.base.http.client import HttpClient, ProtocolError, StaleConnection, UpgradeRefused
from tiphys.base.http.messages import (
    RawConnection,
    Request,
    Response,
    StreamResponse,
    StreamWriter,
    UpgradeResponse,
)


@asynccontextmanager
async def client_of(port: int, **options: object) -> AsyncIterator[HttpClient]:
    client = HttpClient(f"http://127.0.0.1:{port}/base/", **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that does to its n-th connection what `script` says."""
    count = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        try:
            await script(reader, writer, count)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def describe(request: Request) -> Response:
    text = f"{request.method} {request.raw_target.decode()} {request.headers.get(b'x').decode()} "
    return Response(201, text.encode() + request.body, headers=((b"X-Back", b"1"),))


async def test_a_request_carries_everything_and_the_connection_is_kept() -> None:
    async with serving(describe) as (server, port), client_of(port, headers=((b"X", b"fixed"),)) as client:
        for _ in range(3):
            answer = await client.request("POST", "/a%20b?c=d", b"body")
            assert (answer.status, answer.body) == (201, b"POST /base/a%20b?c=d fixed body")
            assert answer.headers.get(b"x-back") == b"1"
        assert server.connection_count == 1


async def test_headers_may_change_from_request_to_request() -> None:
    tokens = iter((b"one", b"two"))
    async with serving(describe) as (_, port), client_of(port, headers=lambda: ((b"X", next(tokens)),)) as client:
        assert b" one " in (await client.request("GET", "/")).body
        assert b" two " in (await client.request("GET", "/")).body


async def test_no_more_connections_than_allowed_and_first_come_first_served() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(200, request.path.encode())

    async with serving(slow) as (server, port), client_of(port, max_connections=2) as client:
        answers = await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(20)))
        assert [answer.body for answer in answers] == [f"/base/{n}".encode() for n in range(20)]
        assert server.connection_count <= 2


async def test_head_has_no_body() -> None:
    async with serving(describe) as (_, port), client_of(port) as client:
        answer = await client.request("HEAD", "/")
        assert answer.body == b"" and int(answer.headers.get(b"content-length")) > 0


async def test_a_kept_connection_found_closed_is_replaced_for_reads_only() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # the second request is read and never answered

    async with scripted(once) as port, client_of(port) as client:
        assert (await client.request("GET", "/")).body == b"1"
        assert (await client.request("GET", "/")).body == b"2"
        with pytest.raises(StaleConnection):
            await client.request("POST", "/")


@pytest.mark.parametrize("answer", [b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_what_is_no_whole_answer_is_an_error(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with scripted(script) as port, client_of(port) as client:
        with pytest.raises(ProtocolError):
            await client.request("GET", "/")


async def test_an_answer_may_end_with_the_connection_and_follow_interim_ones() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()

    async with scripted(script) as port, client_of(port) as client:
        assert (await client.request("GET", "/")).body == b"all of it"


async def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as (_, port), client_of(port) as client:
        with pytest.raises(TimeoutError):
            await client.request("GET", "/", timeout_seconds=0.01)


async def test_closing_fails_what_is_in_flight() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(never) as (server, port):
        client = HttpClient(f"http://127.0.0.1:{port}")
        asking = asyncio.ensure_future(client.request("GET", "/"))
        await until(lambda: server.connection_count == 1)
        await client.close()
        with pytest.raises(ConnectionError):
            await asking
        with pytest.raises(ConnectionError, match="closed"):
            await client.request("GET", "/")


async def test_a_target_cannot_smuggle() -> None:
    async with client_of(1) as client:
        with pytest.raises(ValueError, match="white space"):
            await client.request("GET", "/a HTTP/1.1\r\nX: y")


async def test_a_stream_is_read_as_it_comes_and_its_connection_kept() -> None:
    more = asyncio.Event()

    async def run(writer: StreamWriter) -> None:
        writer.write(b"first")
        await more.wait()
        writer.write(b"second")

    async with serving(lambda _: StreamResponse(run)) as (server, port), client_of(port) as client:
        async with client.stream("GET", "/") as stream:
            assert (stream.status, await stream.read()) == (200, b"first")
            more.set()
            assert await stream.read_all() == b"second"
        async with client.stream("GET", "/") as stream:
            assert await stream.read_all() == b"firstsecond"
        assert server.connection_count == 1


async def test_a_stream_takes_the_connection_of_the_list_before_it() -> None:
    async def run(writer: StreamWriter) -> None:
        writer.write(b"event")

    def answer(request: Request) -> Response:
        return StreamResponse(run) if request.query.get("watch") else Response(200, b"list")

    async with serving(answer) as (server, port), client_of(port) as client:
        assert (await client.request("GET", "/")).body == b"list"
        async with client.stream("GET", "/?watch=1") as stream:
            assert await stream.read_all() == b"event"
            assert server.connection_count == 1


async def test_a_stream_on_a_kept_connection_found_closed_gets_another() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # the second request is read and never answered

    async with scripted(once) as port, client_of(port) as client:
        assert (await client.request("GET", "/")).body == b"1"
        async with client.stream("GET", "/") as stream:
            assert await stream.read_all() == b"2"
        with pytest.raises(StaleConnection):
            await client.request("POST", "/")


async def test_leaving_a_stream_early_closes_its_connection() -> None:
    async def run(writer: StreamWriter) -> None:
        writer.write(b"first")
        await writer.wait_closed()

    async with serving(lambda _: StreamResponse(run)) as (server, port), client_of(port) as client:
        async with client.stream("GET", "/") as stream:
            await stream.read()
        await until(lambda: server.connection_count == 0)


async def test_a_slow_reader_slows_the_server() -> None:
    size = 30_000_000

    async def run(writer: StreamWriter) -> None:
        for _ in range(size // 100_000):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async with (
        serving(lambda _: StreamResponse(run, max_buffer_bytes=300_000)) as (_, port),
        client_of(port) as client,
        client.stream("GET", "/") as stream,
    ):
        await asyncio.sleep(0.05)
        assert len(await stream.read_all()) == size


async def test_upgrade_gives_the_connection_or_the_refusal() -> None:
    async def take_over(connection: RawConnection) -> None:
        connection.write(b"welcome ")
        connection.write(await connection.read())

    def handler(request: Request) -> Response:
        if request.path == "/base/no":
            return Response(400, b"not here")
        return UpgradeResponse(b"talk", take_over, ((b"X-Version", b"2"),))

    headers = ((b"Connection", b"Upgrade"), (b"Upgrade", b"talk"))
    async with serving(handler) as (_, port), client_of(port) as client:
        connection = await client.upgrade("POST", "/yes", headers)
        assert connection.headers.get(b"x-version") == b"2"
        connection.write(b"friend")
        received = b""
        while data := await connection.read():
            received += data
        assert received == b"welcome friend"
        connection.close()
        with pytest.raises(UpgradeRefused) as refused:
            await client.upgrade("POST", "/no", headers)
        assert (refused.value.response.status, refused.value.response.body) == (400, b"not here")


@pytest.mark.parametrize("url", ["ftp://h", "https://h", "nonsense"])
def test_only_http_addresses(url: str) -> None:
    with pytest.raises(ValueError):
        HttpClient(url)
