"""The proxy's rules in a network namespace of its own: the first sync, and one changed endpoint."""

from __future__ import annotations

import asyncio
import os
import shutil
import time

from bench.report import Report, Row
from tests.unit.network.namespaces import own_network
from tests.unit.proxy.cluster import CONFIG, endpoint, service, slice_of
from tiphys.client.client import Client
from tiphys.proxy.proxier import Proxier
from tiphys.testing.control_plane import control_plane

SERVICES = 5_000
ENDPOINTS = 4
CHANGES = 10


async def run(report: Report) -> None:
    """From objects in the apiserver to rules in the kernel; the apiserver is in this process."""
    if os.geteuid() != 0 or shutil.which("nft") is None:
        report.skip("proxy", "needs root and nft")
        return
    with own_network():
        async with control_plane() as plane:
            await asyncio.gather(*(_create(plane.client, index) for index in range(SERVICES)))
            proxier = Proxier(plane.client, CONFIG)
            started = time.monotonic()
            running = asyncio.create_task(proxier.run())
            await asyncio.wait_for(proxier.synced.wait(), 300)
            report.add(
                Row(
                    f"proxy: first sync of {SERVICES:,} Services with {ENDPOINTS} endpoints each",
                    time.monotonic() - started,
                    "s",
                    less_is_better=True,
                )
            )
            figures = [await _change(plane.client, proxier, index) for index in range(CHANGES)]
            name = f"proxy: one changed endpoint of {SERVICES * ENDPOINTS:,}, from write to kernel"
            report.add(Row(name, sorted(figures)[CHANGES // 2] * 1000, "ms", less_is_better=True))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def _name(index: int) -> str:
    return f"svc-{index}"


def _addresses(index: int, version: int = 0) -> list[dict[str, object]]:
    """Endpoints that no other Service has; a later version has another first one."""
    first = [endpoint(f"10.245.{index % 250}.{version + 1}")] if version else []
    rest = [endpoint(f"10.244.{index // 50}.{index % 50 * ENDPOINTS + slot + 1}") for slot in range(ENDPOINTS)]
    return (first + rest)[:ENDPOINTS]


async def _create(client: Client, index: int) -> None:
    await client.create(service(_name(index), f"10.{96 + index // 62_500}.{index // 250 + 1}.{index % 250 + 1}"))
    await client.create(slice_of(*_addresses(index), service_name=_name(index), name=f"{_name(index)}-1"))


async def _change(client: Client, proxier: Proxier, index: int) -> float:
    """Seconds from the write to the moment the kernel has it."""
    changed = slice_of(*_addresses(index, index + 1), service_name=_name(index), name=f"{_name(index)}-1")
    started = time.monotonic()
    await client.update(changed)
    while proxier.synced.is_set():  # noqa: ASYNC110 (the proxy hears of it within a turn or two of the loop)
        await asyncio.sleep(0)
    await asyncio.wait_for(proxier.synced.wait(), 30)
    return time.monotonic() - started
