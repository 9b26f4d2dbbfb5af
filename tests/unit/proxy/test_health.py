"""Health checks over real connections on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from tiphys.proxy.health import HealthServers, ServiceHealth


async def get(port: int, path: str = "/") -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def servers() -> AsyncIterator[HealthServers]:
    made = HealthServers("127.0.0.1")
    made.healthy = True
    yield made
    await made.close()


async def test_a_balancer_is_told_where_endpoints_are(servers: HealthServers) -> None:
    port = free_port()
    await servers.update({port: ServiceHealth("shop", "web", port, 2)})
    status, body = await get(port)
    assert status == 200
    assert json.loads(body) == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    await servers.update({port: ServiceHealth("shop", "web", port, 0)})
    assert (await get(port))[0] == 503


async def test_a_proxy_that_lags_is_avoided(servers: HealthServers) -> None:
    port, own = free_port(), free_port()
    await servers.update({port: ServiceHealth("shop", "web", port, 2)})
    await servers.serve_own(own)
    assert (await get(own, "/healthz"))[0] == 200
    servers.healthy = False
    assert (await get(port))[0] == 503
    assert (await get(own, "/healthz"))[0] == 503
    assert (await get(own, "/other"))[0] == 404


async def test_a_service_that_goes_is_no_longer_listened_for(servers: HealthServers) -> None:
    port, own = free_port(), free_port()
    await servers.serve_own(own)
    await servers.update({port: ServiceHealth("shop", "web", port, 1)})
    await servers.update({})
    with pytest.raises(ConnectionRefusedError):
        await get(port)
    assert (await get(own, "/healthz"))[0] == 200


async def test_a_port_someone_has_is_tried_again(servers: HealthServers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        wanted = {port: ServiceHealth("shop", "web", port, 1)}
        await servers.update(wanted)
    await servers.update(wanted)
    assert (await get(port))[0] == 200
