"""Whoever lists and then watches ends with what is stored, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api, Watch, make_server, settle
from tiphys.store.sqlite import SqliteBackend

CMS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
SELECTOR = "&labelSelector=on%3D1"


async def act(api: Api, rng: random.Random) -> None:
    """One random write; what it answers does not matter."""
    name = f"c{rng.randrange(8)}"
    label = {"on": str(rng.randrange(2))}
    choice = rng.randrange(4)
    if choice == 0:
        await api.call("POST", CMS, {"metadata": {"name": name, "labels": label}, "data": {"k": str(rng.random())}})
    elif choice == 1:
        await api.call("DELETE", f"{CMS}/{name}")
    else:
        patch = {"metadata": {"labels": label}, "data": {"k": str(rng.random())}}
        await api.call("PATCH", f"{CMS}/{name}", patch, MERGE)


async def follow(api: Api, selector: str) -> tuple[dict[str, Any], Watch]:
    """The state by a list, and the watch that continues it."""
    listed = await api.get(f"{CMS}?limit=0{selector}")
    state = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
    revision = listed["metadata"]["resourceVersion"]
    return state, await api.watch(f"{CMS}?watch=1&resourceVersion={revision}{selector}")


def replayed(state: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """The state after a watch's events; each must make sense after those before it."""
    result = dict(state)
    for kind, obj in watch.events:
        name, revision = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
        assert (name in result) is (kind != "ADDED"), (kind, name)
        if kind == "DELETED":
            del result[name]
        else:
            result[name] = revision
    return result


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
async def test_list_then_watch(seed: int, durable: bool, tmp_path: Path) -> None:
    rng = random.Random(seed)
    server, clock = make_server()
    if durable:
        backend = SqliteBackend(tmp_path / "store.db")
        server._backend = server.feed._backend = server.context.backend = backend
        for endpoint in server.registry.endpoints():
            endpoint.reader._backend = backend
    await server.start()
    api = Api(server, clock)
    try:
        followers = []
        for _ in range(10):
            await asyncio.gather(*(act(api, rng) for _ in range(12)))
            followers.append((*(await follow(api, "")), ""))
            followers.append((*(await follow(api, SELECTOR)), SELECTOR))
        await asyncio.gather(*(act(api, rng) for _ in range(30)))
        await settle()
        for state, watch, selector in followers:
            stored = (await api.get(f"{CMS}?limit=0{selector}"))["items"]
            wanted = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in stored}
            assert replayed(state, watch) == wanted
    finally:
        await api.close()


async def test_concurrent_creates_of_one_name_make_one(api: Api) -> None:
    bodies = [{"metadata": {"name": "same"}, "data": {"who": str(number)}} for number in range(20)]
    answers = await asyncio.gather(*(api.call("POST", CMS, body) for body in bodies))
    statuses = sorted(answer.status for answer in answers)
    assert statuses == [201] + [409] * 19
    (winner,) = [answer.body for answer in answers if answer.status == 201]
    assert await api.get(f"{CMS}/same") == winner


async def test_concurrent_services_never_share_an_address(api: Api) -> None:
    services = "/api/v1/namespaces/default/services"
    body = {"metadata": {"generateName": "s-"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    answers = await asyncio.gather(*(api.call("POST", services, body) for _ in range(50)))
    specs = [answer.body["spec"] for answer in answers]
    assert len({spec["clusterIP"] for spec in specs}) == 50
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 50


async def test_counting_by_compare_and_swap_loses_nothing(api: Api) -> None:
    await api.create(CMS, {"metadata": {"name": "counter"}, "data": {"n": "0"}})

    async def count() -> None:
        while True:
            current = await api.get(f"{CMS}/counter")
            current["data"]["n"] = str(int(current["data"]["n"]) + 1)
            if (await api.call("PUT", f"{CMS}/counter", current)).status == 200:
                return

    await asyncio.gather(*(count() for _ in range(15)))
    assert (await api.get(f"{CMS}/counter"))["data"]["n"] == "15"
