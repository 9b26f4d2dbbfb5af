"""What every runtime promises a kubelet: one suite on the fake and on containerd."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.cri.conftest import Fixture
from tiphys.cri.errors import CriCode, CriError
from tiphys.cri.types import ContainerState, ContainerStatus, EventType, SandboxState

TIMEOUT_SECONDS = 20


async def ended(cri: Fixture, container_id: str) -> ContainerStatus:
    """The status once the container has exited, told by the event stream and not by a clock."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async for _ in cri.runtime.events():
            status = await cri.runtime.container_status(container_id)
            if status.state is ContainerState.EXITED:
                return status
    raise AssertionError("the events ended")


async def test_a_sandbox_lives_and_dies(cri: Fixture) -> None:
    runtime = cri.runtime
    sandbox_id = await runtime.run_sandbox(cri.sandbox(app="a"))
    [listed] = await runtime.list_sandboxes(labels={"app": "a"})
    assert (listed.id, listed.name, listed.state) == (sandbox_id, "pod", SandboxState.READY)
    assert await runtime.list_sandboxes(labels={"app": "b"}) == []
    await runtime.stop_sandbox(sandbox_id)
    assert (await runtime.sandbox_status(sandbox_id)).state is SandboxState.NOT_READY
    await runtime.remove_sandbox(sandbox_id)
    with pytest.raises(CriError) as caught:
        await runtime.sandbox_status(sandbox_id)
    assert caught.value.code is CriCode.NOT_FOUND
    assert await runtime.list_sandboxes() == []


async def test_what_is_gone_can_be_stopped_and_removed_again(cri: Fixture) -> None:
    await cri.runtime.stop_sandbox("nothing")
    await cri.runtime.remove_sandbox("nothing")
    await cri.runtime.stop_container("nothing", timeout_seconds=0)
    await cri.runtime.remove_container("nothing")
    await cri.runtime.remove_image("nothing:1")


async def test_a_container_runs_and_is_stopped(cri: Fixture) -> None:
    runtime, config = cri.runtime, cri.sandbox()
    sandbox_id = await runtime.run_sandbox(config)
    container_id = await runtime.create_container(sandbox_id, cri.container("web", "sleep 1000", tier="x"), config)
    assert (await runtime.container_status(container_id)).state is ContainerState.CREATED
    await runtime.start_container(container_id)
    status = await runtime.container_status(container_id)
    assert status.state is ContainerState.RUNNING
    assert status.started_at_nanoseconds >= status.created_at_nanoseconds > 0
    [listed] = await runtime.list_containers(sandbox_id=sandbox_id, labels={"tier": "x"})
    assert (listed.id, listed.name, listed.sandbox_id) == (container_id, "web", sandbox_id)
    await runtime.stop_container(container_id, timeout_seconds=0)
    status = await runtime.container_status(container_id)
    assert (status.state, status.exit_code) == (ContainerState.EXITED, 137)
    await runtime.remove_container(container_id)
    assert await runtime.list_containers() == []


@pytest.mark.parametrize(("name", "code", "reason"), [("fails", 3, "Error"), ("done", 0, "Completed")])
async def test_an_end_is_told_with_its_code(cri: Fixture, name: str, code: int, reason: str) -> None:
    runtime, config = cri.runtime, cri.sandbox()
    sandbox_id = await runtime.run_sandbox(config)
    container_id = await runtime.create_container(sandbox_id, cri.container(name, f"exit {code}"), config)
    await runtime.start_container(container_id)
    status = await ended(cri, container_id)
    assert (status.exit_code, status.reason) == (code, reason)
    assert status.finished_at_nanoseconds > status.created_at_nanoseconds


async def test_a_stopped_sandbox_ends_its_containers(cri: Fixture) -> None:
    runtime, config = cri.runtime, cri.sandbox()
    sandbox_id = await runtime.run_sandbox(config)
    container_id = await runtime.create_container(sandbox_id, cri.container("web", "sleep 1000"), config)
    await runtime.start_container(container_id)
    await runtime.stop_sandbox(sandbox_id)
    assert (await runtime.container_status(container_id)).state is ContainerState.EXITED
    with pytest.raises(CriError):
        await runtime.create_container(sandbox_id, cri.container("late", "true"), config)
    await runtime.remove_sandbox(sandbox_id)
    with pytest.raises(CriError) as caught:
        await runtime.container_status(container_id)
    assert caught.value.not_found


async def test_a_container_needs_its_image(cri: Fixture) -> None:
    config = cri.sandbox()
    sandbox_id = await cri.runtime.run_sandbox(config)
    absent = cri.container("web", "true")
    assert await cri.runtime.image_status("absent:1") is None
    with pytest.raises(CriError) as caught:
        await cri.runtime.create_container(
            sandbox_id, type(absent)(name="web", image="absent:1", command=absent.command), config
        )
    assert caught.value.not_found


async def test_a_sandbox_is_run_once(cri: Fixture) -> None:
    await cri.runtime.run_sandbox(cri.sandbox())
    with pytest.raises(CriError, match="reserve"):
        await cri.runtime.run_sandbox(cri.sandbox())


@pytest.mark.parametrize("name", ["busybox", "busybox:latest", "docker.io/library/busybox:latest"])
async def test_an_image_is_found_by_all_its_names(cri: Fixture, name: str) -> None:
    image = await cri.runtime.image_status(name)
    assert image is not None
    assert "docker.io/library/busybox:latest" in image.repo_tags
    assert await cri.runtime.image_status(image.id) == image
    assert image in await cri.runtime.list_images()


async def test_commands_need_a_running_container(cri: Fixture) -> None:
    runtime, config = cri.runtime, cri.sandbox()
    sandbox_id = await runtime.run_sandbox(config)
    container_id = await runtime.create_container(sandbox_id, cri.container("web", "sleep 1000"), config)
    with pytest.raises(CriError):
        await runtime.exec_sync(container_id, ["true"])
    await runtime.start_container(container_id)
    assert (await runtime.exec_sync(container_id, ["true"], timeout_seconds=5)).exit_code == 0
    url = await runtime.exec_url(container_id, ["sh"], tty=True, stdin=True, stdout=True, stderr=False)
    assert url.startswith("http://127.0.0.1:")
    assert (await runtime.attach_url(container_id, tty=False, stdin=False, stdout=True, stderr=True)).startswith("http")
    assert (await runtime.port_forward_url(sandbox_id)).startswith("http://127.0.0.1:")
    await runtime.reopen_container_log(container_id)
    assert (await runtime.container_stats(container_id)).name == "web"


async def test_events_begin_when_the_subscription_stands(cri: Fixture) -> None:
    events = cri.runtime.events()
    first = await anext(events)
    assert (first.type, first.container_id) == (EventType.CREATED, "")
    sandbox_id = await cri.runtime.run_sandbox(cri.sandbox())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async for event in events:
            if event.type is EventType.STARTED:
                assert event.container_id == sandbox_id
                break


async def test_a_runtime_says_who_and_how_it_is(cri: Fixture) -> None:
    assert (await cri.runtime.version()).runtime_api_version == "v1"
    assert (await cri.runtime.status()).ready
