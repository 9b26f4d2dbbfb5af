"""What happens by itself: nothing when all is well, evictions when a node is lost, ends of times to live."""

from __future__ import annotations

import asyncio

from tests.simulation.controllers.test_under_faults import bare, rolled_out
from tests.simulation.controllers.world import QUIET_NODES, world
from tiphys.api.types.apiregistration_v1 import APIService, APIServiceSpec, ServiceReference
from tiphys.api.types.apps_v1 import Deployment, ReplicaSet
from tiphys.api.types.batch_v1 import Job, JobSpec
from tiphys.api.types.coordination_v1 import Lease, LeaseSpec
from tiphys.api.types.core_v1 import ConfigMap, Event, Namespace, Node, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import rfc3339_micro
from tiphys.client import Client
from tiphys.controllers.config import ControllerManagerConfig
from tiphys.controllers.pods import is_active, is_ready
from tiphys.testing import builders, virtual_time


class Counted:
    """The transport's requests, counted by method."""

    def __init__(self, client: Client) -> None:
        self.methods: dict[str, int] = {}
        inner = client.transport.request

        async def request(method: str, *rest: object) -> object:
            self.methods[method] = self.methods.get(method, 0) + 1
            return await inner(method, *rest)  # type: ignore[arg-type]

        client.transport.request = request  # type: ignore[method-assign, assignment]


def test_thirty_replicas_are_ready_in_no_time_and_then_all_is_quiet() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.until(lambda: settled(w.client))
            await w.client.create(bare(builders.deployment(replicas=30)))
            assert await w.until(lambda: rolled_out(w, "web", 30)) < 0.5, "nothing on the way waits for time to pass"
            await asyncio.sleep(60)
            asked = Counted(Client(w.network))
            await asyncio.sleep(280)
            assert asked.methods == {}, "an idle cluster asks for nothing"

    async def settled(client: Client) -> bool:
        return len((await client.list(Node)).items) == 3

    virtual_time.run(scenario())


def test_pods_of_a_lost_node_are_replaced_elsewhere_after_their_toleration() -> None:
    async def scenario() -> None:
        async with world(config=ControllerManagerConfig()) as w:
            beating = asyncio.ensure_future(heartbeats(w.client, "node-2", "node-3"))
            await w.client.create(bare(builders.deployment(replicas=2)))
            await w.until(lambda: rolled_out(w, "web", 2))
            before = {pod.metadata.uid for pod in await w.pods(app="web")}
            assert {pod.spec.node_name for pod in await w.pods(app="web")} == {"node-1"}

            async def unknown() -> bool:
                node = await w.client.get(Node, "node-1")
                effects = {t.effect for t in node.spec.taints if t.key == "node.kubernetes.io/unreachable"}
                return effects == {"NoSchedule", "NoExecute"}

            lost_after = await w.until(unknown)
            assert 50 <= lost_after + 1 < 70
            assert not any(is_ready(pod) for pod in await w.pods(app="web"))

            async def replaced() -> bool:
                pods = [pod for pod in await w.pods(app="web") if is_active(pod)]
                return len(pods) == 2 and not before & {pod.metadata.uid for pod in pods}

            w.kubelet.node = "node-2"
            evicted_after = await w.until(replaced)
            assert 295 <= evicted_after <= 310, "pods tolerate an unreachable node for five minutes"
            beating.cancel()

    virtual_time.run(scenario())


async def heartbeats(client: Client, *names: str) -> None:
    """What kubelets do: their leases, renewed every 10 s."""
    leases = {}
    for name in names:
        meta = ObjectMeta(name=name, namespace="kube-node-lease")
        leases[name] = await client.create(Lease(metadata=meta, spec=LeaseSpec(holder_identity=name)))
    clock = virtual_time.VirtualClock()
    while True:
        for name, lease in leases.items():
            lease.spec = LeaseSpec(holder_identity=name, renew_time=rfc3339_micro(clock.now()))
            leases[name] = await client.update(lease)
        await clock.sleep(10)


def test_a_finished_job_goes_when_its_time_is_up() -> None:
    async def scenario() -> None:
        async with world(decide=lambda pod: "Succeeded") as w:
            template = builders.template(job="ok")
            template.spec.restart_policy = "Never"
            spec = JobSpec(template=template, ttl_seconds_after_finished=30)
            await w.client.create(Job(metadata=ObjectMeta(name="ok", namespace="x"), spec=spec))
            took = await w.until(lambda: w.is_gone(Job, "ok"))
            assert 29 <= took <= 33
            await w.until(nobody(w.client))

    def nobody(client: Client):  # type: ignore[no-untyped-def]
        async def check() -> bool:
            return not (await client.list(Pod, "x")).items

        return check

    virtual_time.run(scenario())


