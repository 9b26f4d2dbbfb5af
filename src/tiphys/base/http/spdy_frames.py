"""SPDY/3.1 frames to bytes and back. Pure: no I/O.

Control frame: 1 bit set, version 3, 16-bit type, 8-bit flags, 24-bit length. Data frame: 1 bit clear, 31-bit stream id,
flags, length. Header blocks are compressed with one zlib context a direction, started from a fixed dictionary.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

SYN_STREAM: Final = 1
SYN_REPLY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
GOAWAY: Final = 7
HEADERS: Final = 8
WINDOW_UPDATE: Final = 9

FLAG_FIN: Final = 1

MAX_FRAME_BYTES: Final = 1 << 20  # the format's own limit is 16 MiB; peers here send 32 KiB at most
MAX_HEADER_BLOCK_BYTES: Final = 64 * 1024  # decompressed
_VERSION: Final = 0x8003


class SpdyError(Exception):
    """The peer sent what is no SPDY."""


class Frame(NamedTuple):
    """One frame. `kind` 0 is data; `payload` is data, or what the kind needs undecoded (ping id, status)."""

    kind: int
    stream_id: int
    fin: bool = False
    headers: Mapping[str, str] = {}
    payload: bytes = b""


def _dictionary() -> bytes:
    names = """
        options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age
        allow authorization cache-control connection content-base content-encoding content-language content-length
        content-location content-md5 content-range content-type date etag expect expires from host if-match
        if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
        proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
        user-agent vary via warning www-authenticate method get status
    """.split()  # noqa: SIM905 - a list of strings would take fifty lines
    words = [*names, "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
    counted = b"".join(struct.pack("!I", len(word)) + word.encode() for word in words)
    rest = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
        "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
        "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
        "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
        "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    return counted + rest.encode()


DICTIONARY: Final = _dictionary()


class FrameEncoder:
    """Frames of one direction of one connection, in the order they are sent: header blocks share a context."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(9, zlib.DEFLATED, 15, zdict=DICTIONARY)

    def syn_stream(self, stream_id: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        return _control(SYN_STREAM, fin, struct.pack("!IIH", stream_id, 0, 0) + self._block(headers))

    def syn_reply(self, stream_id: int, headers: Mapping[str, str] = {}, *, fin: bool = False) -> bytes:
        return _control(SYN_REPLY, fin, struct.pack("!I", stream_id) + self._block(headers))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        texts = [text.encode() for name, value in headers.items() for text in (name.lower(), value)]
        plain = struct.pack("!I", len(headers)) + b"".join(struct.pack("!I", len(text)) + text for text in texts)
        return self._compressor.compress(plain) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


def data_frame(stream_id: int, data: bytes, *, fin: bool = False) -> bytes:
    return struct.pack("!II", stream_id, (FLAG_FIN << 24 if fin else 0) | len(data)) + data


def rst_stream(stream_id: int, status: int) -> bytes:
    return _control(RST_STREAM, False, struct.pack("!II", stream_id, status))


def ping(identifier: int) -> bytes:
    return _control(PING, False, struct.pack("!I", identifier))


def goaway(last_stream_id: int, status: int = 0) -> bytes:
    return _control(GOAWAY, False, struct.pack("!II", last_stream_id, status))


def _control(kind: int, fin: bool, payload: bytes) -> bytes:
    return struct.pack("!HHI", _VERSION, kind, (FLAG_FIN << 24 if fin else 0) | len(payload)) + payload


class FrameDecoder:
    """Bytes of one direction, however they are cut, to frames."""

    __slots__ = ("_buffer", "_decompressor")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decompressor = zlib.decompressobj(15, zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete with `data`. Exhaust it before feeding more. Raises SpdyError."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 8:
                first, second = struct.unpack_from("!II", buffer, start)
                length = second & 0xFFFFFF
                if length > MAX_FRAME_BYTES:
                    raise SpdyError(f"a frame of {length} bytes")
                end = start + 8 + length
                if len(buffer) < end:
                    break
                payload = bytes(buffer[start + 8 : end])
                start = end
                fin = bool(second >> 24 & FLAG_FIN)
                yield self._control(first, fin, payload) if first >> 31 else Frame(0, first, fin, {}, payload)
        finally:
            del buffer[:start]

    def _control(self, first: int, fin: bool, payload: bytes) -> Frame:
        version, kind = first >> 16, first & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"SPDY version {version & 0x7FFF}")
        if kind in (SETTINGS, PING, GOAWAY):
            return Frame(kind, 0, fin, {}, payload)
        fixed = 10 if kind == SYN_STREAM else 4
        if len(payload) < fixed:
            raise SpdyError("a frame too short for its kind")
        stream_id = struct.unpack_from("!I", payload)[0] & 0x7FFFFFFF
        if kind in (SYN_STREAM, SYN_REPLY, HEADERS):
            return Frame(kind, stream_id, fin, self._headers(payload[fixed:]))
        return Frame(kind, stream_id, fin, {}, payload[fixed:])

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._decompressor.decompress(block, MAX_HEADER_BLOCK_BYTES)
            if self._decompressor.unconsumed_tail:
                raise SpdyError("a header block too large")
            (count,) = struct.unpack_from("!I", plain)
            at = 4
            texts = []
            for _ in range(2 * count):
                (length,) = struct.unpack_from("!I", plain, at)
                at += 4 + length
                if at > len(plain):
                    raise SpdyError("a header block cut short")
                texts.append(plain[at - length : at].decode())
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a malformed header block: {error}") from error
        return dict(zip(texts[::2], texts[1::2], strict=True))
