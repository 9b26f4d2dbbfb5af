"""Scheduling: the algorithm alone, and end to end through a real apiserver with the scheduler in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from bench.report import Report, Row
from bench.server import Server, apiserver
from tiphys.api.quantity import Quantity
from tiphys.api.types.core_v1 import (
    Affinity,
    Container,
    Node,
    NodeStatus,
    Pod,
    PodAffinityTerm,
    PodAntiAffinity,
    PodSpec,
    ResourceRequirements,
    TopologySpreadConstraint,
)
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.evaluation import Evaluations
from tiphys.scheduler.profiles import default_profile
from tiphys.scheduler.template import PodInfo, Templates

NODES = 5_000
PODS = 10_000
WRITERS = 32
DEADLINE_SECONDS = 180
PROFILE = default_profile()
_SELECTOR = LabelSelector(match_labels={"app": "bench"})
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


async def run(report: Report) -> None:
    for name, spec in _specs().items():
        figure = _algorithm(spec, PODS if name == "basic" else NODES - 1)
        report.add(Row(f"scheduler's algorithm, {NODES:,} nodes, {name}", figure, "pods/s"))
    async with apiserver() as server:
        report.add(
            Row(
                f"schedule {PODS:,} pods on {NODES:,} nodes, end to end (bound)",
                await _end_to_end(server),
                "pods/s",
                upstream=175,
                goal=1_000,
            )
        )


def _node(index: int) -> Node:
    name = f"node-{index}"
    room = {"cpu": Quantity("32"), "memory": Quantity("256Gi"), "pods": Quantity("110")}
    return Node(
        metadata=ObjectMeta(name=name, labels={_HOST: name, _ZONE: f"zone-{index % 3}"}),
        status=NodeStatus(capacity=room, allocatable=room),
    )


def _pod(index: int, spec: dict[str, Any]) -> Pod:
    requests = {"cpu": Quantity("100m"), "memory": Quantity("256Mi")}
    container = Container(name="c", image="bench", resources=ResourceRequirements(requests=requests))
    meta = ObjectMeta(name=f"pod-{index}", namespace="default", labels={"app": "bench"})
    return Pod(metadata=meta, spec=PodSpec(containers=(container,), **spec))


def _specs() -> dict[str, dict[str, Any]]:
    apart = PodAffinityTerm(topology_key=_HOST, label_selector=_SELECTOR)
    spread = TopologySpreadConstraint(
        topology_key=_ZONE, max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=_SELECTOR
    )
    anti = PodAntiAffinity(required_during_scheduling_ignored_during_execution=(apart,))
    return {
        "basic": {},
        "spread over zones": {"topology_spread_constraints": (spread,)},
        "anti-affinity by host": {"affinity": Affinity(pod_anti_affinity=anti)},
    }


def _algorithm(spec: dict[str, Any], pods: int) -> float:
    """Decisions a second, the pods' parsing and the columns' update included."""
    cluster, templates, rng = Cluster(), Templates(), random.Random(0)
    for index in range(NODES):
        cluster.add_node(_node(index))
    evaluations = Evaluations(cluster, PROFILE.filters, PROFILE.scores)
    waiting = [_pod(index, spec) for index in range(pods)]
    started = time.perf_counter()
    for pod in waiting:
        info = PodInfo(pod, templates.of(pod))
        row = evaluations.of(info.template).select(rng)
        assert row >= 0
        cluster.place(info, cluster.nodes.names[row])
    return pods / (time.perf_counter() - started)


async def _end_to_end(server: Server) -> float:
    """Pods bound a second, from the first binding to the last; all wait when the scheduler's process starts."""

    async def create(kind: str, first: int) -> None:
        for index in range(first, NODES if kind == "node" else PODS, WRITERS):
            if kind == "pod":
                await server.client.create(_pod(index, {}))
                continue
            node = await server.client.create(_node(index))
            # Nobody here says that a node is ready: take off the taint that admission put on.
            await server.client.patch(Node, node.metadata.name or "", "", {"spec": {"taints": None}})

    for kind in ("node", "pod"):
        await asyncio.gather(*(create(kind, first) for first in range(WRITERS)))
    async with _scheduler(server), asyncio.timeout(DEADLINE_SECONDS):
        while not await _any(server, "spec.nodeName!="):  # noqa: ASYNC110 (the server is another process)
            await asyncio.sleep(0.02)
        started = time.monotonic()
        while await _any(server, "spec.nodeName="):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return PODS / (time.monotonic() - started)


async def _any(server: Server, selector: str) -> bool:
    return bool((await server.client.list(Pod, "default", field_selector=selector, limit=1)).items)


@contextlib.asynccontextmanager
async def _scheduler(server: Server) -> AsyncIterator[None]:
    data_dir = str(server.ca_path.parent.parent)
    command = [sys.executable, "-m", "tiphys.cmd.process", "--data-dir", data_dir, "scheduler"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
