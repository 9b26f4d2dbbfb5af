"""Durable writes a second through the apiserver, by store: SQLite, one etcd member, three; and fresh reads on etcd."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench import wrk
from bench.api import CONFIG_MAP
from bench.report import Report, Row
from bench.server import apiserver
from tests.etcd import installed, members

_PATH = "/api/v1/namespaces/default/configmaps"


async def run(report: Report) -> None:
    """Print the rows; each store is empty at first."""
    if not wrk.available():
        report.skip("store", "wrk is not installed: apt-get install wrk")
        return
    report.add(Row("writes of ConfigMaps (600 B) on SQLite", (await _figures(()))[0], "/s"))
    if not installed():
        report.skip("etcd", "etcd is not installed: apt-get install etcd-server")
        return
    for count in (1, 3):
        with tempfile.TemporaryDirectory(prefix="tiphys-bench-etcd-") as folder:
            made = members(Path(folder), count)
            try:
                writes, reads = await _figures(tuple(member.endpoint for member in made))
            finally:
                for member in made:
                    member.kill()
        name = "one etcd member" if count == 1 else f"{count} etcd members"
        report.add(Row(f"writes of ConfigMaps (600 B) on {name}", writes, "/s", 1240 if count == 1 else None))
        report.add(Row(f"consistent GETs of one ConfigMap on {name}", reads, "/s", 2100 if count == 1 else None))


async def _figures(etcd_servers: tuple[str, ...]) -> tuple[float, float]:
    async with apiserver(etcd_servers) as server:
        body = json.dumps({**CONFIG_MAP, "metadata": {"name": "one"}}).encode()
        await server.client.raw("POST", _PATH, body)
        writes = await wrk.post_per_second(
            server.url, _PATH, json.dumps(CONFIG_MAP), server.token, prefix="map", connections=32
        )
        reads = await wrk.get_per_second(f"{server.url}{_PATH}/one", server.token, connections=32)
        return writes, reads
