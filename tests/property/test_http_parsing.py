"""However bytes are cut, requests and frames come out the same; junk is refused and never raises anything else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tiphys.base.http.messages import BadRequest, Request
from tiphys.base.http.server_parser import ReadRequest, RequestParser
from tiphys.base.http.spdy_frames import Frame, FrameDecoder, FrameEncoder, SpdyError, data_frame, goaway, ping

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
HEADERS = st.dictionaries(TOKENS.map(lambda name: f"x-{name}"), VALUES, max_size=5)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    st.lists(st.text("abc0~._", min_size=1, max_size=5), max_size=4).map(lambda parts: "/" + "/".join(parts)),
    HEADERS,
    st.binary(max_size=200),
    st.booleans(),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(point % (len(data) + 1) for point in at)})
    return [data[start:end] for start, end in pairwise(edges)]


def wire_of(method: str, path: str, headers: dict[str, str], body: bytes, chunked: bool) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\n{lines}"
    if not chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(body, [3, 50]) if piece)
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + pieces + b"0\r\n\r\n"


def parser_into(found: list[Request]) -> RequestParser:
    def deliver(read: ReadRequest) -> None:
        found.append(read.request)

    return RequestParser(deliver, max_header_bytes=65536, max_body_bytes=100_000)


@given(st.lists(REQUESTS, min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=20))
def test_requests_do_not_depend_on_how_bytes_are_cut(
    requests: list[tuple[str, str, dict[str, str], bytes, bool]], at: list[int]
) -> None:
    found: list[Request] = []
    parser = parser_into(found)
    for piece in cut(b"".join(wire_of(*request) for request in requests), at):
        assert parser.feed(piece) is None
    assert [(one.method, one.path, one.body) for one in found] == [(r[0], r[1], r[3]) for r in requests]
    for one, request in zip(found, requests, strict=True):
        for name, value in request[2].items():
            assert one.headers.get(name.encode()) == value.encode()


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_junk_is_a_bad_request_or_waits_for_more(junk: bytes, at: list[int]) -> None:
    parser = parser_into([])
    try:
        for piece in cut(junk, at):
            if parser.feed(piece) is not None:
                break
    except BadRequest as error:
        assert error.status in (400, 413, 417, 431)


@given(st.binary(max_size=60))
def test_any_target_is_parsed_or_refused(target: bytes) -> None:
    try:
        assert isinstance(Request("GET", target).path, str)
    except BadRequest:
        pass


FRAMES = st.one_of(
    st.tuples(st.just("syn"), st.integers(1, 2**31 - 1), HEADERS, st.booleans()),
    st.tuples(st.just("reply"), st.integers(1, 2**31 - 1), HEADERS, st.booleans()),
    st.tuples(st.just("data"), st.integers(1, 2**31 - 1), st.binary(max_size=300), st.booleans()),
    st.tuples(st.just("ping"), st.integers(0, 2**32 - 1), st.none(), st.just(False)),
)


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_spdy_frames_round_trip(
    frames: list[tuple[str, int, dict[str, str] | bytes | None, bool]], at: list[int]
) -> None:
    encoder, decoder = FrameEncoder(), FrameDecoder()
    wire, expected = b"", []
    for kind, number, content, fin in frames:
        if isinstance(content, dict):
            encode = encoder.syn_stream if kind == "syn" else encoder.syn_reply
            wire += encode(number, content, fin=fin)
            expected.append(Frame(1 if kind == "syn" else 2, number, fin, content))
        elif isinstance(content, bytes):
            wire += data_frame(number, content, fin=fin)
            expected.append(Frame(0, number, fin, {}, content))
        else:
            wire += ping(number) + goaway(1)
            expected += [Frame(6, 0, False, {}, number.to_bytes(4, "big")), Frame(7, 0, False, {}, b"\0\0\0\1\0\0\0\0")]
    found = [frame for piece in cut(wire, at) for frame in decoder.feed(piece)]
    assert found == expected


@given(st.binary(max_size=300))
def test_junk_is_no_spdy_or_waits_for_more(junk: bytes) -> None:
    try:
        list(FrameDecoder().feed(junk))
    except SpdyError:
        pass
