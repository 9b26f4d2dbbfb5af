"""What a simulation says, the real scheduler then does: on hollow nodes, with the same seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.scheduler.objects import container, pod
from tests.unit.scheduler.simulation.workloads import owned
from tiphys.api.codec import from_dict
from tiphys.api.types.core_v1 import Node, Pod, PodSpec, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.scheduling_v1 import PriorityClass
from tiphys.base.http.messages import Request, Response
from tiphys.client import Client, InProcessTransport
from tiphys.kubelet.hollow import HollowNodes, HollowShape
from tiphys.scheduler.config import SchedulerConfig
from tiphys.scheduler.scheduler import Scheduler
from tiphys.scheduler.snapshot import Snapshot
from tiphys.scheduler.what_if import Drain, Outcome, RescheduleAll, what_if
from tiphys.testing.control_plane import ADMIN, ControlPlane, control_plane

SHAPE = HollowShape(4_000, 8 << 30, 1 << 34, 110, lambda number: {"topology.kubernetes.io/zone": f"z{number % 3}"})


@asynccontextmanager
async def hollow_cluster() -> AsyncIterator[ControlPlane]:
    async with control_plane() as plane:
        accounts = await plane.client.list(ServiceAccount, "default")
        if not accounts.items:
            await plane.client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        nodes = HollowNodes(plane.client, 7, shape=SHAPE, leases=False)
        task = asyncio.ensure_future(nodes.run())
        await nodes.ready.wait()
        for item in (await plane.client.list(Node)).items:
            # No controller is here that would take off the taint of new nodes.
            await plane.client.patch(Node, item.metadata.name or "", "", {"spec": {"taints": None}})
        try:
            yield plane
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def some_pods(rng: random.Random, count: int) -> list[Pod]:
    """Of several sizes, some spread over zones, some away from their likes; too many for the nodes."""
    return [_some_pod(rng, number) for number in range(count)]


def _some_pod(rng: random.Random, number: int) -> Pod:
    app = rng.choice(("web", "db", "job"))
    labels = {"matchLabels": {"app": app}}
    spec: dict[str, Any] = {}
    if app == "web":
        spread = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
        spec["topologySpreadConstraints"] = [{**spread, "labelSelector": labels}]
    if app == "db":
        term = {"labelSelector": labels, "topologyKey": "kubernetes.io/hostname"}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    cpu = rng.choice(("250m", "500m", "1", "1500m"))
    made = owned(f"p{number:03}", "ReplicaSet", app, cpu=cpu)
    told = from_dict(PodSpec, {"containers": [], **spec})
    return replace(made, spec=replace(told, containers=(container(cpu=cpu),)))


async def scheduled(client: Client, seed: int, expected: dict[str, str]) -> dict[str, str]:
    """Where the pods are once the scheduler has looked at all and they are as `expected`, or after a while if not."""
    # All is decided in one turn: no victim is seen leaving between two decisions.
    config = SchedulerConfig(turn_seconds=10.0)
    task = asyncio.ensure_future(Scheduler(client, config, rng=random.Random(seed)).run())
    where: dict[str, str] = {}
    end = asyncio.get_running_loop().time() + 10
    try:
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
            pods = (await client.list(Pod)).items
            where = {f"default/{pod.metadata.name}": pod.spec.node_name or "" for pod in pods}
            if where == expected and all(pod.spec.node_name or pod.status.conditions for pod in pods):
                break
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return where


async def running(client: Client) -> None:
    """Until every pod with a node runs: when it started matters to preemption."""
    async with asyncio.timeout(10):
        while any(p.spec.node_name and not p.status.start_time for p in (await client.list(Pod)).items):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def said(outcome: Outcome, before: Snapshot) -> dict[str, str]:
    """Where all pods are, by the outcome."""
    where = {f"{key[0]}/{key[1]}": pod.spec.node_name or "" for key, pod in before.of(Pod).items()}
    where |= {placed.pod: placed.node for placed in outcome.placements}
    return where | {pending.pod: "" for pending in outcome.pending}


@pytest.mark.parametrize("seed", range(4))
async def test_the_scheduler_does_what_was_said(seed: int) -> None:
    async with hollow_cluster() as plane:
        client = plane.client
        for pod in some_pods(random.Random(seed), 40):
            await client.create(pod)
        snapshot = await Snapshot.read(client)
        outcome = what_if(snapshot, seed=seed)
        assert outcome.pending, "some pods are to find no room"
        expected = said(outcome, snapshot)
        assert await scheduled(client, seed, expected) == expected

        # And after a drain, done by hand as kubectl and the controllers would.
        snapshot = await Snapshot.read(client)
        victim = snapshot.cluster.nodes.names[int(snapshot.cluster.nodes.requested[:, 0].argmax())]
        outcome = what_if(snapshot, [Drain(victim)], seed=seed)
        await client.patch(Node, victim, "", {"spec": {"unschedulable": True}})
        moved = [pod for pod in snapshot.of(Pod).values() if pod.spec.node_name == victim]
        assert moved
        for pod in moved:
            await client.delete(Pod, pod.metadata.name or "", "default", grace_period_seconds=0)
            meta = ObjectMeta(
                name=pod.metadata.name,
                namespace="default",
                labels=pod.metadata.labels,
                owner_references=pod.metadata.owner_references,
            )
            await client.create(Pod(metadata=meta, spec=replace(pod.spec, node_name=None)))
        expected = said(outcome, snapshot)
        assert await scheduled(client, seed, expected) == expected


async def test_a_simulation_asks_only_to_read() -> None:
    async with hollow_cluster() as plane:
        for pod in some_pods(random.Random(0), 10):
            await plane.client.create(pod)
        asked: list[str] = []

        def recording(request: Request) -> Any:
            asked.append(request.method)
            answer: Response | Any = plane.server.handler(request)
            return answer

        watcher = Client(InProcessTransport(recording, ADMIN))
        snapshot = await Snapshot.read(watcher)
        what_if(snapshot, [RescheduleAll()])
        assert asked
        assert set(asked) == {"GET"}


@pytest.mark.parametrize("seed", range(3))
async def test_the_scheduler_preempts_as_was_said(seed: int) -> None:
    async with hollow_cluster() as plane:
        client, rng = plane.client, random.Random(seed)
        await client.create(PriorityClass(metadata=ObjectMeta(name="high"), value=100))
        for number in range(30):
            await client.create(pod(f"low{number:02}", cpu=rng.choice(("500m", "1", "1500m"))))
        snapshot = await Snapshot.read(client)
        await scheduled(client, seed, said(what_if(snapshot, seed=seed), snapshot))
        await running(client)
        for number in range(3):
            await client.create(pod(f"urgent{number}", cpu=rng.choice(("2", "3")), priority_class_name="high"))

        snapshot = await Snapshot.read(client)
        outcome = what_if(snapshot, seed=seed)
        assert len({victim.by for victim in outcome.preempted}) == 3
        expected = said(outcome, snapshot)
        for victim in outcome.preempted:
            del expected[victim.pod]
        assert await scheduled(client, seed, expected) == expected