def test_a_rollout_that_does_not_progress_says_so() -> None:
    async def scenario() -> None:
        async with world(decide=lambda pod: "" if "broken" in pod.metadata.annotations else "Running") as w:
            await w.client.create(bare(builders.deployment(replicas=3, progress_deadline_seconds=60)))
            await w.until(lambda: rolled_out(w, "web", 3))
            change = {"spec": {"template": {"metadata": {"annotations": {"broken": "yes"}}}}}
            await w.client.patch(Deployment, "web", "x", change, type="strategic")

            async def timed_out() -> bool:
                found = await w.client.get(Deployment, "web", "x")
                return any(
                    c.type == "Progressing" and c.status == "False" and c.reason == "ProgressDeadlineExceeded"
                    for c in found.status.conditions
                )

            assert 60 <= await w.until(timed_out) <= 65
            found = await w.client.get(Deployment, "web", "x")
            assert found.status.available_replicas == 3, "what works is kept while the new does not"

    virtual_time.run(scenario())


def test_orphans_are_left_and_adopted() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.client.create(bare(builders.deployment(replicas=3)))
            await w.until(lambda: rolled_out(w, "web", 3))
            before = {pod.metadata.uid for pod in await w.pods(app="web")}
            await w.client.delete(Deployment, "web", "x", propagation_policy="Orphan")
            await w.until(lambda: w.is_gone(Deployment, "web"))
            (orphan,) = (await w.client.list(ReplicaSet, "x")).items
            assert orphan.metadata.owner_references == ()
            await w.client.create(bare(builders.deployment(replicas=3)))
            await w.until(lambda: rolled_out(w, "web", 3))
            (adopted,) = (await w.client.list(ReplicaSet, "x")).items
            assert adopted.metadata.uid == orphan.metadata.uid
            assert {pod.metadata.uid for pod in await w.pods(app="web")} == before

    virtual_time.run(scenario())


def test_what_happened_is_told_in_events() -> None:
    async def scenario() -> None:
        async with world(config=QUIET_NODES) as w:
            await w.client.create(bare(builders.deployment(replicas=2)))
            await w.until(lambda: rolled_out(w, "web", 2))
            await w.client.patch(Deployment, "web", "x", {"spec": {"replicas": 1}})
            await w.until(lambda: rolled_out(w, "web", 1))
            await asyncio.sleep(1)
            events = (await w.client.list(Event, "x")).items
            told = [(e.involved_object.kind, e.reason, e.source.component) for e in events]
            assert told.count(("Deployment", "ScalingReplicaSet", "deployment-controller")) == 2
            assert told.count(("ReplicaSet", "SuccessfulCreate", "replicaset-controller")) == 2
            assert told.count(("ReplicaSet", "SuccessfulDelete", "replicaset-controller")) == 1
            messages = [e.message or "" for e in events]
            assert any(m.startswith("Scaled down replica set web-") and m.endswith("from 2 to 1") for m in messages)

    virtual_time.run(scenario())


def test_a_manager_that_was_cut_off_does_not_take_silence_for_dead_nodes() -> None:
    async def scenario() -> None:
        async with world(config=ControllerManagerConfig()) as w:
            names = ("node-1", "node-2", "node-3")
            beating = asyncio.ensure_future(heartbeats(w.client, *names))
            await asyncio.sleep(30)
            w.network.probability = 1.0
            await asyncio.sleep(600)
            w.network.probability = 0.0
            for _ in range(600):
                await asyncio.sleep(0.1)
                for node in (await w.client.list(Node)).items:
                    assert not node.spec.taints
                    assert any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
            beating.cancel()

    virtual_time.run(scenario())


def test_a_namespace_goes_although_another_server_of_the_api_is_gone() -> None:
    async def scenario() -> None:
        async with world() as w:
            service = ServiceReference(name="nobody", namespace="x")
            spec = APIServiceSpec(
                group="flowers.example.com",
                version="v1",
                group_priority_minimum=100,
                version_priority=10,
                service=service,
                insecure_skip_tls_verify=True,
            )
            await w.client.create(APIService(metadata=ObjectMeta(name="v1.flowers.example.com"), spec=spec))

            async def unavailable() -> bool:
                found = await w.client.get(APIService, "v1.flowers.example.com")
                return any(c.reason == "ServiceNotFound" for c in found.status.conditions)

            await w.until(unavailable)
            await w.client.create(Namespace(metadata=ObjectMeta(name="y")))
            await w.client.create(ConfigMap(metadata=ObjectMeta(name="c", namespace="y")))
            await w.client.delete(Namespace, "y")
            assert await w.until(lambda: w.is_gone(Namespace, "y", "")) < 30

    virtual_time.run(scenario())
