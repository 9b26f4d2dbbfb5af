"""The balancer: bytes pass untouched both ways, dead upstreams are passed by, and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tiphys.cmd import balancer as balancing
from tiphys.cmd.balancer import Balancer, Upstream
from tiphys.testing.control_plane import eventually


@asynccontextmanager
async def upstream(name: bytes, port: int = 0) -> AsyncIterator[tuple[int, list[asyncio.StreamWriter]]]:
    """A server that says its name and echoes; its port, and its open connections."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(ConnectionError):
            writer.write(name)
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writers.remove(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], writers
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def balancing_over(*ports: int) -> AsyncIterator[tuple[Balancer, int]]:
    balancer = Balancer([("127.0.0.1", port) for port in ports], shuffle=lambda _: None)
    port = await balancer.start("127.0.0.1", 0)
    running = asyncio.create_task(balancer.run())
    try:
        yield balancer, port
    finally:
        running.cancel()
        await balancer.close()


async def ask(port: int) -> bytes:
    """The name of who answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(reader.read(100), 5)
    finally:
        writer.close()


async def test_bytes_pass_both_ways_whatever_their_number() -> None:
    async with upstream(b"a") as (first, _), balancing_over(first) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = bytes(range(256)) * 8192
        writer.write(sent)
        assert await reader.readexactly(1 + len(sent)) == b"a" + sent
        writer.close()


async def test_what_a_client_says_before_an_upstream_is_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asyncio.Event()
    opening = Balancer._open

    async def late(self: Balancer, one: Upstream) -> object:
        await found.wait()
        return await opening(self, one)

    monkeypatch.setattr(Balancer, "_open", late)
    async with upstream(b"a") as (first, _), balancing_over(first) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"early")
        await writer.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        found.set()
        assert await reader.readexactly(6) == b"aearly"
        writer.close()


async def test_connections_go_to_the_least_busy() -> None:
    async with upstream(b"a") as (first, _), upstream(b"b") as (second, _), balancing_over(first, second) as (it, port):
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        names = sorted([await reader.read(1) for reader, _ in kept])
        assert names == [b"a", b"a", b"b", b"b"]
        assert [len(one.connections) for one in it.upstreams] == [2, 2]
        for _, writer in kept:
            writer.close()
        await eventually(lambda: not any(one.connections for one in it.upstreams))


async def test_a_dead_upstream_is_passed_by_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(b"a") as (first, _), balancing_over(first, first) as (it, port):
        async with upstream(b"b") as (second, _):
            it.upstreams[0] = Upstream("127.0.0.1", second)
            assert await ask(port) == b"b"
        assert await ask(port) == b"a"
        assert [one.up for one in it.upstreams] == [False, True]
        async with upstream(b"b", second):
            await eventually(lambda: it.upstreams[0].up)
            assert await ask(port) == b"b"


async def test_the_death_of_an_upstream_ends_its_clients_connections() -> None:
    async with upstream(b"a") as (first, writers), balancing_over(first) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read(1) == b"a"
        writers[0].transport.abort()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_client_is_let_go_when_nobody_answers() -> None:
    async with upstream(b"a") as (first, _):
        pass
    async with balancing_over(first) as (_, port):
        with suppress(ConnectionError):
            assert await ask(port) == b""


async def test_clients_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balancing, "MAX_CONNECTIONS", 1)
    async with upstream(b"a") as (first, _), balancing_over(first) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read(1) == b"a"
        with suppress(ConnectionError):
            assert await ask(port) == b""
        writer.close()


def test_there_must_be_an_upstream() -> None:
    with pytest.raises(ValueError, match="needs an upstream"):
        Balancer([])
