"""Lists that are written in parts say the same as lists that are put together."""

from __future__ import annotations

import json

import pytest

from tests.unit.apiserver.harness import Api
from tiphys.apiserver.registry import large_lists
from tiphys.base.http.messages import StreamResponse

_MAPS = "/api/v1/namespaces/default/configmaps"


class _Collector:
    """A writer whose peer takes everything at once."""

    coalesce = False
    closed = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    async def drain(self) -> None:
        return


async def test_a_large_list_is_the_same_list(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(12):
        await api.call("POST", _MAPS, {"metadata": {"name": f"map-{index:02d}"}})
    whole = await api.call("GET", "/api/v1/configmaps")
    monkeypatch.setattr(large_lists, "_MANY_OBJECTS", 1)
    monkeypatch.setattr(large_lists, "_LARGE_BYTES", 1)
    monkeypatch.setattr(large_lists, "_OBJECTS_A_TURN", 5)
    parts = await api.call("GET", "/api/v1/configmaps")
    assert isinstance(parts.response, StreamResponse)
    collector = _Collector()
    await parts.response.run(collector)  # type: ignore[arg-type]
    assert json.loads(b"".join(collector.parts)) == whole.body
    assert len(collector.parts) > 2
