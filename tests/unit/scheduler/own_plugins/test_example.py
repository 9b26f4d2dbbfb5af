"""The example package, installed beside Tiphys as pip does it, in a running scheduler, and its own tests."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import random
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.scheduler.objects import node, pod
from tests.unit.scheduler.test_scheduler import until
from tiphys.api.types.core_v1 import ConfigMap, Node, Pod
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client import Client
from tiphys.cmd.scheduler import settings
from tiphys.scheduler.plugin_loading import GROUP, load_plugins
from tiphys.scheduler.scheduler import Scheduler
from tiphys.testing.control_plane import ControlPlane

EXAMPLE = Path(__file__).parents[4] / "examples" / "scheduler-plugin"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an installation leaves: the sources on the path, and metadata made from pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {value}" for name, value in project["entry-points"][GROUP].items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "rack_plugins"]:
        del sys.modules[name]


@asynccontextmanager
async def scheduling(client: Client) -> AsyncIterator[None]:
    config = settings((EXAMPLE / "scheduler-config.yaml").read_text(), host="").scheduler
    config = dataclasses.replace(config, initial_backoff_seconds=0.01, maximum_backoff_seconds=0.02)
    task = asyncio.ensure_future(Scheduler(client, config, rng=random.Random(0)).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def add_node(plane: ControlPlane, name: str, **labels: str) -> None:
    new = node(name)
    new.metadata.labels = {f"example.com/{key}": value for key, value in labels.items()}
    await plane.client.create(new)
    await plane.client.patch(Node, name, "", {"spec": {"taints": None}})


async def add_pod(plane: ControlPlane, name: str, *, labels: dict[str, str] | None = None, **notes: str) -> None:
    new = pod(name, labels=labels or {})
    annotations = {f"example.com/{key.replace('_', '-')}": value for key, value in notes.items()}
    await plane.client.create(replace(new, metadata=replace(new.metadata, annotations=annotations)))


def test_the_package_is_found(installed: None) -> None:
    loaded = load_plugins(entry_points(group=GROUP))
    assert set(loaded.plugins) >= {"RackPower", "QuietNodes", "Approval"}
    assert not loaded.failures


async def test_its_plugins_decide_in_a_running_scheduler(installed: None, plane: ControlPlane) -> None:
    client = plane.client
    await add_node(plane, "silent", rack="a", decibels="10")
    await add_node(plane, "loud", rack="b", decibels="90")

    async def node_of(name: str) -> str:
        return (await client.get(Pod, name, "default")).spec.node_name or ""

    async def told(name: str) -> str:
        conditions = (await client.get(Pod, name, "default")).status.conditions
        return next((c.message or "" for c in conditions if c.type == "PodScheduled" and c.status == "False"), "")

    async with scheduling(client):
        # Per node: quiet pods stay away from the loud one, whatever is left elsewhere.
        await add_pod(plane, "quiet", labels={"example.com/quiet": "true"})
        assert await until(lambda: node_of("quiet")) == "silent"
        # On arrays: the third pod of 600 watts finds no rack of 1000.
        for name in ("first", "second"):
            await add_pod(plane, name, watts="600")
            await until(functools.partial(node_of, name))
        assert {await node_of("first"), await node_of("second")} == {"silent", "loud"}
        await add_pod(plane, "third", watts="600")
        assert "2 node(s) were in racks without enough power" in await until(lambda: told("third"))
        await client.delete(Pod, "first", "default", grace_period_seconds=0)
        assert await until(lambda: node_of("third"))


async def test_a_pod_waits_for_its_permit_and_is_written_to_before_it_is_bound(
    installed: None, plane: ControlPlane
) -> None:
    client = plane.client
    await add_node(plane, "n")
    async with scheduling(client):
        await add_pod(plane, "waits", needs_approval="true")
        await add_pod(plane, "free")

        async def bound(name: str) -> Pod | None:
            found = await client.get(Pod, name, "default")
            return found if found.spec.node_name else None

        await until(lambda: bound("free"))
        assert await bound("waits") is None
        await client.create(ConfigMap(metadata=ObjectMeta(name="approvals", namespace="default"), data={"waits": ""}))
        found = await until(lambda: bound("waits"))
        assert found.metadata.annotations["example.com/approved-for"] == "n"


def test_its_own_tests_pass() -> None:
    environment = os.environ | {"PYTHONPATH": str(EXAMPLE / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
