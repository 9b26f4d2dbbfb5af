"""The scheduler in a process of its own against a real apiserver: how fast pods are bound, how soon one is, memory."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bench import workload
from bench.server import Server, resident_bytes
from bench.workload import MakePod
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.client.watch import ADDED, MODIFIED
from tiphys.kubelet.hollow import HollowNodes

WRITERS: Final = 32
DEADLINE_SECONDS: Final = 300
_PAUSE_SECONDS: Final = 0.1
_SETTLE_SECONDS: Final = 2.0


async def create_nodes(server: Server, first: int, end: int) -> None:
    """Nodes that somebody made and nobody runs: without the taint they are born with."""

    async def create(index: int) -> None:
        made = await server.client.create(workload.node(index))
        await server.client.patch(Node, made.metadata.name or "", "", {"spec": {"taints": None}})

    await _by_writers(create, first, end)


@contextlib.asynccontextmanager
async def hollow_nodes(server: Server, count: int) -> AsyncIterator[None]:
    """Nodes that renew their leases and answer for their pods, from this process, while the context lasts."""
    hollow = HollowNodes(server.client, count)
    running = asyncio.create_task(hollow.run())
    try:
        await hollow.ready.wait()

        async def admit(index: int) -> None:
            await server.client.patch(Node, f"hollow-{index}", "", {"spec": {"taints": None}})

        await _by_writers(admit, 0, count)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def create_pods(server: Server, count: int, make: MakePod) -> None:
    async def create(index: int) -> None:
        await server.client.create(make(index))

    await _by_writers(create, 0, count)


async def delete_pods(server: Server) -> None:
    """All of them, at once: nobody runs them."""
    names = [pod.metadata.name or "" for pod in (await server.client.list(Pod, "default")).items]

    async def delete(index: int) -> None:
        with contextlib.suppress(ApiError):
            await server.client.delete(Pod, names[index], "default", grace_period_seconds=0)

    await _by_writers(delete, 0, len(names))


async def _by_writers(work: Callable[[int], Awaitable[None]], first: int, end: int) -> None:
    async def write(offset: int) -> None:
        for index in range(first + offset, end, WRITERS):
            await work(index)

    await asyncio.gather(*(write(offset) for offset in range(WRITERS)))


@contextlib.asynccontextmanager
async def component(server: Server, name: str) -> AsyncIterator[int]:
    """One of the cluster's processes while the context lasts; gives its pid."""
    data_dir = str(server.ca_path.parent.parent)
    command = [sys.executable, "-m", "tiphys.cmd.process", "--data-dir", data_dir, name]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def waiting_bound_per_second(server: Server, pods: int) -> float:
    """From the first binding to the last, of pods that all wait when the scheduler's process starts."""
    async with component(server, "scheduler"), asyncio.timeout(DEADLINE_SECONDS):
        while not await _any(server, "spec.nodeName!="):  # noqa: ASYNC110 (the server is another process)
            await asyncio.sleep(_PAUSE_SECONDS)
        started = time.monotonic()
        await all_bound(server)
        # Its end is not part of it: it writes what it can of the events that wait.
        return pods / (time.monotonic() - started)


async def created_bound_per_second(server: Server, pods: int, make: MakePod) -> float:
    """From the first creation to the last binding, while the scheduler runs."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        started = time.monotonic()
        await create_pods(server, pods, make)
        await all_bound(server)
    return pods / (time.monotonic() - started)


async def all_bound(server: Server) -> None:
    while await _any(server, "spec.nodeName="):  # noqa: ASYNC110
        await asyncio.sleep(_PAUSE_SECONDS)


async def _any(server: Server, selector: str) -> bool:
    return bool((await server.client.list(Pod, "default", field_selector=selector, limit=1)).items)


@dataclass
class Latencies:
    """Seconds from a moment to the one at which a watcher sees the pod bound, a figure a pod."""

    from_request: list[float]
    """From before the POST was sent."""
    from_created: list[float]
    """From when the watcher saw the pod, not bound yet."""


async def one_by_one(server: Server, count: int, make: MakePod, *, first: int, pause_seconds: float) -> Latencies:
    """Pods created one at a time on an idle cluster with the scheduler running, `pause_seconds` after the last."""
    result = Latencies([], [])
    seen: dict[str, asyncio.Future[float]] = {}
    bound: dict[str, asyncio.Future[float]] = {}
    loop = asyncio.get_running_loop()

    async def watch(revision: str) -> None:
        events = server.client.watch(Pod, "default", resource_version=revision)
        async for event in events:
            name, now = event.object.metadata.name or "", time.perf_counter()
            if event.type == ADDED and name in seen and not seen[name].done():
                seen[name].set_result(now)
            elif event.type == MODIFIED and event.object.spec.node_name and name in bound and not bound[name].done():
                bound[name].set_result(now)

    listed = await server.client.list(Pod, "default", limit=1, field_selector="spec.nodeName=")
    watcher = asyncio.create_task(watch(listed.metadata.resource_version or ""))
    try:
        await asyncio.sleep(_SETTLE_SECONDS)
        for index in range(first, first + count):
            pod = make(index)
            name = pod.metadata.name or ""
            seen[name], bound[name] = loop.create_future(), loop.create_future()
            began = time.perf_counter()
            async with asyncio.timeout(DEADLINE_SECONDS):
                await server.client.create(pod)
                done = await bound[name]
                result.from_created.append(done - await seen[name])
            result.from_request.append(done - began)
            await asyncio.sleep(pause_seconds)
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    return result


async def resident_after_start(server: Server) -> int:
    """The memory of a scheduler's process that has read the cluster as it is; every pod must be bound."""
    async with component(server, "scheduler") as pid:
        before = -1
        while (now := resident_bytes(pid)) != before:
            before = now
            await asyncio.sleep(_SETTLE_SECONDS)
        return before


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]
