"""The whole kubelet: what it does for pods, seen through the API."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.kubelet.conftest import NODE, World
from tiphys.api.types.coordination_v1 import Lease
from tiphys.api.types.core_v1 import ConfigMap, Node, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.http.messages import Headers, PeerIdentity, Request
from tiphys.base.http.messages import StreamResponse as Stream
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import ContainerState, ContainerStatus
from tiphys.testing.fake_cri import Behaviour


async def test_the_node_registers_beats_and_reports(world: World) -> None:
    node = await world.admin.get(Node, NODE)
    assert node.status.capacity["cpu"] == "4"
    assert node.status.node_info.container_runtime_version == "fake://1.0.0"
    lease = await world.admin.get(Lease, NODE, "kube-node-lease")
    assert lease.spec.holder_identity == NODE
    assert lease.metadata.owner_references[0].uid == node.metadata.uid


async def test_a_pod_runs_and_is_deleted_without_a_trace(world: World) -> None:
    await world.create()
    pod = await world.until(world.is_ready)
    assert pod.status.pod_ip
    assert pod.status.container_statuses[0].image == "docker.io/library/img:latest"
    assert pod.status.observed_generation == pod.metadata.generation
    await world.admin.delete(Pod, "p", "default")
    await world.until(world.gone)
    await world.until(lambda: _nothing_left(world))
    assert await world.events("Started") == ["Container started"]
    assert await world.events("Killing") == ["Stopping container web"]


async def _nothing_left(world: World) -> bool:
    folders = [*world.config.pods_dir.iterdir(), *world.config.logs_dir.iterdir()]
    return not folders and not await world.runtime.list_sandboxes() and not await world.runtime.list_containers()


async def test_a_killed_container_is_restarted_and_counted(world: World) -> None:
    await world.create()
    await world.until(world.is_ready)
    world.runtime.exit(world.container_ids()[0], 137, reason="OOMKilled")

    async def restarted() -> Pod | None:
        pod = await world.is_ready()
        return pod if pod is not None and pod.status.container_statuses[0].restart_count == 1 else None

    pod = await world.until(restarted)
    last = pod.status.container_statuses[0].last_state.terminated
    assert (last.exit_code, last.reason) == (137, "OOMKilled")


async def test_a_job_pod_succeeds(world: World) -> None:
    world.runtime.behaviours["web"] = Behaviour(exit_code=0)
    await world.create(spec={"restartPolicy": "Never"})
    pod = await world.until(lambda: world.in_phase("Succeeded"))
    assert pod.status.container_statuses[0].state.terminated.reason == "Completed"


async def test_an_exit_that_is_told_before_the_start_is_noted_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = world.runtime.container_status

    async def answer_late(id: str) -> ContainerStatus:
        status = await ask(id)
        if status.state is ContainerState.RUNNING:
            world.runtime.exit(id, 0)
            for _ in range(20):
                await asyncio.sleep(0)
        return status

    monkeypatch.setattr(world.runtime, "container_status", answer_late)
    await world.create(spec={"restartPolicy": "Never"})
    await world.until(lambda: world.in_phase("Succeeded"))


async def test_a_missing_configmap_is_waited_for_and_noticed_when_it_comes(world: World) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
    await world.create(spec={"containers": [{"name": "web", "image": "img", "imagePullPolicy": "Never", "env": env}]})

    async def refused() -> bool:
        pod = await world.pod()
        statuses = pod.status.container_statuses if pod is not None else ()
        waiting = statuses[0].state.waiting if statuses else None
        return waiting is not None and waiting.reason == "CreateContainerConfigError"

    await world.until(refused)
    meta = ObjectMeta(name="settings", namespace="default")
    await world.admin.create(ConfigMap(metadata=meta, data={"a": "1"}))
    await world.until(world.is_ready)


async def test_a_pod_that_waits_says_for_what(world: World) -> None:
    volumes = [{"name": "v", "configMap": {"name": "missing"}}]
    await world.create(spec={"volumes": volumes})

    async def creating() -> bool:
        pod = await world.pod()
        statuses = pod.status.container_statuses if pod is not None else ()
        return bool(statuses) and statuses[0].state.waiting.reason == "ContainerCreating"

    await world.until(creating)
    assert (await world.pod()).status.start_time
    text = 'MountVolume.SetUp failed for volume "v" : configmap "missing" not found'
    assert text in await world.events("FailedMount")
    meta = ObjectMeta(name="missing", namespace="default")
    await world.admin.create(ConfigMap(metadata=meta, data={"a": "1"}))
    await world.until(world.is_ready)


async def test_a_sandbox_that_fails_once_is_tried_again(world: World) -> None:
    world.runtime.fail("run_sandbox", CriError(CriCode.UNKNOWN, "no network yet"))
    await world.create()
    await world.until(world.is_ready)
    assert "no network yet" in (await world.events("FailedCreatePodSandBox"))[0]


async def test_a_lost_sandbox_is_made_again(world: World) -> None:
    await world.create()
    first = await world.until(world.is_ready)
    sandbox = (await world.runtime.list_sandboxes())[0]
    world.runtime.kill_sandbox(sandbox.id)

    async def again() -> Pod | None:
        pod = await world.is_ready()
        return pod if pod is not None and pod.status.pod_ip != first.status.pod_ip else None

    pod = await world.until(again)
    assert pod.status.container_statuses[0].restart_count == 1
    assert [s.attempt for s in await world.runtime.list_sandboxes()] == [1]


async def test_a_pod_that_does_not_fit_is_refused(world: World) -> None:
    resources = {"requests": {"cpu": "5"}}
    await world.create(spec={"containers": [{"name": "web", "image": "img", "resources": resources}]})
    pod = await world.until(lambda: world.in_phase("Failed"))
    assert pod.status.reason == "OutOfcpu"
    assert pod.status.message.startswith("Pod was rejected: Node didn't have enough resource: cpu, requested: 5000")
    assert "run_sandbox" not in world.runtime.calls


async def test_the_room_of_a_pod_that_is_gone_is_free_while_its_containers_end(world: World) -> None:
    large = {"containers": [{"name": "web", "image": "img", "resources": {"requests": {"cpu": "3"}}}]}
    world.runtime.behaviours["web"] = Behaviour(ignores_stop=True)
    await world.create("leaves", spec={**large, "terminationGracePeriodSeconds": 600})
    await world.until(lambda: world.is_ready("leaves"))
    await world.admin.delete(Pod, "leaves", "default", grace_period_seconds=0)
    await world.create("comes", spec=large)
    await world.until(lambda: world.is_ready("comes"))


async def test_a_new_kubelet_takes_over_what_runs(world: World) -> None:
    await world.create("stays")
    await world.create("dies")
    await world.create("goes")
    for name in ("stays", "dies", "goes"):
        await world.until(lambda name=name: world.is_ready(name))
    before = await world.pod("stays")
    dying = next(c for c in await world.runtime.list_containers() if c.labels["io.kubernetes.pod.name"] == "dies")
    await world.stop()
    world.runtime.exit(dying.id, 1)
    await world.admin.delete(Pod, "goes", "default", grace_period_seconds=0)
    world.runtime.calls.clear()
    await world.start()

    async def restarted() -> Pod | None:
        pod = await world.is_ready("dies")
        return pod if pod is not None and pod.status.container_statuses[0].restart_count == 1 else None

    await world.until(restarted)
    after = await world.is_ready("stays")
    assert before is not None
    assert after is not None
    assert after.status == before.status
    await world.until(lambda: _sandboxes_are(world, {"stays", "dies"}))
    assert world.runtime.calls.count("run_sandbox") == 0


async def _sandboxes_are(world: World, names: set[str]) -> bool:
    return {s.name for s in await world.runtime.list_sandboxes()} == names


async def test_ended_pods_stay_ended_over_a_restart(world: World) -> None:
    world.runtime.behaviours["web"] = Behaviour(exit_code=0)
    await world.create(spec={"restartPolicy": "Never"})
    before = await world.until(lambda: world.in_phase("Succeeded"))
    await world.stop()
    world.runtime.calls.clear()
    await world.start()
    assert world.kubelet is not None
    assert world.kubelet.pods is not None
    worker = world.kubelet.pods.get(before.metadata.uid or "")
    assert worker is not None
    assert "create_container" not in world.runtime.calls
    assert worker.status().phase == "Succeeded"
    assert worker.status().container_statuses[0].state == before.status.container_statuses[0].state


async def ask(world: World, path: str, peer: PeerIdentity | None) -> tuple[int, bytes]:
    from tiphys.base.clock import SystemClock
    from tiphys.kubelet.server.authorization import NodeAuthorizer
    from tiphys.kubelet.server.server import NodeServer

    assert world.kubelet is not None
    assert world.kubelet.pods is not None
    clock = SystemClock()
    authorizer = NodeAuthorizer(world.node_client, NODE, world.config.server_identities, clock)
    server = NodeServer(world.runtime, world.config, world.kubelet.pods, authorizer, clock, lambda: "")
    request = Request("GET", path.encode(), Headers(), peer_certificate=peer)
    response = await server.handle(request)
    if isinstance(response, Stream):
        return response.status, b"stream"
    return response.status, response.body


APISERVER = PeerIdentity("kube-apiserver-kubelet-client", ("system:masters",), "x")


async def test_the_node_server_answers_the_apiserver_and_nobody_else(world: World) -> None:
    await world.create()
    await world.until(world.is_ready)
    assert await ask(world, "/healthz", APISERVER) == (200, b"ok")
    assert await ask(world, "/healthz", None) == (401, b"Unauthorized")
    stranger = PeerIdentity("someone", ("people",), "y")
    status, text = await ask(world, "/pods", stranger)
    assert status == 403
    assert text == b"Forbidden (user=someone, verb=get, resource=nodes, subresource(s)=[pods proxy])"
    status, text = await ask(world, "/pods", APISERVER)
    assert status == 200
    assert b'"name":"p"' in text


async def test_logs_and_what_they_are_refused_for(world: World) -> None:
    pod = await world.create()
    await world.until(world.is_ready)
    folder = world.config.logs_dir / f"default_p_{pod.metadata.uid}" / "web"
    (folder / "0.log").write_bytes(b"2026-01-01T00:00:01Z stdout F hello\n")
    assert await ask(world, "/containerLogs/default/p/web", APISERVER) == (200, b"stream")
    assert await ask(world, "/containerLogs/default/p/other", APISERVER) == (
        404,
        b'container "other" not found in pod "p"',
    )
    assert await ask(world, "/containerLogs/default/p/web?previous=true", APISERVER) == (
        400,
        b'previous terminated container "web" in pod "p" not found',
    )
    assert (await ask(world, "/containerLogs/default/gone/web", APISERVER))[0] == 404
    assert (await ask(world, "/containerLogs/default/p/web?tailLines=x", APISERVER))[0] == 400


async def test_use_of_node_and_pods_is_told(world: World) -> None:
    await world.create()
    await world.until(world.is_ready)
    status, text = await ask(world, "/stats/summary", APISERVER)
    assert status == 200
    assert b'"podRef":{"name":"p","namespace":"default"' in text
    status, text = await ask(world, "/metrics/resource", APISERVER)
    assert status == 200
    assert b"node_cpu_usage_seconds_total" in text
    assert (await ask(world, "/nonsense", APISERVER))[0] == 404


async def test_a_status_that_someone_else_wrote_is_set_right(world: World) -> None:
    await world.create()
    await world.until(world.is_ready)
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "theirs", "status": "True"}]}}
    await world.admin.patch(Pod, "p", "default", patch, type="strategic", subresource="status")
    pod = await world.until(world.is_ready)
    assert "theirs" in {c.type for c in pod.status.conditions}


async def test_a_pod_is_resized_in_place_when_there_is_room(world: World) -> None:
    def resources(cpu: str) -> dict[str, object]:
        return {"name": "web", "image": "img", "imagePullPolicy": "Never", "resources": {"requests": {"cpu": cpu}}}

    await world.create("p", {"containers": [resources("1")]})
    await world.create("other", {"containers": [resources("2")]})
    await world.until(world.is_ready)
    before = await world.until(lambda: world.is_ready("other"))
    patch = {"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "3"}}}]}}
    await world.admin.patch(Pod, "other", "default", patch, type="strategic", subresource="resize")

    async def pending() -> bool:
        pod = await world.pod("other")
        assert pod is not None
        return any(c.type == "PodResizePending" and c.reason == "Deferred" for c in pod.status.conditions) or False

    async def resized() -> Pod | None:
        pod = await world.pod("other")
        status = pod.status if pod is not None else None
        done = status is not None and status.container_statuses[0].resources.requests == {"cpu": "3"}
        return pod if done and not any(c.type.startswith("PodResize") for c in status.conditions) else None

    resized_pod = await world.until(resized)
    assert resized_pod.status.container_statuses[0].container_id == before.status.container_statuses[0].container_id
    patch = {"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "3500m"}}}]}}
    await world.admin.patch(Pod, "other", "default", patch, type="strategic", subresource="resize")
    await world.until(pending)
    await world.admin.delete(Pod, "p", "default")

    async def grown() -> bool:
        pod = await world.pod("other")
        return pod is not None and pod.status.container_statuses[0].resources.requests == {"cpu": "3500m"}

    await world.until(grown)
