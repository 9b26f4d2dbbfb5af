"""The proxy against a real apiserver in memory and the kernel's nftables, in a network namespace of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable

import pytest

from tests.unit.network.namespaces import own_network, run
from tests.unit.proxy.cluster import CONFIG, endpoint, service, slice_of
from tiphys.base import nft
from tiphys.client.client import Client
from tiphys.proxy.proxier import Proxier, cleanup
from tiphys.testing.control_plane import control_plane

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft"),
]
TIMEOUT_SECONDS = 20
ATTEMPTS = 500


@contextlib.asynccontextmanager
async def running(client: Client) -> AsyncIterator[Proxier]:
    """A proxy that has told the kernel all it found."""
    proxier = Proxier(client, CONFIG)
    task = asyncio.create_task(proxier.run())
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await proxier.synced.wait()
        yield proxier
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[str], bool]) -> None:
    """Wait until the kernel's ruleset is as told. It is asked again and again."""
    for _ in range(ATTEMPTS):
        if holds(run_list()):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(run_list())


def run_list() -> str:
    return run("nft list ruleset")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    with own_network():
        async with control_plane() as plane:
            yield plane.client


async def test_services_come_change_and_go(client: Client) -> None:
    await client.create(service("web", "10.96.0.70"))
    await client.create(slice_of(endpoint("10.244.0.2")))
    async with running(client):
        assert "10.96.0.70 . tcp . 80 : goto pick-1" in run_list()
        await client.create(slice_of(endpoint("10.244.0.3"), name="web-2"))
        await until(lambda rules: "10.96.0.70 . tcp . 80 : goto pick-2" in rules)
        await client.delete(type(slice_of()), "web-1", "default")
        await client.delete(type(slice_of()), "web-2", "default")
        await until(lambda rules: "10.96.0.70 . tcp . 80 : goto refuse" in rules)
        await client.delete(type(service()), "web", "default")
        await until(lambda rules: "10.96.0.70" not in rules)


async def test_rules_stay_when_the_proxy_ends_and_are_taken_over(client: Client) -> None:
    await client.create(service("web", "10.96.0.70"))
    await client.create(slice_of(endpoint("10.244.0.2")))
    async with running(client):
        pass
    before = run_list()
    assert "10.96.0.70" in before
    await client.delete(type(service()), "web", "default")
    async with running(client):
        assert "10.96.0.70" not in run_list()
    await cleanup(CONFIG)
    await cleanup(CONFIG)
    assert run_list() == ""


@pytest.mark.parametrize("command", ["nft flush ruleset", f"nft flush chain ip {CONFIG.table} dispatch"])
async def test_what_someone_else_deletes_is_made_anew(client: Client, command: str) -> None:
    await client.create(service("web", "10.96.0.70"))
    async with running(client) as proxier:
        before = run_list()
        # Our own announcements may still be on their way for a while; what comes after them is another's.
        proxier._echo_until = 0.0
        run(command)
        await until(lambda rules: rules == before)


async def test_a_refused_transaction_is_followed_by_a_whole_table(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(client):
        apply, scripts = nft.apply, []

        async def refuse_once(script: str) -> None:
            scripts.append(script)
            if len(scripts) == 1:
                raise nft.NftError("Error: Could not process rule")
            await apply(script)

        monkeypatch.setattr(nft, "apply", refuse_once)
        await client.create(service("web", "10.96.0.70"))
        await until(lambda rules: "10.96.0.70" in rules)
        assert "delete table" not in scripts[0]
        assert "delete table" in scripts[1]


async def test_services_of_other_proxies_are_left_alone(client: Client) -> None:
    other = service("other", "10.96.0.71")
    other.metadata.labels = {"service.kubernetes.io/service-proxy-name": "istio"}
    await client.create(other)
    await client.create(service("web", "10.96.0.70"))
    async with running(client):
        assert "10.96.0.70" in run_list()
        assert "10.96.0.71" not in run_list()
