"""Whatever the network does, things end as asked for, and nothing is made twice for good."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from tests.simulation.controllers.world import QUIET_NODES, World, world
from tiphys.api.types.apps_v1 import DaemonSet, DaemonSetSpec, Deployment, ReplicaSet, StatefulSet, StatefulSetSpec
from tiphys.api.types.batch_v1 import Job, JobSpec
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import ConfigMap, Endpoints, Namespace, Pod, ServiceAccount
from tiphys.api.types.discovery_v1 import EndpointSlice
from tiphys.api.types.meta_v1 import LabelSelector, ObjectMeta
from tiphys.controllers.pods import is_active
from tiphys.testing import builders, virtual_time

SEEDS = range(6)
FAULTS = 0.08


def bare(deployment: Deployment) -> Deployment:
    """As a user sends it: without what the apiserver sets."""
    deployment.metadata = ObjectMeta(name=deployment.metadata.name, namespace="x")
    return deployment


async def rolled_out(w: World, name: str, replicas: int) -> bool:
    found = await w.client.get(Deployment, name, "x")
    counts = (found.status.updated_replicas, found.status.available_replicas, found.status.replicas)
    return counts == (replicas, replicas, replicas) and found.status.observed_generation == found.metadata.generation


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deployment_is_rolled_out_scaled_and_collected(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=FAULTS) as w:
            await w.client.create(bare(builders.deployment(replicas=10)))
            await w.until(lambda: rolled_out(w, "web", 10))
            change = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}, "replicas": 7}}
            await w.client.patch(Deployment, "web", "x", change, type="strategic")
            await w.until(lambda: rolled_out(w, "web", 7))
            sets = (await w.client.list(ReplicaSet, "x")).items
            assert sorted(rs.spec.replicas or 0 for rs in sets) == [0, 7]
            assert len([pod for pod in await w.pods(app="web") if is_active(pod)]) == 7
            await w.client.delete(Deployment, "web", "x", propagation_policy="Foreground")
            await w.until(lambda: w.is_gone(Deployment, "web"))
            assert not (await w.client.list(ReplicaSet, "x")).items
            assert not await w.pods()
            assert w.network.faults > 0

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_completion_of_a_job_is_counted_once(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=FAULTS, decide=lambda pod: "Succeeded") as w:
            template = builders.template(job="ok")
            template.spec.restart_policy = "Never"
            spec = JobSpec(completions=12, parallelism=4, template=template)
            await w.client.create(Job(metadata=ObjectMeta(name="ok", namespace="x"), spec=spec))

            async def complete() -> bool:
                job = await w.client.get(Job, "ok", "x")
                return any(c.type == "Complete" and c.status == "True" for c in job.status.conditions)

            await w.until(complete)
            job = await w.client.get(Job, "ok", "x")
            assert job.status.succeeded == 12
            assert job.status.failed is None
            assert job.status.completion_time is not None
            pods = await w.pods(job="ok")
            assert not any(pod.metadata.finalizers for pod in pods)

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", SEEDS)
def test_services_follow_their_pods(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=FAULTS) as w:
            await w.client.create(bare(builders.deployment(replicas=5)))
            service = builders.service(cluster_ip=None, cluster_ips=(), ip_families=())
            service.metadata = ObjectMeta(name="web", namespace="x")
            await w.client.create(service)

            async def shown(count: int) -> bool:
                slices = (await w.client.list(EndpointSlice, "x")).items
                addresses = [a for s in slices for e in s.endpoints for a in e.addresses]
                try:
                    endpoints = await w.client.get(Endpoints, "web", "x")
                except Exception:
                    return False
                old = [a.ip for subset in endpoints.subsets for a in subset.addresses]
                pods = {pod.status.pod_ip for pod in await w.pods(app="web") if is_active(pod)}
                return len(addresses) == len(old) == count and set(addresses) == set(old) == pods

            await w.until(lambda: shown(5))
            await w.client.patch(Deployment, "web", "x", {"spec": {"replicas": 2}})
            await w.until(lambda: shown(2))

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", SEEDS)
def test_stateful_and_daemon_pods_have_their_places(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=FAULTS) as w:
            selector = LabelSelector(match_labels={"app": "db"})
            spec = StatefulSetSpec(
                replicas=3, service_name="db", selector=selector, template=builders.template(app="db")
            )
            await w.client.create(StatefulSet(metadata=ObjectMeta(name="db", namespace="x"), spec=spec))
            daemons = DaemonSetSpec(
                selector=LabelSelector(match_labels={"app": "agent"}), template=builders.template(app="agent")
            )
            await w.client.create(DaemonSet(metadata=ObjectMeta(name="agent", namespace="x"), spec=daemons))

            async def ready() -> bool:
                db = await w.client.get(StatefulSet, "db", "x")
                agent = await w.client.get(DaemonSet, "agent", "x")
                return db.status.available_replicas == 3 and agent.status.number_available == 3

            await w.until(ready)
            assert sorted(pod.metadata.name or "" for pod in await w.pods(app="db")) == ["db-0", "db-1", "db-2"]
            assert sorted(pod.spec.node_name or "" for pod in await w.pods(app="agent")) == [
                "node-1",
                "node-2",
                "node-3",
            ]

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_namespace_is_furnished_and_emptied(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=FAULTS) as w:

            async def furnished() -> bool:
                account = not await w.is_gone(ServiceAccount, "default")
                return account and not await w.is_gone(ConfigMap, "kube-root-ca.crt")

            await w.until(furnished)
            await w.client.create(bare(builders.deployment(replicas=4)))
            await w.until(lambda: rolled_out(w, "web", 4))
            await w.client.delete(Namespace, "x")
            await w.until(lambda: w.is_gone(Namespace, "x", ""))
            assert not (await w.client.list(Pod, "x")).items
            assert not (await w.client.list(ConfigMap, "x")).items

    virtual_time.run(scenario())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_manager_that_is_killed_again_and_again_gets_there(seed: int) -> None:
    async def scenario() -> None:
        async with world(seed, faults=0.02) as w:
            moments = random.Random(seed)
            await w.client.create(bare(builders.deployment(replicas=8)))
            change = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
            for step in range(12):
                await asyncio.sleep(moments.random() * 0.1)
                await w.kill(w.managers[-1])
                w.start_manager()
                if step == 6:
                    await w.client.patch(Deployment, "web", "x", change, type="strategic")
            await w.until(lambda: rolled_out(w, "web", 8))
            assert len([pod for pod in await w.pods(app="web") if is_active(pod)]) == 8

    virtual_time.run(scenario())


def test_of_two_managers_one_works_and_the_other_takes_over() -> None:
    async def scenario() -> None:
        first = replace(QUIET_NODES, leader_elect=True, identity="first")
        async with world(config=first) as w:
            w.start_manager(replace(first, identity="second"))
            await w.client.create(bare(builders.deployment(replicas=3)))
            await w.until(lambda: rolled_out(w, "web", 3))
            lease = await w.client.get(Lease, "kube-controller-manager", "kube-system")
            assert lease.spec.holder_identity == "first"
            await w.kill(w.managers[0])
            await w.client.patch(Deployment, "web", "x", {"spec": {"replicas": 5}})
            assert await w.until(lambda: rolled_out(w, "web", 5)) < 20
            lease = await w.client.get(Lease, "kube-controller-manager", "kube-system")
            assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("second", 1)

    virtual_time.run(scenario())
