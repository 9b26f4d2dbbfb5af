"""The apiserver with 100,000 pods: start, reads by key and by label, writes, memory, and how long it ever pauses."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench import wrk
from bench.api import POD
from bench.report import Report, Row
from bench.server import Server, bench_config, serving
from tiphys.cmd.config import ClusterConfig, save
from tiphys.store.sqlite import SqliteBackend

PODS = 100_000
NAMESPACES = 100
NODES = 1000
PODS_OF_AN_APP = 100
WATCHERS = 20
_READY_SECONDS = 120
_BATCH = 2000
_PATH = "/api/v1/namespaces/default/pods"
_AS = "Accept: application/json;as={};g=meta.k8s.io;v=v1"
_INITIAL = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=4"
_WHOLE = (
    ("LIST", "/api/v1/pods", ()),
    ("LIST with gzip", "/api/v1/pods", ("Accept-Encoding: gzip",)),
    ("Table", "/api/v1/pods", (_AS.format("Table"),)),
    ("metadata", "/api/v1/pods", (_AS.format("PartialObjectMetadataList"),)),
    ("list by status.phase", "/api/v1/pods?fieldSelector=status.phase%3DRunning", ()),
    ("streaming list in 4 s", f"/api/v1/pods?watch=1&{_INITIAL}", ()),
)
_MAPS = "/api/v1/namespaces/default/configmaps"


async def run(report: Report) -> None:
    """Print the rows: of an empty server first, then of the same server with the pods in its store."""
    if not wrk.available():
        report.skip("scale", "wrk is not installed: apt-get install wrk")
        return
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
        config = bench_config(folder)
        save(config)
        async with serving(config) as server:
            token, empty_bytes = server.token, server.resident_bytes()
            sample = await server.client.raw("POST", _PATH, json.dumps(POD).replace("NAME", "sample").encode())
            await server.client.raw("DELETE", f"{_PATH}/sample?gracePeriodSeconds=0")
            await server.client.raw("POST", _MAPS, _config_map("one"))
            empty_gets = await _gets(server)
        began = time.monotonic()
        size_bytes = await _seed(config, json.loads(sample.body))
        print(f"seeded {PODS:,} pods of {size_bytes:,} bytes in {time.monotonic() - began:.1f} s", flush=True)
        async with serving(config, token, _READY_SECONDS) as server:
            await _rows(server, report, empty_gets, empty_bytes, size_bytes)


async def _rows(server: Server, report: Report, empty_gets: float, empty_bytes: int, size_bytes: int) -> None:
    name = f"ready after start with {PODS:,} pods"
    report.add(Row(name, server.start_seconds, "s", goal=5, less_is_better=True))
    grown = (server.resident_bytes() - empty_bytes) / PODS
    report.add(Row(f"memory a pod (of {size_bytes:,} bytes)", grown, "bytes", less_is_better=True))
    await server.client.raw("GET", "/api/v1/nodes")
    first = await _seconds(server, "/api/v1/pods?labelSelector=app%3Dapp-7")
    report.add(Row("label list of 100 pods, the first that asks", first * 1000, "ms", goal=20, less_is_better=True))
    again = [await _seconds(server, f"/api/v1/pods?labelSelector=app%3Dapp-{index}") for index in range(50)]
    report.add(Row("label list of 100 pods, p95 after", _p(again, 95) * 1000, "ms", goal=20, less_is_better=True))
    nodes = [await _seconds(server, f"/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-{n}") for n in range(50)]
    report.add(Row("list of one node's 100 pods, p95", _p(nodes, 95) * 1000, "ms", less_is_better=True))
    gets = await _gets(server)
    report.add(Row("GET one ConfigMap, as a share of the empty server's", gets / empty_gets * 100, "%", goal=67))
    body = json.dumps(POD)
    figure = await wrk.post_per_second(server.url, _PATH, body, server.token, prefix="late", connections=32)
    report.add(Row("POST Pod, durable", figure, "/s", goal=2500))
    async with _watched(server):
        for name, target, headers in _WHOLE:
            before = server.resident_bytes()
            async with _probing(server) as probes:
                took = await _curl(server, target, *headers)
            report.add(Row(f"{name} of all of them", took, "s", less_is_better=True))
            grown = (server.resident_bytes() - before) / 1e6
            report.add(Row("  memory it took", grown, "MB", less_is_better=True))
            report.add(Row("  p99 of GETs beside it", _p(probes, 99) * 1000, "ms", less_is_better=True))
            report.add(Row("  slowest GET beside it", max(probes) * 1000, "ms", less_is_better=True))
        async with _probing(server) as probes:
            await wrk.post_per_second(server.url, _PATH, body, server.token, prefix="mixed", connections=16)
        report.add(
            Row(f"slowest GET beside POSTs with {WATCHERS} watchers", max(probes) * 1000, "ms", less_is_better=True)
        )
    text = (await server.client.raw("GET", "/metrics")).body.decode()
    longest = re.search(r"^python_gc_longest_pause_seconds (\S+)$", text, re.MULTILINE)
    assert longest is not None
    name = "longest garbage collection"
    report.add(Row(name, float(longest[1]) * 1000, "ms", goal=50, less_is_better=True))


async def _seed(config: ClusterConfig, pod: dict[str, Any]) -> int:
    """Put the pods where the apiserver finds them, as it would have; the mean size of one."""
    backend = SqliteBackend(config.store_path)
    await backend.start()
    total = 0
    try:
        for start in range(0, PODS, _BATCH):
            bodies = [_encoded(pod, index) for index in range(start, start + _BATCH)]
            total += sum(len(head) + len(tail) for _, head, tail in bodies)
            await asyncio.gather(*(backend.put(key, head, tail, expected=0) for key, head, tail in bodies))
    finally:
        await backend.close()
    return total // PODS


def _encoded(pod: dict[str, Any], index: int) -> tuple[str, bytes, bytes]:
    """A scheduled pod's key, and its JSON around the resourceVersion."""
    namespace, name = f"space-{index % NAMESPACES}", f"pod-{index}"
    labels = {"app": f"app-{index // PODS_OF_AN_APP}", "instance": name, "tier": "load"}
    uid = f"00000000-0000-4000-8000-{index:012d}"
    metadata = {**pod["metadata"], "name": name, "namespace": namespace, "labels": labels, "uid": uid}
    metadata["resourceVersion"] = "@"
    spec = {**pod["spec"], "nodeName": f"node-{index % NODES}"}
    head, _, tail = json.dumps({**pod, "metadata": metadata, "spec": spec}, separators=(",", ":")).partition("@")
    return f"/registry/core/pods/{namespace}/{name}", head.encode(), tail.encode()


