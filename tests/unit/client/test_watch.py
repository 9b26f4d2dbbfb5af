from collections.abc import AsyncIterator

import pytest

from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.client.watch import decode_events


async def chunked(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def line(name: str, type: str = "ADDED") -> bytes:
    return b'{"type":"%b","object":{"kind":"ConfigMap","metadata":{"name":"%b"}}}\n' % (type.encode(), name.encode())


async def decoded(*chunks: bytes) -> list[list[str | None]]:
    return [[e.object.metadata.name for e in batch] async for batch in decode_events(ConfigMap, chunked(*chunks))]


async def test_lines_that_arrive_together_are_one_batch() -> None:
    assert await decoded(line("a") + line("b"), line("c")) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("size", [1, 7, 64, 100])
async def test_it_does_not_matter_how_the_stream_is_cut(size: int) -> None:
    stream = b"".join(line(name) for name in "abcd")
    pieces = [stream[n : n + size] for n in range(0, len(stream), size)]
    batches = await decoded(*pieces)
    assert [name for batch in batches for name in batch] == ["a", "b", "c", "d"]


async def test_nulls_are_absent() -> None:
    odd = b'{"type":"ADDED","object":{"metadata":{"name":"a","labels":null},"data":null}}\n'
    assert await decoded(line("z") + odd) == [["z", "a"]]


async def test_an_error_is_raised_after_the_events_before_it() -> None:
    gone = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}}\n'
    seen = []
    with pytest.raises(ApiError) as caught:
        async for batch in decode_events(ConfigMap, chunked(line("a"), gone)):
            seen += batch
    assert (caught.value.code, caught.value.reason, len(seen)) == (410, "Expired", 1)
