"""Writes to a store that others share, or that does not answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.apiserver.harness import Api, pod
from tiphys.api.errors import ApiError
from tiphys.apiserver.allocators.reservations import Reservations
from tiphys.store.backend import OutcomeUnknown, StoreError, Unavailable, WriteFailed
from tiphys.testing.clock import settle

CMS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (OutcomeUnknown("no answer"), 504, "Timeout"),
        (Unavailable("no quorum"), 503, "ServiceUnavailable"),
        (WriteFailed("disk full"), 500, "InternalError"),
    ],
)
async def test_what_a_failed_write_is_told_as(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: StoreError, code: int, reason: str
) -> None:
    made = await api.create(CMS, {"metadata": {"name": "there"}})

    async def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(api.server.context.backend, "put", fails)
    monkeypatch.setattr(api.server.context.backend, "delete", fails)
    made["data"] = {"a": "b"}
    for answer in (
        await api.call("POST", CMS, {"metadata": {"name": "a"}}),
        await api.call("PUT", f"{CMS}/there", made),
        await api.call("DELETE", f"{CMS}/there"),
    ):
        assert (answer.status, answer.body["reason"]) == (code, reason)
        assert str(error) in answer.body["message"]


async def test_a_reservation_is_one_owners(api: Api) -> None:
    context = api.server.context
    one, two = (Reservations(context.backend, context.feed) for _ in range(2))
    await one.hold("serviceips", 7, "default/a", lambda: True)
    # The same write, tried again.
    await one.hold("serviceips", 7, "default/a", lambda: True)
    with pytest.raises(ApiError) as caught:
        await two.hold("serviceips", 7, "default/b", lambda: True)
    assert caught.value.code == 409
    await two.hold("serviceips", 8, "default/b", lambda: True)


async def gone(api: Api, key: str) -> None:
    """Return when the key is not there; what removes it runs in the background."""
    async with asyncio.timeout(5):
        while await api.server.context.backend.get(key) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_reservation_that_is_over_lets_others(api: Api) -> None:
    context = api.server.context
    one, two = (Reservations(context.backend, context.feed) for _ in range(2))
    await one.hold("serviceips", 7, "default/a", lambda: True)
    one.release("serviceips", 7)
    await gone(api, "/registry/ranges/serviceips/7")
    await two.hold("serviceips", 7, "default/b", lambda: True)


async def test_what_is_given_meanwhile_is_not_reserved(api: Api) -> None:
    context = api.server.context
    with pytest.raises(ApiError) as caught:
        await Reservations(context.backend, context.feed).hold("serviceips", 7, "default/a", lambda: False)
    assert caught.value.code == 409
    await gone(api, "/registry/ranges/serviceips/7")


async def test_a_reservation_ends_by_itself(api: Api) -> None:
    context = api.server.context
    await Reservations(context.backend, context.feed).hold("serviceips", 7, "default/a", lambda: True)
    await settle()
    await api.clock.advance(29)
    assert await context.backend.get("/registry/ranges/serviceips/7") is not None
    await api.clock.advance(12)
    await gone(api, "/registry/ranges/serviceips/7")


async def test_a_reservation_needs_the_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> None:
        raise Unavailable("no quorum")

    monkeypatch.setattr(api.server.context.backend, "put", fails)
    with pytest.raises(ApiError) as caught:
        await Reservations(api.server.context.backend, api.server.feed).hold("x", 7, "default/a", lambda: True)
    assert caught.value.code == 503


@pytest.mark.parametrize(
    ("method", "subresource", "body", "code"),
    [
        ("POST", "eviction", {"metadata": {"name": "p"}}, 201),
        ("POST", "binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}, 201),
        ("GET", "log", None, 200),  # it runs nowhere yet, and said nothing
    ],
)
async def test_subresources_of_what_others_made(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, subresource: str, body: Any, code: int
) -> None:
    await api.create("/api/v1/namespaces/default/pods", pod("p"))
    feed, cache = api.server.feed, api.server.feed.caches["", "pods"]
    behind = cache.objects.pop("default/p")
    waited = []

    async def catch_up() -> None:
        waited.append(feed.revision)
        cache.objects["default/p"] = behind
        feed.revision += 0 if len(waited) > 1 else 1

    monkeypatch.setattr(type(api.server.context.backend), "shared", True)
    monkeypatch.setattr(feed, "wait_fresh", catch_up)
    monkeypatch.setattr(feed, "_shared", True)
    path = f"/api/v1/namespaces/default/pods/p/{subresource}"
    answer = await api.call(method, path, body)
    assert answer.status == code, answer.response.body
    assert waited
