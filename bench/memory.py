"""What an idle one-node cluster costs: resident memory and processor time."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from bench.cluster import cluster, missing
from bench.report import Report, Row
from bench.server import resident_bytes

SETTLE_SECONDS = 20
IDLE_SECONDS = 20


async def run(report: Report) -> None:
    if reason := missing():
        report.skip("memory", reason)
        return
    async with cluster() as running:
        await asyncio.sleep(SETTLE_SECONDS)
        processes = running.processes()
        before, started = {name: _cpu_seconds(pid) for name, pid in processes.items()}, time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        took = time.monotonic() - started
        shares = {name: (_cpu_seconds(pid) - before[name]) / took * 100 for name, pid in processes.items()}
        resident = {name: resident_bytes(pid) / 1e6 for name, pid in processes.items()}
    name = "resident memory, idle: apiserver with its store"
    report.add(Row(name, resident["apiserver"], "MB", 307, 110, less_is_better=True))
    name = "resident memory, idle: whole one-node control plane and agents"
    report.add(Row(name, sum(resident.values()), "MB", 715, 300, less_is_better=True))
    for process, figure in sorted(resident.items()):
        report.add(Row(f"  of these, {process}", figure, "MB", less_is_better=True))
    name = f"processor time, idle over {IDLE_SECONDS} s, of one core"
    report.add(Row(name, sum(shares.values()), "%", goal=2, less_is_better=True))
    for process, figure in sorted(shares.items()):
        report.add(Row(f"  of these, {process}", figure, "%", less_is_better=True))


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
