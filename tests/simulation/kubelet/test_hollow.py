"""Hollow nodes: real kubelets by the dozen, answers by the hundred."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.kubelet.conftest import World
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.testing.hollow import HollowCluster, HollowNodes

COUNT = 20


@pytest.mark.parametrize("kind", ["real kubelets", "answers only"])
async def test_pods_run_on_hollow_nodes_and_go_when_deleted(world: World, kind: str) -> None:
    nodes = HollowCluster(world.admin, COUNT) if kind == "real kubelets" else HollowNodes(world.admin, COUNT)
    running = asyncio.create_task(nodes.run())

    async def all_ready() -> bool:
        found = [n for n in (await world.admin.list(Node)).items if (n.metadata.name or "").startswith("hollow-")]
        return len(found) == COUNT and all(
            any(c.type == "Ready" and c.status == "True" for c in n.status.conditions) for n in found
        )

    await world.until(all_ready)
    for number in range(COUNT * 2):
        await world.create(f"p{number}", {"nodeName": f"hollow-{number % COUNT}"})

    async def all_run() -> bool:
        return all(p.status.phase == "Running" and p.status.pod_ip for p in (await world.admin.list(Pod)).items)

    await world.until(all_run)
    for number in range(COUNT * 2):
        await world.admin.delete(Pod, f"p{number}", "default")

    async def all_gone() -> bool:
        return not (await world.admin.list(Pod)).items

    await world.until(all_gone)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
