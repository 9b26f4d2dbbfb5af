"""One contract for both ways to an apiserver: over sockets and in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.client.fake_api import FakeApi, pod
from tiphys.api import errors
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.http.messages import PeerIdentity, Request, Response
from tiphys.base.http.server import HttpServer
from tiphys.client import Client, ClientConfig, InProcessTransport


class Served:
    """The fake apiserver, reached in one of the ways; `seen` are the requests as the handler got them."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.seen: list[Request] = []

    async def handle(self, request: Request) -> Response:
        self.seen.append(request)
        return await self.api.handle(request)


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture(params=["sockets", "in process"])
async def client(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Client]:
    if request.param == "in process":
        yield Client(InProcessTransport(served.handle, PeerIdentity("me"), user_agent="tests"))
        return
    server = HttpServer(served.handle)
    port = await server.start("127.0.0.1", 0)
    client = Client.from_config(ClientConfig(f"http://127.0.0.1:{port}", token="secret"), user_agent="tests")
    try:
        yield client
    finally:
        await client.close()
        await server.close(0)


async def test_objects_go_there_and_back(client: Client, served: Served) -> None:
    made = await client.create(Pod(metadata=ObjectMeta(name="a", namespace="x", labels={"k": "ü"})))
    assert (await client.get(Pod, "a", "x")) == made
    assert [p.metadata.name for p in (await client.list(Pod)).items] == ["a"]
    headers = served.seen[0].headers
    assert headers.get(b"content-type") == b"application/json"
    assert headers.get(b"user-agent") == b"tests"


async def test_errors_are_the_servers_own(client: Client, served: Served) -> None:
    served.api.refuse = [errors.forbidden("pods", "a", "no")]
    with pytest.raises(ApiError) as caught:
        await client.get(Pod, "a", "x")
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")


async def test_a_refused_watch_is_an_error(client: Client, served: Served) -> None:
    served.api.refuse = [errors.forbidden("pods", "", "no")]
    with pytest.raises(ApiError) as caught:
        async for _ in client.watch(Pod):
            pass
    assert caught.value.code == 403


async def test_events_arrive_while_the_stream_is_open(client: Client, served: Served) -> None:
    names: list[str | None] = []

    async def follow() -> None:
        async for event in client.watch(Pod, "x", resource_version="0"):
            names.append(event.object.metadata.name)
            if len(names) == 1:
                served.api.put("pods/x/b", pod("b", "x"), "ADDED")
            else:
                break

    served.api.put("pods/x/a", pod("a", "x"), "ADDED")
    async with asyncio.timeout(5):
        await follow()
    assert names == ["a", "b"]


async def test_leaving_a_watch_ends_it_at_the_server(client: Client, served: Served) -> None:
    served.api.put("pods/x/a", pod("a", "x"), "ADDED")
    stream = client.watch(Pod, "x", resource_version="0")
    await anext(aiter(stream))
    (_, writer) = served.api.watchers[0]
    await stream.aclose()  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        await writer.wait_closed()


async def test_many_requests_at_once_all_get_their_own_answer(client: Client, served: Served) -> None:
    for n in range(100):
        served.api.put(f"pods/x/p{n}", pod(f"p{n}", "x"), "ADDED")
    found = await asyncio.gather(*(client.get(Pod, f"p{n}", "x") for n in range(100)))
    assert [p.metadata.name for p in found] == [f"p{n}" for n in range(100)]
