"""Broken plugins in a running scheduler: their pods say why they wait, the others get their nodes."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import sys
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from tests.unit.scheduler.objects import node, pod
from tiphys.api.types.core_v1 import ConfigMap, Node, Pod, ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client import Client
from tiphys.scheduler import handle
from tiphys.scheduler.cluster import Cluster
from tiphys.scheduler.configuration import read, scheduler_config
from tiphys.scheduler.framework import NodeFilter, Plugin
from tiphys.scheduler.plugin_loading import GROUP, registry
from tiphys.scheduler.scheduler import Scheduler
from tiphys.scheduler.template import Template
from tiphys.testing.control_plane import ControlPlane, control_plane

MODULE = "broken_plugins_of_a_test"
CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
  - schedulerName: default-scheduler
  - schedulerName: mine
    plugins: {multiPoint: {enabled: [{name: Mine}]}}
"""


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    made = sys.modules[MODULE] = types.ModuleType(MODULE)
    yield made
    del sys.modules[MODULE]


async def told(plane: ControlPlane, scheduler_client: Client | None = None) -> str:
    """Why the pod of the profile with the plugin waits, once the other pod is bound."""
    client = plane.client
    if not (await client.list(ServiceAccount, "default")).items:
        await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace="default")))
    await client.create(node("n"))
    await client.patch(Node, "n", "", {"spec": {"taints": None}})
    await client.create(pod("p", scheduler_name="mine"))
    await client.create(pod("theirs"))
    known = registry([EntryPoint("Mine", f"{MODULE}:Mine", GROUP)])
    config = scheduler_config(read(CONFIGURATION, known), known)
    config = dataclasses.replace(config, initial_backoff_seconds=0.01, maximum_backoff_seconds=0.02)
    task = asyncio.ensure_future(Scheduler(scheduler_client or client, config, rng=random.Random(0)).run())
    try:
        async with asyncio.timeout(10):
            while True:
                await asyncio.sleep(0.005)
                theirs, ours = [await client.get(Pod, name, "default") for name in ("theirs", "p")]
                said = [c.message or "" for c in ours.status.conditions if c.type == "PodScheduled"]
                assert not ours.spec.node_name
                if theirs.spec.node_name and said:
                    return said[0]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_that_cannot_be_loaded(module: types.ModuleType) -> None:
    async with control_plane() as plane:
        assert f'plugin "Mine" of an unknown package ({MODULE}:Mine) cannot be imported' in await told(plane)


@pytest.mark.parametrize("method", ["filter", "reserve", "permit"])
async def test_one_that_raises(module: types.ModuleType, method: str) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("broken")

    module.Mine = type("Mine", (Plugin,), {"name": "Mine", method: fail})  # type: ignore[attr-defined]
    async with control_plane() as plane:
        assert f"plugin \"Mine\" failed at {method}: ValueError('broken')" in await told(plane)


async def test_one_that_raises_before_the_binding(module: types.ModuleType) -> None:
    async def fail(*_: Any) -> Any:
        raise ValueError("broken")

    module.Mine = type("Mine", (Plugin,), {"name": "Mine", "pre_bind": fail})  # type: ignore[attr-defined]
    async with control_plane() as plane:
        assert "plugin \"Mine\" failed at pre_bind: ValueError('broken')" in await told(plane)


async def test_one_that_asks_for_what_the_scheduler_may_not_read(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "SYNC_SECONDS", 0.05)

    class Mine(Plugin):
        name = "Mine"

        def __init__(self, args: Any = None, handle: Any = None) -> None:
            super().__init__(args, handle)
            self.maps = handle.informer(ConfigMap)

        def filter(self, template: Template, cluster: Cluster) -> NodeFilter | None:
            if not self.maps.synced:
                raise LookupError("no maps")
            return None

    module.Mine = Mine  # type: ignore[attr-defined]
    async with control_plane() as plane:
        assert "no maps" in await told(plane, plane.client_as("system:kube-scheduler"))
