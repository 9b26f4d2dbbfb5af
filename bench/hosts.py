"""Hosts: a cluster of three from nothing, and a host's death until its pods are replaced and ready elsewhere."""

from __future__ import annotations

import asyncio
import time

from bench.cluster import missing
from bench.report import Report, Row
from tests.e2e.bad_day.place import REPLICAS, Place
from tests.e2e.cluster import eventually
from tests.e2e.mission.conftest import GRACE_SECONDS, TOLERATION_SECONDS, running

_RANGES = 13
"""Which of the tests' ranges of addresses this takes."""
_DEADLINE_SECONDS = 120


async def run(report: Report) -> None:
    if reason := missing():
        report.skip("hosts", reason)
        return
    await asyncio.to_thread(_run, report)


def _run(report: Report) -> None:
    started = time.monotonic()
    with running(_RANGES, "--nodes", "3") as cluster:
        report.add(Row("hosts: three from nothing to Ready", time.monotonic() - started, "s", less_is_better=True))
        place = Place(cluster)
        place.deploy()
        victim = place.workers[1]
        assert not place.ready_elsewhere(victim), f"no pod is on {victim}"
        cluster.stop(victim)
        died = time.monotonic()
        eventually(lambda: victim not in place.published_on(), "Services leave the host out", _DEADLINE_SECONDS)
        waits = f"grace {GRACE_SECONDS} s"
        report.add(Row(f"hosts: death to Services without it ({waits})", time.monotonic() - died, "s"))
        eventually(lambda: place.ready_elsewhere(victim), "its pods are replaced", _DEADLINE_SECONDS)
        waits += f", toleration {TOLERATION_SECONDS} s, {REPLICAS} replicas"
        report.add(Row(f"hosts: death to replaced pods ready ({waits})", time.monotonic() - died, "s"))
        started = time.monotonic()
        cluster.start(victim)
        report.add(Row("hosts: a stopped host from start to Ready", time.monotonic() - started, "s"))
