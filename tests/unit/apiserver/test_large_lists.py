"""Lists that are written in parts say the same as lists that are put together."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.unit.apiserver.harness import Api
from tiphys.apiserver.registry import large_lists, reading, representation
from tiphys.apiserver.tables import render
from tiphys.apiserver.watch_cache import cache
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


_AS: dict[str, str] = {
    "Table": "application/json;as=Table;g=meta.k8s.io;v=v1",
    "PartialObjectMetadataList": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
}


@pytest.mark.parametrize("form", _AS)
@pytest.mark.parametrize("include", ["", "?includeObject=Object"])
async def test_a_long_list_in_another_form_is_the_same_list(
    api: Api, monkeypatch: pytest.MonkeyPatch, form: str, include: str
) -> None:
    for index in range(12):
        await api.call("POST", _MAPS, {"metadata": {"name": f"map-{index:02d}"}})
    target, headers = f"/api/v1/configmaps{include}", {"accept": _AS[form]}
    whole = await api.call("GET", target, headers=headers)
    monkeypatch.setattr(large_lists, "_MANY_CONVERTED", 1)
    monkeypatch.setattr(render, "_ROWS_A_PART", 5)
    monkeypatch.setattr(representation, "_OBJECTS_A_PART", 5)
    parts = await api.call("GET", target, headers=headers)
    assert isinstance(parts.response, StreamResponse)
    collector = _Collector()
    await parts.response.run(collector)  # type: ignore[arg-type]
    assert json.loads(b"".join(collector.parts)) == whole.body
    assert whole.body["kind"] == form
    assert len(collector.parts) > 2


async def test_selectors_that_read_every_object_let_others_in_between(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(9):
        body = {"metadata": {"name": f"secret-{index}"}, "type": ("a", "b", "c")[index % 3]}
        await api.create("/api/v1/namespaces/default/secrets", body)
    target = "/api/v1/secrets?fieldSelector=type%3Db"
    whole = await api.get(target)
    monkeypatch.setattr(reading, "_MANY_READ", 1)
    monkeypatch.setattr(cache, "_SCANNED_A_TURN", 2)
    asking = asyncio.ensure_future(api.call("GET", target))
    await asyncio.sleep(0)
    assert not asking.done()
    await api.call("DELETE", "/api/v1/namespaces/default/secrets/secret-7")
    assert (await asking).body == whole, "the state at the question"
    first = (await api.call("GET", f"{target}&limit=1")).body
    more = first["metadata"]["continue"]
    second = (await api.call("GET", f"{target}&limit=1&continue={more}")).body
    names = [item["metadata"]["name"] for page in (first, second) for item in page["items"]]
    assert names == ["secret-1", "secret-4"]
    assert "continue" not in second["metadata"]


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
