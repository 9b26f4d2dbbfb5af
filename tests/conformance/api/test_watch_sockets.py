"""Watches over WebSocket."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.conformance.api.running import RunningServer
from tests.e2e.cluster import eventually


def socket(server: RunningServer, path: str, **options: Any) -> ClientConnection:
    context: ssl.SSLContext = server.tls
    return connect(f"{server.url.replace('https', 'wss')}{path}", ssl=context, open_timeout=5, **options)


@pytest.fixture
def maps(server: RunningServer, namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_an_event_is_a_text(server: RunningServer, maps: str) -> None:
    server.raw("POST", maps, {"metadata": {"name": "a"}})
    with socket(server, f"{maps}?watch=1&allowWatchBookmarks=true") as watch:
        first, end = (json.loads(watch.recv(5)) for _ in range(2))
        server.raw("POST", maps, {"metadata": {"name": "b"}})
        text = watch.recv(5)
    assert isinstance(text, str)
    assert [first["type"], end["type"], json.loads(text)["type"]] == ["ADDED", "BOOKMARK", "ADDED"]
    assert json.loads(text)["object"]["metadata"]["name"] == "b"


def test_a_protocol_that_is_offered_is_chosen(server: RunningServer, maps: str) -> None:
    with socket(server, f"{maps}?watch=1", subprotocols=["binary.k8s.io"]) as watch:
        assert watch.subprotocol == "binary.k8s.io"


def test_the_time_is_over(server: RunningServer, maps: str) -> None:
    with socket(server, f"{maps}?watch=1&timeoutSeconds=1") as watch, pytest.raises(ConnectionClosed) as closed:
        watch.recv(5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000


def test_errors_come_as_answers_or_events(server: RunningServer, maps: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        socket(server, f"{maps}?watch=1&resourceVersion=x")
    assert refused.value.response.status_code == 500
    query = "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=999999999"
    with socket(server, f"{maps}?{query}") as watch:
        event = json.loads(watch.recv(8))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)


def test_who_leaves_is_forgotten(server: RunningServer, maps: str) -> None:
    async def watchers(running: Any) -> int:
        return len(running.feed.caches["", "configmaps"].watchers)

    before = server.call(watchers)
    with socket(server, f"{maps}?watch=1&allowWatchBookmarks=1") as watch:
        watch.recv(5)
        assert server.call(watchers) == before + 1
    eventually(lambda: server.call(watchers) == before, "the watcher is gone", 5)
