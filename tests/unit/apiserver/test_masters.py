"""Which apiservers the Service `kubernetes` has: two of them, on one store, under a clock of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.apiserver.harness import ADMIN, make_server
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import Endpoints
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.apiserver.bootstrap.masters import EXPIRY_SECONDS, PERIOD_SECONDS, Masters
from tiphys.base.tasks import Supervisor
from tiphys.client import Client, InProcessTransport
from tiphys.testing.clock import FakeClock

ONE, TWO = "10.0.0.1", "10.0.0.2"


@pytest.fixture
async def world() -> AsyncIterator[tuple[Client, FakeClock]]:
    server, clock = make_server()
    await server.start()
    yield Client(InProcessTransport(server.handler, ADMIN)), clock
    await server.close()


async def addresses(client: Client) -> list[str]:
    """Of the Endpoints; the EndpointSlice must say the same."""
    endpoints = await client.get(Endpoints, "kubernetes", "default")
    found = [address.ip for subset in endpoints.subsets for address in subset.addresses]
    piece = await client.get(EndpointSlice, "kubernetes", "default")
    assert [address for endpoint in piece.endpoints for address in endpoint.addresses] == found
    return found


async def rounds(clock: FakeClock, seconds: float) -> None:
    for _ in range(int(seconds / PERIOD_SECONDS)):
        await clock.advance(PERIOD_SECONDS)


async def test_a_dead_apiserver_is_no_endpoint_after_its_lease(world: tuple[Client, FakeClock]) -> None:
    client, clock = world
    one, two = (Masters(client, address, 6443, clock) for address in (ONE, TWO))
    async with Supervisor("one") as living:
        living.spawn(one.run, "one")
        async with Supervisor("two") as dying:
            dying.spawn(two.run, "two")
            await rounds(clock, 2 * PERIOD_SECONDS)
            assert await addresses(client) == [ONE, TWO]
        await rounds(clock, EXPIRY_SECONDS - PERIOD_SECONDS)
        assert await addresses(client) == [ONE, TWO]
        await rounds(clock, 2 * PERIOD_SECONDS)
        assert await addresses(client) == [ONE]
        assert (
            len((await client.list(Lease, "kube-system", label_selector="apiserver.kubernetes.io/identity")).items) == 1
        )
        # It comes back under the same name.
        async with Supervisor("again") as again:
            again.spawn(Masters(client, TWO, 6443, clock).run, "two")
            await rounds(clock, 2 * PERIOD_SECONDS)
            assert await addresses(client) == [ONE, TWO]


async def test_who_leaves_cleanly_is_gone_at_once(world: tuple[Client, FakeClock]) -> None:
    client, clock = world
    one, two = (Masters(client, address, 6443, clock) for address in (ONE, TWO))
    async with Supervisor("one") as living:
        living.spawn(one.run, "one")
        async with Supervisor("two") as leaving:
            leaving.spawn(two.run, "two")
            await rounds(clock, 2 * PERIOD_SECONDS)
        await two.leave()
        assert await addresses(client) == [ONE]
    await one.leave()
    # The last one leaves its address: there is nobody else to ask.
    assert await addresses(client) == [ONE]
