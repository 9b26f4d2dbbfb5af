"""The documented configuration, in a scheduler that runs against a real apiserver."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.scheduler.test_scheduler import FAST, add_node, add_pod, node_of, said, scheduling, until
from tiphys.api.types.core_v1 import Node
from tiphys.scheduler.configuration import profile_makers, read
from tiphys.scheduler.plugins import REGISTRY
from tiphys.testing.control_plane import ControlPlane

_PAGE = Path(__file__).parents[4] / "docs/scheduler-configuration.md"


@pytest.fixture
async def plane(plane: ControlPlane) -> ControlPlane:
    for name in ("a", "b", "c"):
        await add_node(plane, name, cpu="10", memory="10Gi")
    for name in ("a", "b"):
        await plane.client.patch(Node, name, "", {"metadata": {"labels": {"pool": "batch"}}})
    return plane


def documented() -> str:
    found = re.search(r"```yaml\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


async def test_each_profile_does_as_the_page_says(plane: ControlPlane) -> None:
    profiles = profile_makers(read(documented(), REGISTRY), REGISTRY)
    async with scheduling(plane.client, replace(FAST, profiles=profiles)):
        for number in range(4):
            await add_pod(plane, f"packed-{number}", cpu="1", scheduler_name="bin-packing")
            await until(lambda n=number: node_of(plane, f"packed-{n}"))
        packed = {await node_of(plane, f"packed-{number}") for number in range(4)}
        assert len(packed) == 1
        assert packed < {"a", "b"}
        for number in range(2):
            await add_pod(plane, f"spread-{number}", cpu="1")
            await until(lambda n=number: node_of(plane, f"spread-{n}"))
        assert {await node_of(plane, f"spread-{number}") for number in range(2)} == {"a", "b", "c"} - packed
        # Twelve do not fit on a node of ten, and no other pool is this profile's.
        await add_pod(plane, "large", cpu="12", scheduler_name="bin-packing")
        (event,) = await until(lambda: said(plane, "large", "FailedScheduling"))
        assert event.source.component == "bin-packing"
        assert "1 node(s) didn't match scheduler-enforced node affinity" in event.message
        assert "2 Insufficient cpu" in event.message
