"""Real containers: a Deployment of 30 replicas until all are ready, and the deletion of its pods."""

from __future__ import annotations

import asyncio
import time

from bench.cluster import Cluster, cluster, missing
from bench.report import Report, Row
from tiphys.api.types.apps_v1 import Deployment, DeploymentSpec
from tiphys.api.types.core_v1 import Container, Pod, PodSpec, PodTemplateSpec
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.client.informer import Informer

REPLICAS = 30
ROUNDS = 2
DEADLINE_SECONDS = 120
_LABELS = {"app": "bench"}


async def run(report: Report) -> None:
    """The best of two rounds: the first also warms what a node's first pods find cold."""
    if reason := missing():
        report.skip("kubelet", reason)
        return
    async with cluster() as running:
        rounds = [await _round(running, f"bench-{index}") for index in range(ROUNDS)]
    ready, gone = (min(figures) for figures in zip(*rounds, strict=True))
    name = f"{REPLICAS}-replica Deployment to all Ready, images present"
    report.add(Row(name, ready, "s", 10.5, 8, less_is_better=True))
    report.add(Row(f"deleting those {REPLICAS} pods, 1 s grace", gone, "s", 7.5, 5, less_is_better=True))


async def _round(running: Cluster, name: str) -> tuple[float, float]:
    client = running.client
    pods = Informer(client, Pod, namespace="default")
    changed = asyncio.Event()
    pods.add_handler(
        on_add=lambda _: changed.set(), on_update=lambda _, __: changed.set(), on_delete=lambda _: changed.set()
    )
    watching = asyncio.create_task(pods.run())
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await pods.wait_synced()
            started = time.monotonic()
            await client.create(_deployment(name))
            while sum(_ready(pod) for pod in pods.list()) < REPLICAS:
                changed.clear()
                await changed.wait()
            ready_seconds = time.monotonic() - started
            started = time.monotonic()
            await client.delete(Deployment, name, "default")
            while pods.list():
                changed.clear()
                await changed.wait()
            return ready_seconds, time.monotonic() - started
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def _deployment(name: str) -> Deployment:
    container = Container(name="main", image="busybox", command=("sleep", "3600"), image_pull_policy="IfNotPresent")
    spec = PodSpec(containers=(container,), termination_grace_period_seconds=1)
    template = PodTemplateSpec(metadata=ObjectMeta(labels=_LABELS), spec=spec)
    return Deployment(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=DeploymentSpec(replicas=REPLICAS, selector=LabelSelector(match_labels=_LABELS), template=template),
    )


def _ready(pod: Pod) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions)
