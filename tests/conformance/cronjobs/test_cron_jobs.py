"""Behaviours of CronJobs that the conformance suite names, with all controllers running, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.simulation.controllers.world import World, world
from tiphys.api.errors import ApiError
from tiphys.api.types.batch_v1 import CronJob, CronJobSpec, CronJobStatus, Job, JobSpec, JobTemplateSpec
from tiphys.api.types.core_v1 import Event, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.base.clock import rfc3339
from tiphys.testing import builders, virtual_time

MINUTE = 60


def cron_job(name: str = "cron", **spec: object) -> CronJob:
    """Every minute, a pod that runs until it is told to end."""
    template = builders.template(cron=name)
    template.spec.restart_policy = "OnFailure"
    job = JobTemplateSpec(spec=JobSpec(template=template))
    fields = {"schedule": "*/1 * * * ?", "job_template": job, "concurrency_policy": "Allow"} | spec
    meta = ObjectMeta(name=name, namespace="x", labels={"special-label": "cron"})
    return CronJob(metadata=meta, spec=CronJobSpec(**fields))  # type: ignore[arg-type]


async def jobs(w: World) -> list[Job]:
    return list((await w.client.list(Job, "x")).items)


async def active(w: World) -> list[str]:
    """Names of the Jobs the CronJob says are running."""
    return [reference.name or "" for reference in (await w.client.get(CronJob, "cron", "x")).status.active]


def scenario(body: Callable[[World], Awaitable[None]], decide: Callable[[Pod], str] | None = None) -> None:
    async def run() -> None:
        async with world(decide=decide) as w:
            await body(w)

    virtual_time.run(run())


def test_it_schedules_multiple_jobs_concurrently() -> None:
    async def body(w: World) -> None:
        await w.client.create(cron_job())
        await asyncio.sleep(2 * MINUTE + 5)
        assert len(await active(w)) >= 2
        assert len(await jobs(w)) >= 2

    scenario(body)


def test_it_does_not_schedule_jobs_when_suspended() -> None:
    async def body(w: World) -> None:
        await w.client.create(cron_job(suspend=True))
        await asyncio.sleep(10 * MINUTE)
        assert not await jobs(w) and not await active(w)

    scenario(body)


def test_it_does_not_schedule_new_jobs_when_forbid_concurrent() -> None:
    async def body(w: World) -> None:
        await w.client.create(cron_job(concurrency_policy="Forbid"))
        await asyncio.sleep(MINUTE + 5)
        [first] = await active(w)
        await asyncio.sleep(5 * MINUTE)
        assert await active(w) == [first] and len(await jobs(w)) == 1
        events = (await w.client.list(Event, "x")).items
        assert any(event.reason == "JobAlreadyActive" for event in events)

    scenario(body)


def test_it_replaces_jobs_when_replace_concurrent() -> None:
    async def body(w: World) -> None:
        await w.client.create(cron_job(concurrency_policy="Replace"))
        await asyncio.sleep(MINUTE + 5)
        [first] = await active(w)
        await asyncio.sleep(MINUTE)
        [second] = await active(w)
        assert second != first
        assert [job.metadata.name for job in await jobs(w)] == [second], "the older one is gone"

    scenario(body)


def test_it_removes_what_finished_beyond_its_history() -> None:
    async def body(w: World) -> None:
        await w.client.create(cron_job(successful_jobs_history_limit=1))
        await asyncio.sleep(5 * MINUTE + 5)
        assert len(await jobs(w)) == 1
        status = (await w.client.get(CronJob, "cron", "x")).status
        assert status.last_successful_time is not None and not status.active

    scenario(body, decide=lambda pod: "Succeeded")


def test_it_supports_its_api_operations() -> None:
    async def body(w: World) -> None:
        created = await w.client.create(cron_job(suspend=True))
        assert created.metadata.uid and created.spec.successful_jobs_history_limit == 3
        watching = w.client.watch(CronJob, "x", resource_version=created.metadata.resource_version or "")
        patched = await w.client.patch(CronJob, "cron", "x", {"metadata": {"annotations": {"patched": "true"}}})
        assert patched.metadata.annotations == {"patched": "true"}
        event = await anext(watching)
        assert (event.type, event.object.metadata.annotations) == ("MODIFIED", {"patched": "true"})
        await watching.aclose()  # type: ignore[attr-defined]
        patched.metadata.annotations["updated"] = "true"
        updated = await w.client.update(patched)
        assert updated.metadata.annotations["updated"] == "true"
        moment = rfc3339(w.plane.clock.now())
        updated.status = CronJobStatus(last_schedule_time=moment)
        assert (await w.client.update_status(updated)).status.last_schedule_time == moment
        change = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"lastScheduleTime": moment}}
        patched = await w.client.patch(CronJob, "cron", "x", change, subresource="status")
        assert patched.status.last_schedule_time == moment
        assert (await w.client.get(CronJob, "cron", "x", subresource="status")).metadata.uid == created.metadata.uid
        await w.client.create(cron_job("other", suspend=True))
        assert len((await w.client.list(CronJob, label_selector="special-label=cron")).items) == 2
        await w.client.delete(CronJob, "cron", "x")
        with pytest.raises(ApiError, match="not found"):
            await w.client.get(CronJob, "cron", "x")
        await w.client.delete_collection(CronJob, "x", label_selector="special-label=cron")
        assert not (await w.client.list(CronJob, "x")).items

    scenario(body)
