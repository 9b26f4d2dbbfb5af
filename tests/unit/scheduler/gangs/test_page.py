"""The example of docs/gang-scheduling.md, as a user applies it to a cluster that has what `tiphys up` installs."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import yaml

from tests.unit.scheduler.gangs.groups import GROUPS, post
from tests.unit.scheduler.test_scheduler import add_node, scheduling, until
from tiphys.api import codec
from tiphys.api.types.core_v1 import Pod, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.cmd import pod_groups
from tiphys.testing.control_plane import control_plane

PAGE = Path(__file__).parents[4] / "docs" / "gang-scheduling.md"


async def test_the_documented_gang_is_placed_as_a_whole() -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    group, job = yaml.safe_load_all(block[1])
    async with control_plane() as plane:
        for obj in pod_groups.objects():
            await plane.client.create(obj)
        await plane.client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
        await add_node(plane, "n1", cpu="6")
        await post(plane, GROUPS, group)
        template = codec.from_dict(Pod, job["spec"]["template"])
        async with scheduling(plane.client_as("system:kube-scheduler")) as scheduler:
            for number in range(job["spec"]["parallelism"]):
                meta = ObjectMeta(name=f"train-{number}", namespace="default", labels=template.metadata.labels)
                await plane.client.create(msgspec.structs.replace(template, metadata=meta))

            async def bound() -> int:
                return sum(bool(pod.spec.node_name) for pod in (await plane.client.list(Pod, "default")).items)

            async def waits() -> bool:
                return scheduler.queue.counts()["unschedulable"] == 4

            await until(waits)
            assert await bound() == 0
            await add_node(plane, "n2", cpu="2")

            async def whole() -> bool:
                return await bound() == 4

            await until(whole)
