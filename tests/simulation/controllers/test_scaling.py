"""Autoscalers and CronJobs over hours of virtual time, and pods with names on nodes that are lost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.controllers.test_over_time import heartbeats
from tests.simulation.controllers.test_under_faults import bare, rolled_out
from tests.simulation.controllers.world import World, world
from tiphys.api.quantity import Quantity
from tiphys.api.types.apps_v1 import Deployment, StatefulSet, StatefulSetSpec
from tiphys.api.types.autoscaling_v2 import (
    CrossVersionObjectReference,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpec,
    MetricSpec,
    MetricTarget,
    ResourceMetricSource,
)
from tiphys.api.types.batch_v1 import CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec
from tiphys.api.types.core_v1 import Node, Pod, Taint
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.base.clock import rfc3339
from tiphys.base.http.client import ClientResponse
from tiphys.base.http.messages import Headers
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.pods import is_ready
from tiphys.testing import builders, virtual_time

METRICS = "/apis/metrics.k8s.io/v1beta1/namespaces/x/pods"


@dataclass
class Load:
    """A metrics server: all pods share `cores` evenly."""

    world: World
    cores: float = 0.0
    asked: int = 0
    counts: list[int] = field(default_factory=list)

    def install(self) -> None:
        inner = self.world.network.request

        async def request(method: str, target: str, *rest: Any) -> ClientResponse:
            if target.startswith(METRICS):
                return ClientResponse(200, Headers(), await self._answer())
            return await inner(method, target, *rest)

        self.world.network.request = request  # type: ignore[method-assign]

    async def _answer(self) -> bytes:
        self.asked += 1
        pods = [pod for pod in await self.world.pods(app="web") if is_ready(pod)]
        self.counts.append(len(pods))
        moment = rfc3339(self.world.plane.clock.now())
        nanos = round(self.cores * 1e9 / max(1, len(pods)))
        items = [
            {
                "metadata": {"name": pod.metadata.name},
                "timestamp": moment,
                "window": "15s",
                "containers": [{"name": "c", "usage": {"cpu": f"{nanos}n"}}],
            }
            for pod in pods
        ]
        return json.dumps({"kind": "PodMetricsList", "items": items}).encode()


def autoscaler() -> HorizontalPodAutoscaler:
    target = MetricTarget(type="Utilization", average_utilization=50)
    return HorizontalPodAutoscaler(
        metadata=ObjectMeta(name="web", namespace="x"),
        spec=HorizontalPodAutoscalerSpec(
            scale_target_ref=CrossVersionObjectReference(kind="Deployment", api_version="apps/v1", name="web"),
            max_replicas=10,
            metrics=(MetricSpec(type="Resource", resource=ResourceMetricSource(name="cpu", target=target)),),
        ),
    )


def test_an_autoscaler_finds_the_number_that_fits_and_stays_there() -> None:
    async def scenario() -> None:
        async with world() as w:
            load = Load(w, cores=2.0)
            load.install()
            made = bare(builders.deployment(replicas=1))
            made.spec.template.spec.containers[0].resources.requests = {"cpu": Quantity("500m")}
            await w.client.create(made)
            await w.until(lambda: rolled_out(w, "web", 1))
            await w.client.create(autoscaler())
            # Two cores, half of 500m each: eight pods.
            took = await w.until(lambda: rolled_out(w, "web", 8))
            assert took < 120
            load.counts.clear()
            await asyncio.sleep(600)
            assert set(load.counts) == {8}, "it does not swing"
            load.cores = 0.1
            took = await w.until(lambda: rolled_out(w, "web", 1))
            assert 270 <= took <= 330, "down only after five minutes of quiet"
            asked = load.asked
            await w.client.delete(HorizontalPodAutoscaler, "web", "x")
            await asyncio.sleep(600)
            assert load.asked <= asked + 1, "without an autoscaler nobody asks for use"

    virtual_time.run(scenario())


def test_a_cron_job_runs_every_time_once_and_keeps_its_history() -> None:
    async def scenario() -> None:
        async with world(decide=lambda pod: "Succeeded", faults=0.05, seed=3) as w:
            template = builders.template(job="tick")
            template.spec.restart_policy = "Never"
            job = JobTemplateSpec(metadata=ObjectMeta(labels={"tick": "1"}), spec=JobSpec(template=template))
            spec = CronJobSpec(schedule="*/5 * * * *", job_template=job)
            await w.client.create(CronJob(metadata=ObjectMeta(name="tick", namespace="x"), spec=spec))
            names: set[str] = set()
            for _ in range(60):
                await asyncio.sleep(60)
                names |= {job.metadata.name or "" for job in (await w.client.list(Job, "x")).items}
            assert len(names) == 12, "an hour has twelve times five minutes"
            await asyncio.sleep(120)
            jobs = (await w.client.list(Job, "x")).items
            assert len(jobs) == 3
            found = await w.client.get(CronJob, "tick", "x")
            assert found.status.active == () and found.status.last_successful_time
            change = {"spec": {"suspend": True}}
            await w.client.patch(CronJob, "tick", "x", change)
            await asyncio.sleep(3600)
            after = {job.metadata.name for job in (await w.client.list(Job, "x")).items}
            assert after <= {job.metadata.name for job in jobs} | names

    virtual_time.run(scenario())


def test_a_pod_with_a_name_waits_for_its_node_or_for_somebody_to_vouch() -> None:
    async def scenario() -> None:
        config = ControllerManagerConfig(node_monitor_grace_period_seconds=25.0)
        async with world(config=config) as w:
            beating = asyncio.ensure_future(heartbeats(w.client, "node-2", "node-3"))
            template = builders.template(app="db")
            spec = StatefulSetSpec(
                service_name="db", replicas=1, selector=LabelSelector(match_labels={"app": "db"}), template=template
            )
            await w.client.create(StatefulSet(metadata=ObjectMeta(name="db", namespace="x"), spec=spec))

            async def runs() -> bool:
                return any(is_ready(pod) for pod in await w.pods(app="db"))

            await w.until(runs)
            (first,) = await w.pods(app="db")
            assert first.spec.node_name == "node-1"
            w.kubelet._decide = lambda pod: "" if pod.spec.node_name == "node-1" else "Running"
            silence = w.kubelet._act

            async def act(pod: Pod) -> None:
                if pod.spec.node_name != "node-1":
                    await silence(pod)

            w.kubelet._act = act  # type: ignore[method-assign]
            w.kubelet.node = "node-2"

            async def terminating() -> bool:
                pods = await w.pods(app="db")
                return len(pods) == 1 and pods[0].metadata.deletion_timestamp is not None

            await w.until(terminating)
            await asyncio.sleep(3600)
            (still,) = await w.pods(app="db")
            assert still.metadata.uid == first.metadata.uid, "an hour later nobody else has its name"
            node = await w.client.get(Node, "node-1")
            vouched = Taint(key="node.kubernetes.io/out-of-service", value="nodeshutdown", effect="NoExecute")
            node.spec.taints = (*node.spec.taints, vouched)
            await w.client.update(node)

            async def replaced() -> bool:
                pods = await w.pods(app="db")
                return len(pods) == 1 and pods[0].metadata.uid != first.metadata.uid and is_ready(pods[0])

            assert await w.until(replaced) < 5
            beating.cancel()

    virtual_time.run(scenario())


def test_a_scale_that_fails_is_said_and_tried_again() -> None:
    async def scenario() -> None:
        async with world() as w:
            load = Load(w, cores=2.0)
            load.install()
            await w.client.create(autoscaler())

            async def reason(wanted: str) -> bool:
                found = await w.client.get(HorizontalPodAutoscaler, "web", "x")
                return any(c.reason == wanted for c in found.status.conditions)

            await w.until(lambda: reason("FailedGetScale"))
            made = bare(builders.deployment(replicas=1))
            await w.client.create(made)
            await w.until(lambda: reason("FailedGetResourceMetric"))
            change = {"spec": {"template": {"spec": {"containers": [_requesting(made)]}}}}
            await w.client.patch(Deployment, "web", "x", change, type="strategic")
            await w.until(lambda: reason("ValidMetricFound"))

    virtual_time.run(scenario())


def _requesting(deployment: Deployment) -> dict[str, Any]:
    name = deployment.spec.template.spec.containers[0].name
    return {"name": name, "resources": {"requests": {"cpu": "500m"}}}