async def _gets(server: Server) -> float:
    return await wrk.get_per_second(f"{server.url}{_MAPS}/one", server.token, connections=32)


async def _seconds(server: Server, target: str) -> float:
    began = time.perf_counter()
    answer = await server.client.raw("GET", target)
    assert answer.status == 200, answer.body[:200]
    return time.perf_counter() - began


async def _curl(server: Server, target: str, *headers: str) -> float:
    """As `_seconds`, by a process of its own that throws away what it reads."""
    began = time.perf_counter()
    command = ["curl", "-sS", "--fail", "--cacert", str(server.ca_path), "-o", "/dev/null", f"{server.url}{target}"]
    # Not as curl: what people look at is indented for them.
    given = ["User-Agent: bench", f"Authorization: Bearer {server.token}", *headers]
    process = await asyncio.create_subprocess_exec(*command, *(part for line in given for part in ("-H", line)))
    assert await process.wait() == 0
    return time.perf_counter() - began


@asynccontextmanager
async def _probing(server: Server) -> AsyncIterator[list[float]]:
    """How long a GET takes meanwhile, again and again."""
    probes: list[float] = []

    async def probe() -> None:
        while True:
            probes.append(await _seconds(server, f"{_MAPS}/one"))
            await asyncio.sleep(0.002)

    task = asyncio.create_task(probe())
    try:
        yield probes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _watched(server: Server) -> AsyncIterator[None]:
    """Clients that watch all pods and read what they are sent."""

    listed = await server.client.raw("GET", "/api/v1/pods?limit=1")
    target = f"/api/v1/pods?watch=1&resourceVersion={json.loads(listed.body)['metadata']['resourceVersion']}"

    async def watch() -> None:
        async with server.client.transport.stream("GET", target) as answer:
            async for _ in answer:
                pass

    tasks = [asyncio.create_task(watch()) for _ in range(WATCHERS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _config_map(name: str) -> bytes:
    data = {"text": "x" * 490}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).encode()


def _p(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
