import asyncio

import pytest

from tests.unit.client.fake_api import FakeApi, pod
from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.api.scheme import by_kind
from tiphys.api.types.core_v1 import ConfigMap, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.http.messages import PeerIdentity, Request, Response, StreamResponse, StreamWriter
from tiphys.client import Client, InProcessTransport, metadata_only, unstructured
from tiphys.client.client import path_of
from tiphys.testing.clock import FakeClock, settle


async def test_created_updated_and_deleted_objects_are_typed() -> None:
    client = FakeApi().client()
    made = await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="x"), data={"k": "v"}))
    assert (made.metadata.resource_version, made.data) == ("1", {"k": "v"})
    made.data["k"] = "w"
    assert (await client.update(made)).data == {"k": "w"}
    assert (await client.get(ConfigMap, "a", "x")).metadata.resource_version == "2"
    await client.delete(ConfigMap, "a", "x")
    with pytest.raises(ApiError) as caught:
        await client.get(ConfigMap, "a", "x")
    assert caught.value.reason == "NotFound"


async def test_an_update_of_an_old_version_is_a_conflict() -> None:
    client = FakeApi().client()
    made = await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="x")))
    await client.update(made)
    with pytest.raises(ApiError) as caught:
        await client.update(made)
    assert caught.value.reason == "Conflict"


async def test_lists_come_in_pages() -> None:
    api = FakeApi()
    for name in "abc":
        api.put(f"pods/x/{name}", pod(name, "x"), "ADDED")
    client = api.client()
    first = await client.list(Pod, "x", limit=2)
    assert [p.metadata.name for p in first.items] == ["a", "b"]
    second = await client.list(Pod, "x", limit=2, continue_=first.metadata.continue_ or "")
    assert [p.metadata.name for p in second.items] == ["c"]
    assert second.metadata.continue_ is None


async def test_a_throttled_request_is_sent_again_when_the_server_says() -> None:
    api, clock = FakeApi(), FakeClock()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    api.refuse = [errors.too_many_requests("later", 1)]
    client = Client(InProcessTransport(api.handle, PeerIdentity("test")), clock=clock)
    task = asyncio.ensure_future(client.get(Pod, "a", "x"))
    await settle()
    await clock.advance(0.5)
    assert not task.done()
    await clock.advance(0.6)
    assert (await task).metadata.name == "a"


async def test_a_refused_eviction_is_not_sent_again() -> None:
    api = FakeApi()
    api.refuse = [errors.too_many_requests("budget", 10)]
    with pytest.raises(ApiError) as caught:
        await api.client().evict("x", "a")
    assert caught.value.code == 429
    assert len(api.requests) == 1


async def test_an_object_may_be_seen_as_its_metadata_or_as_plain_data() -> None:
    api = FakeApi()
    api.put("pods/x/a", pod("a", "x", uid="u"), "ADDED")
    client = api.client()
    partial = await client.get(metadata_only(by_kind(Pod)), "a", "x")
    assert (partial.metadata.uid, partial.kind) == ("u", "Pod")
    plain = await client.get(unstructured(by_kind(Pod)), "a", "x")
    assert plain["spec"] == {"containers": []}
    plain["spec"] = {"nodeName": "n"}
    assert (await client.update(plain, kind=unstructured(by_kind(Pod))))["spec"] == {"nodeName": "n"}


async def test_a_watch_gives_events_after_its_revision_and_raises_its_error() -> None:
    api = FakeApi()
    api.put("pods/x/a", pod("a", "x"), "ADDED")
    api.put("pods/x/b", pod("b", "x"), "ADDED")
    client = api.client()
    async for event in client.watch(Pod, "x", resource_version="1"):
        assert (event.type, event.object.metadata.name) == ("ADDED", "b")
        break
    api.oldest = 5
    with pytest.raises(ApiError) as caught:
        async for _ in client.watch(Pod, "x", resource_version="1"):
            pass
    assert caught.value.code == 410


async def test_raw_returns_any_status() -> None:
    answer = await FakeApi().client().raw("GET", "/api/v1/namespaces/x/pods/none")
    assert answer.status == 404


def test_paths_are_percent_encoded() -> None:
    resource = by_kind(ConfigMap)
    assert path_of(resource, "x", "system:a/b c") == "/api/v1/namespaces/x/configmaps/system:a/b%20c"


async def test_an_in_process_reader_that_is_too_slow_is_cut_off() -> None:
    async def flood(writer: StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"x" * 100)
        await writer.wait_closed()

    async def handle(request: Request) -> Response:
        return StreamResponse(flood, max_buffer_bytes=1000)

    transport = InProcessTransport(handle, PeerIdentity("test"))
    with pytest.raises(ConnectionResetError):
        async with transport.stream("GET", "/") as chunks:
            async for _ in chunks:
                pass
