"""A server that ends: it says so first, finishes what is under way, ends watches cleanly, and loses nothing."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.api.running import RunningServer
from tiphys.apiserver.server import ApiServer

PATH = "/api/v1/namespaces/default/configmaps"
_SECONDS = 15


async def _linger(server: ApiServer) -> None:
    server.config = replace(server.config, shutdown_delay_seconds=0.5, shutdown_send_retry_after=True)


def _write_until_refused(server: RunningServer, worker: int, acknowledged: list[str]) -> None:
    with closing(server.connection()) as connection, suppress(OSError, http.client.HTTPException):
        for number in range(100_000):
            name = f"w{worker}-{number}"
            body = json.dumps({"metadata": {"name": name}})
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            if response.status != 201:
                return
            acknowledged.append(name)


def _status(connection: http.client.HTTPSConnection, path: str) -> int:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status


def test_nothing_acknowledged_is_lost_and_watches_end_cleanly(tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data")
    server.start()
    server.call(_linger)
    acknowledged: list[str] = []
    writers = [threading.Thread(target=_write_until_refused, args=(server, n, acknowledged)) for n in range(4)]
    with server.watch("/api/v1/namespaces?watch=1&resourceVersion=0", timeout_seconds=_SECONDS) as stream:
        assert stream.next()["type"] == "ADDED"
        for writer in writers:
            writer.start()
        ending = threading.Thread(target=server.close)
        ending.start()
        deadline = time.monotonic() + _SECONDS
        with closing(server.connection()) as on:
            while _status(on, "/readyz") != 500:
                assert time.monotonic() < deadline
            assert _status(on, "/livez") == 200
            assert _status(on, "/readyz/shutdown") == 500
            assert _status(on, "/api/v1/namespaces/default") == 200, "it serves on for a while"
        # The last chunk says that this is the end, and not a broken connection.
        stream.rest()
    for thread in (*writers, ending):
        thread.join(_SECONDS)
    with closing(server.connection(1)) as late, pytest.raises(OSError):
        late.request("GET", "/livez")
    again = RunningServer(tmp_path / "data")
    again.start()
    try:
        kept = {item["metadata"]["name"] for item in again.raw("GET", PATH).json["items"]}
    finally:
        again.close()
    assert len(acknowledged) > 50
    assert set(acknowledged) <= kept
