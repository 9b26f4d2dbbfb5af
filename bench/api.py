"""The apiserver's request rows: start, GET, POST, LIST."""

from __future__ import annotations

import asyncio
import json

from bench import wrk
from bench.report import Report, Row
from bench.server import Server, apiserver

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "NAME"}, "data": {"text": "x" * 490}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "NAME", "labels": {"app": "bench", "tier": "load"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "nginx:1.25",
                "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            }
        ],
        "nodeSelector": {"bench": "nowhere"},
    },
}

# As small as the pods of upstream's LIST rows: about 1.9 KB each as returned.
_LISTED_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "NAME", "labels": {"app": "bench"}},
    "spec": {"containers": [{"name": "main", "image": "nginx:1.25"}]},
}


async def run(report: Report) -> None:
    """Print the rows; each on the same server, empty at first."""
    if not wrk.available():
        report.skip("api", "wrk is not installed: apt-get install wrk")
        return
    async with apiserver() as server:
        report.add(Row("apiserver ready after start", server.start_seconds, "s", 3.3, 0.7, less_is_better=True))
        await _reads_and_writes(server, report)
    async with apiserver() as server:
        await _lists(server, report)


async def _reads_and_writes(server: Server, report: Report) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    body = json.dumps({**CONFIG_MAP, "metadata": {"name": "one"}}).encode()
    await server.client.raw("POST", maps, body)
    figure = await wrk.get_per_second(f"{server.url}{maps}/one", server.token, connections=32)
    report.add(Row("GET one ConfigMap, TLS + token, 32 connections", figure, "/s", 2100, 8000))
    figure = await wrk.post_per_second(
        server.url, maps, json.dumps(CONFIG_MAP), server.token, prefix="map", connections=32
    )
    report.add(Row("POST ConfigMap (600 B), durable", figure, "/s", 1240, 4000))
    figure = await wrk.post_per_second(
        server.url, "/api/v1/namespaces/default/pods", json.dumps(POD), server.token, prefix="pod", connections=32
    )
    report.add(Row("POST Pod, durable, all defaulting and validation", figure, "/s", 690, 2500))


async def _lists(server: Server, report: Report) -> None:
    pods = "/api/v1/namespaces/default/pods"
    for count, unit_goal, upstream in ((500, 400, 35), (6900, 35, 4)):
        await _fill(server, pods, count)
        size = len((await server.client.raw("GET", pods)).body) / 1e6
        figure = await wrk.get_per_second(f"{server.url}{pods}", server.token, connections=4)
        report.add(Row(f"LIST {count:,} pods ({size:.2f} MB), 4 connections", figure, "/s", upstream, unit_goal))
    report.add(Row("apiserver memory with 6,900 pods", server.resident_bytes() / 1e6, "MB", less_is_better=True))


async def _fill(server: Server, path: str, total: int) -> None:
    """Make sure there are `total` pods."""
    have = len(json.loads((await server.client.raw("GET", path)).body)["items"])
    template = json.dumps(_LISTED_POD)

    async def create(indices: range) -> None:
        for index in indices:
            await server.client.raw("POST", path, template.replace("NAME", f"fill-{index}").encode())

    workers = 16
    await asyncio.gather(*(create(range(have + offset, total, workers)) for offset in range(workers)))
