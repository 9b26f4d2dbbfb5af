"""The last touches to answers."""

from __future__ import annotations

import gzip

import pytest

from tiphys.apiserver.dressing import GZIP_OVER_BYTES, compressed, dress, pretty, wants_pretty
from tiphys.apiserver.routing import RequestInfo
from tiphys.base.http.messages import Chunk, Headers, Request, Response, StreamResponse, StreamWriter


def request(target: str = "/api/v1/pods", **headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request("GET", target.encode(), Headers(pairs))


@pytest.mark.parametrize(
    ("target", "agent", "wanted"),
    [
        ("/api", "curl/8", True),
        ("/api?pretty=false", "curl/8", False),
        ("/api?pretty=True", "", True),
        ("/api?pretty=", "Wget/1", True),
        ("/api?pretty=yes", "", False),
        ("/api?ispretty=1", "", False),
        ("/api", "kubectl/v1.36", False),
    ],
)
def test_who_wants_it_pretty(target: str, agent: str, wanted: bool) -> None:
    assert wants_pretty(request(target, user_agent=agent)) is wanted


@pytest.mark.parametrize("body", [b"", b"ok", b"\x1f\x8b\x08", b"{broken"])
def test_what_is_no_json_stays(body: bytes) -> None:
    response = Response(200, body)
    pretty(response)
    assert response.body == body


def test_answers_of_other_servers_stay() -> None:
    other = RequestInfo("/x", "get", "g", "v1", "things", target=None)
    response = Response(200, b'{"a":1}')
    dress(request(user_agent="curl/8"), response, other)
    assert response.body == b'{"a":1}'
    dress(request(user_agent="curl/8"), response, RequestInfo("/api", "get"))
    assert response.body == b'{\n  "a": 1\n}'


def test_refusals_in_yaml() -> None:
    response = Response(404, b'{"kind":"Status","code":404}')
    dress(request(accept="application/yaml"), response, None)
    assert (response.content_type, response.body) == ("application/yaml", b"code: 404\nkind: Status\n")


class Written:
    """A StreamWriter that keeps what is written."""

    def __init__(self) -> None:
        self.coalesce = False
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def write_chunk(self, chunk: Chunk) -> None:
        self.write(chunk.data)

    async def drain(self) -> None:
        """Nothing waits."""

    async def wait_closed(self) -> None:
        """It is."""


async def test_lists_in_parts_are_compressed_in_parts() -> None:
    async def run(writer: StreamWriter) -> None:
        for part in (b"a" * 1000, b"b" * 1000):
            writer.write(part)
            await writer.drain()
        writer.write(b"end")

    answer = compressed(request(accept_encoding="gzip"), StreamResponse(run))
    assert isinstance(answer, StreamResponse) and (b"Content-Encoding", b"gzip") in answer.headers
    written = Written()
    await answer.run(written)
    assert gzip.decompress(written.data) == b"a" * 1000 + b"b" * 1000 + b"end"
    plain = StreamResponse(run)
    assert compressed(request(), plain) is plain


async def test_what_is_awaited_is_compressed_too() -> None:
    async def answer(size: int) -> Response:
        return Response(200, b"x" * size)

    for size in (GZIP_OVER_BYTES, GZIP_OVER_BYTES + 1):
        made = compressed(request(accept_encoding="gzip"), answer(size))
        assert not isinstance(made, Response)
        response = await made
        assert ((b"Content-Encoding", b"gzip") in response.headers) is (size > GZIP_OVER_BYTES)
