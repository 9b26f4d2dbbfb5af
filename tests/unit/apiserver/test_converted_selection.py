"""Field selectors of a version that is not the one that is kept: asked of objects once they are converted."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.apiserver.harness import ADMIN, Api, Watch, settle
from tiphys.apiserver.registry import listing
from tiphys.apiserver.registry.reading import Reader
from tiphys.apiserver.registry.versions import settled
from tiphys.apiserver.registry.watching import WatchVerb
from tiphys.apiserver.routing import RequestInfo
from tiphys.base.http.messages import Request, StreamResponse

CMS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"


class Split:
    """Shows ``data.address`` "a:1" as ``data.host`` and ``data.port``, and never at once."""

    def ready(self, values: Sequence[bytes]) -> list[bytes] | None:
        return None

    async def shown(self, values: Sequence[bytes]) -> list[bytes]:
        return [self._one(json.loads(value)) for value in values]

    async def parts(self, head: bytes, tail: bytes) -> tuple[bytes, bytes]:
        return head, tail

    def _one(self, obj: dict[str, Any]) -> bytes:
        host, _, port = obj.get("data", {}).get("address", "").partition(":")
        obj["data"] = {"host": host, "port": port}
        return json.dumps(obj, separators=(",", ":")).encode()


class Leaving(Watch):
    """A watch whose peer goes away as over HTTP: what writes to it is cancelled."""

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Converted:
    """ConfigMaps served as widgets in such a version."""

    def __init__(self, api: Api) -> None:
        context, cache = api.server.context, api.server.feed.caches["", "configmaps"]
        fields = ("data.host", "data.port")
        self.resource = dataclasses.replace(cache.resource, kind="Widget", version="v2", selectable_fields=fields)
        self.reader = Reader(cache.resource, cache, context.feed, context.backend, None, Split())
        self.watches = WatchVerb(cache.resource, cache, context.feed, None, Split())

    def _info(self, verb: str) -> RequestInfo:
        return RequestInfo(CMS, verb, "", "v2", "configmaps", "default", target=self.resource)

    def _request(self, query: str) -> Request:
        return Request("GET", f"{CMS}?{query}".encode(), peer_certificate=ADMIN)

    async def list(self, query: str) -> Any:
        answer = await settled(self.reader.list(self._request(query), self._info("list")))
        return json.loads(answer.body)

    async def watch(self, query: str) -> Leaving:
        answer = await settled(self.watches.watch(self._request(f"watch=1&{query}"), self._info("watch")))
        assert isinstance(answer, StreamResponse)
        watch = Leaving(answer)
        await settle()
        return watch


@pytest.fixture
async def converted(api: Api) -> Converted:
    for name, address in (("m1", "a:1"), ("m2", "b:1"), ("m3", "a:2"), ("m4", "a:3")):
        await api.create(CMS, {"metadata": {"name": name, "labels": {"l": "x"}}, "data": {"address": address}})
    return Converted(api)


def names(listed: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("fieldSelector=data.host%3Da", ["m1", "m3", "m4"]),
        ("fieldSelector=data.host%3Da,data.port!%3D2", ["m1", "m4"]),
        ("fieldSelector=data.host%3Da,metadata.name!%3Dm1&labelSelector=l%3Dx", ["m3", "m4"]),
        ("fieldSelector=data.host%3Da&labelSelector=l%3Dy", []),
    ],
)
async def test_lists(converted: Converted, query: str, expected: list[str]) -> None:
    assert names(await converted.list(query)) == expected


async def test_pages(api: Api, converted: Converted) -> None:
    first = await converted.list("fieldSelector=data.host%3Da&limit=2")
    assert names(first) == ["m1", "m3"] and "remainingItemCount" not in first["metadata"]
    await api.call("DELETE", f"{CMS}/m4")
    token = first["metadata"]["continue"]
    last = await converted.list(f"fieldSelector=data.host%3Da&limit=2&continue={token}")
    assert names(last) == ["m4"] and "continue" not in last["metadata"]


async def test_collections_to_delete(converted: Converted) -> None:
    request = converted._request("fieldSelector=data.host%3Da,data.port!%3D2")
    filter_, _ = listing.make_filter(converted._info("deletecollection"), request.query, converted.reader.cache)
    found = await converted.reader.select(filter_)
    # As they are kept: they are about to be deleted, not shown.
    assert [(obj.name, json.loads(obj.value)["data"]) for obj in found] == [
        ("m1", {"address": "a:1"}),
        ("m4", {"address": "a:3"}),
    ]


async def test_watches(api: Api, converted: Converted) -> None:
    since = (await converted.list(""))["metadata"]["resourceVersion"]
    state = await converted.watch("fieldSelector=data.host%3Da")
    later = await converted.watch(f"fieldSelector=data.host%3Da&resourceVersion={since}")
    for address in ("a:9", "b:9", "b:8", "a:1"):
        await api.call("PATCH", f"{CMS}/m1", {"data": {"address": address}}, MERGE)
    await api.call("DELETE", f"{CMS}/m1")
    await api.call("DELETE", f"{CMS}/m2")
    await settle()
    changes = ["MODIFIED m1", "DELETED m1", "ADDED m1", "DELETED m1"]
    assert state.names == ["ADDED m1", "ADDED m3", "ADDED m4", *changes]
    assert later.names == changes
    left = later.events[1][1]
    assert left["data"] == {"host": "a", "port": "9"} and left["metadata"]["resourceVersion"]
    revisions = [int(obj["metadata"]["resourceVersion"]) for _, obj in later.events]
    assert revisions == sorted(set(revisions))
    for watch in (state, later):
        await watch.leave()
