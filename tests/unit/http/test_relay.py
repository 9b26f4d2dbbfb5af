"""The relay between two connections."""

from __future__ import annotations

import asyncio

from tests.unit.http.pipes import pipe
from tiphys.base.http.raw import relay


async def test_bytes_and_half_closes_pass_both_ways() -> None:
    client, here = pipe()
    there, backend = pipe()
    relaying = asyncio.ensure_future(relay(here, there))
    client.write(b"question")
    assert await backend.read() == b"question"
    client.write_eof()
    assert await backend.read() == b""
    backend.write(b"late answer")
    assert await client.read() == b"late answer"
    backend.write_eof()
    await relaying
    assert await client.read() == b"" and here.closed and there.closed


async def test_a_broken_side_ends_the_other() -> None:
    client, here = pipe()
    there, backend = pipe()
    relaying = asyncio.ensure_future(relay(here, there))
    await asyncio.sleep(0)
    there.close()
    client.write(b"into the void")
    await relaying
    assert here.closed and await backend.read() == b""
