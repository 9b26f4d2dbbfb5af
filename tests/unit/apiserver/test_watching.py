"""WATCH: what is sent, in which order, to whom."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.apiserver.harness import Api, config_map, pod, settle
from tiphys.apiserver.registry import watch_streams
from tiphys.apiserver.registry.watching import BOOKMARK_SECONDS
from tiphys.base.http.messages import StreamResponse

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


async def revision_of(api: Api) -> str:
    revision: str = (await api.get(CMS))["metadata"]["resourceVersion"]
    return revision


async def test_list_then_watch_misses_nothing(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    watch = await api.watch(f"{CMS}?watch=1&resourceVersion={await revision_of(api)}")
    await api.create(CMS, config_map("b"))
    await api.call("PATCH", f"{CMS}/b", {"data": {"k": "v"}}, MERGE)
    await api.call("DELETE", f"{CMS}/b")
    await settle()
    assert watch.names == ["ADDED b", "MODIFIED b", "DELETED b"]
    revisions = [int(obj["metadata"]["resourceVersion"]) for _, obj in watch.events]
    # A deletion's event carries the deletion's revision and the last state.
    assert revisions == sorted(set(revisions)) and watch.events[-1][1]["data"] == {"k": "v"}
    assert all(obj["kind"] == "ConfigMap" for _, obj in watch.events)


async def test_missed_events_come_first(api: Api) -> None:
    revision = await revision_of(api)
    await api.create(CMS, config_map("a"))
    await api.call("DELETE", f"{CMS}/a")
    watch = await api.watch(f"{CMS}?watch=1&resourceVersion={revision}")
    assert watch.names == ["ADDED a", "DELETED a"]


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
async def test_without_a_version_the_state_comes_first(api: Api, version: str) -> None:
    await api.create(CMS, config_map("a"))
    watch = await api.watch(f"{CMS}?watch=1{version}")
    await api.create(CMS, config_map("b"))
    await settle()
    assert watch.names == ["ADDED a", "ADDED b"]


async def test_too_old_a_version_ends_with_an_error(api: Api) -> None:
    history = api.server.feed.caches["", "configmaps"].history
    history.complete_after = api.server.feed.revision
    watch = await api.watch(f"{CMS}?watch=1&resourceVersion=1")
    ((kind, status),) = watch.events
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired") and watch.ended


async def test_events_of_the_future_are_waited_for(api: Api) -> None:
    wanted = int(await revision_of(api)) + 2
    watch = await api.watch(f"{CMS}?watch=1&resourceVersion={wanted}")
    for name in "abcd":
        await api.create(CMS, config_map(name))
    await settle()
    assert watch.names == ["ADDED c", "ADDED d"]


async def test_the_state_of_the_future_is_waited_for_a_moment_only(api: Api) -> None:
    api.server.feed.wait_for = _never  # type: ignore[method-assign,assignment]
    options = "watch=1&resourceVersion=999999&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    watch = await api.watch(f"{CMS}?{options}")
    ((kind, status),) = watch.events
    assert (kind, status["code"], status["details"]["causes"][0]["reason"]) == ("ERROR", 504, "ResourceVersionTooLarge")


async def _never(revision: int, timeout_seconds: float | None = None) -> bool:
    return False


async def test_selected_objects_come_and_go(api: Api) -> None:
    watch = await api.watch(f"{CMS}?watch=1&labelSelector=l%3Dx")
    await api.create(CMS, {"metadata": {"name": "a"}})
    await api.call("PATCH", f"{CMS}/a", {"metadata": {"labels": {"l": "x"}}}, MERGE)
    await api.call("PATCH", f"{CMS}/a", {"data": {"k": "v"}}, MERGE)
    await api.call("PATCH", f"{CMS}/a", {"metadata": {"labels": {"l": "y"}}}, MERGE)
    await api.call("DELETE", f"{CMS}/a")
    await settle()
    assert watch.names == ["ADDED a", "MODIFIED a", "DELETED a"]
    # What leaves the selection is shown as it last matched.
    assert watch.events[-1][1]["metadata"]["labels"] == {"l": "x"}


async def test_a_kubelet_sees_its_pods(api: Api) -> None:
    watch = await api.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn1")
    other = await api.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn2")
    await api.create(PODS, pod("a"))
    await api.create(PODS, pod("b", nodeName="n2"))
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
    assert (await api.call("POST", f"{PODS}/a/binding", binding)).status == 201
    await settle()
    assert (watch.names, other.names) == (["ADDED a"], ["ADDED b"])


async def test_one_object_is_watched_by_name(api: Api) -> None:
    watch = await api.watch(f"{CMS}?watch=1&fieldSelector=metadata.name%3Db")
    for name in "abc":
        await api.create(CMS, config_map(name))
    await settle()
    assert watch.names == ["ADDED b"]


async def test_namespaces_are_apart(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "other"}})
    everywhere = await api.watch("/api/v1/configmaps?watch=1")
    here = await api.watch(f"{CMS}?watch=1")
    await api.create("/api/v1/namespaces/other/configmaps", config_map("a"))
    await settle()
    assert (everywhere.names, here.names) == (["ADDED a"], [])


async def test_bookmarks_say_how_far_it_is(api: Api) -> None:
    watch = await api.watch(f"{CMS}?watch=1&allowWatchBookmarks=true&resourceVersion={await revision_of(api)}")
    silent = await api.watch(f"{CMS}?watch=1&resourceVersion={await revision_of(api)}")
    await api.create(PODS, pod("elsewhere"))
    await api.clock.advance(BOOKMARK_SECONDS)
    ((kind, obj),) = watch.events
    assert kind == "BOOKMARK" and obj["metadata"]["resourceVersion"] == str(api.server.feed.revision)
    assert (obj["kind"], silent.events) == ("ConfigMap", [])


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    await api.create(CMS, config_map("a"))
    options = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    watch = await api.watch(f"{CMS}?watch=1&{options}")
    (_, added), (kind, end) = watch.events
    assert added["metadata"]["name"] == "a" and kind == "BOOKMARK"
    assert end["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_tables_are_watched(api: Api) -> None:
    watch = await api.watch(f"{PODS}?watch=1", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    await api.create(PODS, pod("a"))
    await settle()
    ((kind, table),) = watch.events
    assert (kind, table["kind"], table["rows"][0]["cells"][0]) == ("ADDED", "Table", "a")


async def test_equal_watches_share_their_frames(api: Api) -> None:
    first, second = await api.watch(f"{CMS}?watch=1"), await api.watch(f"{CMS}?watch=1")
    assert len(api.server.feed.caches["", "configmaps"].watchers.groups()) == 1
    await api.create(CMS, config_map("a"))
    await settle()
    assert first._data[-1] is second._data[-1]


async def test_a_watch_that_ends_is_forgotten(api: Api) -> None:
    watchers = api.server.feed.caches["", "configmaps"].watchers
    watch = await api.watch(f"{CMS}?watch=1")
    assert len(watchers) == 1
    await watch.stop()
    assert len(watchers) == 0 and watchers.groups() == []


async def test_who_reads_neither_the_state_nor_the_events_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_streams, "DRAIN_EVERY", 1)
    monkeypatch.setattr(watch_streams, "_BACKLOG_BYTES", 10_000)
    await api.create(CMS, config_map("a"))
    answer = await api.call("GET", f"{CMS}?watch=1")
    assert isinstance(answer.response, StreamResponse)
    running = asyncio.ensure_future(answer.response.run(_Stuck()))  # type: ignore[arg-type]
    await settle()
    watchers = api.server.feed.caches["", "configmaps"].watchers
    assert len(watchers) == 1
    for number in range(20):
        await api.call("PUT", f"{CMS}/a", config_map("a", text=f"{number:1000d}"))
    with pytest.raises(ConnectionError):
        await running
    assert len(watchers) == 0


class _Stuck:
    """A writer whose peer reads nothing."""

    coalesce = closed = False

    def write_chunk(self, chunk: object) -> None: ...

    async def drain(self) -> None:
        await asyncio.Event().wait()
