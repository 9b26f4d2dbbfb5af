"""An apiserver in process, on the memory store, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.apiserver.harness import Api, make_server


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    server, clock = make_server()
    await server.start()
    client = Api(server, clock)
    await client.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    try:
        yield client
    finally:
        await client.close()
