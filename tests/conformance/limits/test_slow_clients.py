"""Clients that do not read, do not finish, or go away: they cost a bounded amount, and nobody else notices."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance.api.running import RunningServer
from tests.conformance.limits.wire import wire

_EVENTS = 4000
_TEXT_BYTES = 8_000
_SLOW_WATCHERS = 10
# Of a watcher that does not read: its stream's bound, and what TLS and the kernel hold.
_BOUND_BYTES = 64 << 20


def _resident_bytes() -> int:
    """Of this process, in which the server runs."""
    pages = int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_watchers_that_do_not_read_are_cut_off(server: RunningServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = {"metadata": {"name": "busy"}, "data": {"text": ""}}
    made = server.raw("POST", path, body).json
    since = made["metadata"]["resourceVersion"]
    query = f"watch=1&resourceVersion={since}"
    slow = [server.connection() for _ in range(_SLOW_WATCHERS)]
    for connection in slow:
        # A small buffer of their own, so that what is not read stays with the server.
        connection.connect()
        connection.request("GET", f"{path}?{query}")
        assert connection.getresponse().status == 200
    before, seen = _resident_bytes(), 0
    with server.watch(f"{path}?{query}") as reader, ThreadPoolExecutor(1) as pool:

        def read() -> int:
            count = 0
            while count < _EVENTS:
                reader.next()
                count += 1
            return count

        reading = pool.submit(read)
        slowest = 0.0
        for number in range(_EVENTS):
            text = str(number).ljust(_TEXT_BYTES, "x")
            began = time.monotonic()
            answer = server.raw("PUT", f"{path}/busy", {**body, "data": {"text": text}})
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status == 200
        seen = reading.result(60)
        left = server.call(_watchers_of_config_maps)
    assert seen == _EVENTS, "who reads is sent everything"
    assert _resident_bytes() - before < _BOUND_BYTES + _EVENTS * _TEXT_BYTES, (
        "a history that is shared, and little more"
    )
    assert slowest < 5
    assert left == 1, "those who did not read have been cut off"
    for connection in slow:
        connection.close()


async def _watchers_of_config_maps(server: object) -> int:
    return len(server.feed.caches["", "configmaps"].watchers)  # type: ignore[attr-defined]


def test_a_request_that_never_ends_keeps_nobody_waiting(server: RunningServer) -> None:
    with wire(server) as on, wire(server) as half:
        on.send(b"GET /api/v1/pods HTTP/1.1\r\nHost: a\r\nX-")
        half.send(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        for _ in range(50):
            assert server.raw("GET", "/api/v1/namespaces/default").status == 200
        assert time.monotonic() - began < 5


def test_who_goes_before_the_answer_has_written_all_the_same(server: RunningServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = json.dumps({"metadata": {"name": "left"}}).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: a",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    with wire(server) as on:
        on.send("\r\n".join(lines).encode() + body)
    query = f"{path}?watch=1&resourceVersion=0&fieldSelector=metadata.name=left"
    with server.watch(query) as stream:
        assert stream.next()["object"]["metadata"]["name"] == "left"
