"""SPDY sessions: two of ours talk to each other, and to bytes that are no SPDY."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest

from tests.unit.http.pipes import pipe
from tiphys.base.http.spdy import STREAM_BUFFER_BYTES, SpdySession, SpdyStream
from tiphys.base.http.spdy_frames import (
    DICTIONARY,
    PING,
    RST_STREAM,
    FrameDecoder,
    FrameEncoder,
    SpdyError,
    data_frame,
    ping,
)


def test_the_dictionary_is_the_one_all_peers_have() -> None:
    # draft-mbelshe-httpbis-spdy-00, 2.6.10.1: its Adler-32 is in the header of every compressed block.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2
    block = FrameEncoder().syn_stream(1, {"a": "b"})[18:]
    assert block[2:6] == b"\xe3\xc6\xa7\xc2"


async def test_streams_carry_headers_and_bytes_both_ways() -> None:
    one, two = pipe()
    opened: asyncio.Queue[SpdyStream] = asyncio.Queue()
    client, server = SpdySession(one), SpdySession(two, server=True, on_stream=opened.put_nowait)
    tasks = [asyncio.ensure_future(client.run()), asyncio.ensure_future(server.run())]
    first, second = client.open_stream({"streamType": "error"}), client.open_stream({"streamType": "stdin", "n": "1"})
    theirs_first, theirs = await opened.get(), await opened.get()
    assert theirs_first.headers == {"streamtype": "error"} and theirs.headers == {"streamtype": "stdin", "n": "1"}
    second.write(b"x" * 100_000)
    second.close()
    second.write(b"never sent")
    assert await theirs.read_all() == b"x" * 100_000
    theirs.write(b"answer")
    theirs.close()
    assert await second.read_all() == b"answer"
    assert second.closed and theirs.closed and not first.closed
    theirs_first.reset()
    assert await first.read() == b"" and first.was_reset
    one.close()
    await asyncio.gather(*tasks)


async def test_the_end_of_the_connection_ends_every_stream() -> None:
    one, two = pipe()
    session = SpdySession(one)
    running = asyncio.ensure_future(session.run())
    stream = session.open_stream({})
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)
    two.close()
    assert await reading == b"" and stream.was_reset
    await running


async def test_pings_are_answered_and_unknown_streams_reset() -> None:
    one, two = pipe()
    running = asyncio.ensure_future(SpdySession(two, server=True).run())
    one.write(ping(7) + ping(8) + data_frame(5, b"lost") + FrameEncoder().syn_stream(1, {"a": "b"}))
    decoder = FrameDecoder()
    frames = []
    while len(frames) < 3:
        frames += list(decoder.feed(await one.read()))
    assert [frame.kind for frame in frames] == [PING, RST_STREAM, RST_STREAM]
    assert frames[0].payload == struct.pack("!I", 7)
    assert [frame.stream_id for frame in frames[1:]] == [5, 1]
    one.close()
    await running


async def test_a_stream_that_is_not_read_stops_the_reading_of_the_connection() -> None:
    one, two = pipe()
    opened: asyncio.Queue[SpdyStream] = asyncio.Queue()
    running = asyncio.ensure_future(SpdySession(two, server=True, on_stream=opened.put_nowait).run())
    encoder = FrameEncoder()
    one.write(encoder.syn_stream(1, {}))
    stream = await opened.get()
    for _ in range(40):
        one.write(data_frame(1, b"x" * 32_768))
    for _ in range(200):
        await asyncio.sleep(0)
    assert stream.buffered_bytes <= STREAM_BUFFER_BYTES + 65_536
    one.write(data_frame(1, b"", fin=True))
    assert len(await stream.read_all(1 << 30)) == 40 * 32_768
    one.close()
    await running


@pytest.mark.parametrize(
    "wire",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x0a" + b"\0" * 10,  # SPDY/2
        b"\x80\x03\x00\x01\x00\x00\x00\x02\0\0",  # too short for its kind
        b"\x80\x03\x00\x01\x00\x00\x00\x0e" + struct.pack("!IIH", 1, 0, 0) + b"junk",  # no zlib
        struct.pack("!II", 1, 0xFFFFFF),  # a huge frame
        FrameEncoder().syn_stream(2, {}),  # an id of the wrong side
        FrameEncoder().syn_stream(1, {"a": "x" * 100_000}),  # a huge header block
    ],
)
async def test_what_is_no_spdy_ends_the_session(wire: bytes) -> None:
    one, two = pipe()
    session = SpdySession(two, server=True, on_stream=lambda stream: None)
    one.write(wire)
    with pytest.raises(SpdyError):
        await session.run()
    assert two.closed
