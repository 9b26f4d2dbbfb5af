"""Pods that nobody is to place, or that have one place only: bound by hand, finished, on their way out, a daemon's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.unit.scheduler.golden.deciding import Deciding
from tests.unit.scheduler.objects import pod
from tests.unit.scheduler.test_scheduler import add_node, scheduling, until
from tiphys.api.types.core_v1 import Pod, PodStatus
from tiphys.testing.control_plane import ControlPlane


@pytest.fixture
async def one_node(plane: ControlPlane) -> AsyncIterator[ControlPlane]:
    """One node with four cores, and the scheduler running."""
    await add_node(plane, "n1")
    async with scheduling(plane.client):
        yield plane


async def _message(plane: ControlPlane, name: str) -> str | None:
    conditions = (await plane.client.get(Pod, name, "default")).status.conditions
    return next((c.message for c in conditions if c.type == "PodScheduled" and c.status == "False"), None)


async def _node(plane: ControlPlane, name: str) -> str | None:
    return (await plane.client.get(Pod, name, "default")).spec.node_name


async def test_a_pod_that_its_user_put_on_a_node_takes_room_there(one_node: ControlPlane) -> None:
    await one_node.client.create(pod("mine", cpu="3", node_name="n1"))
    await one_node.client.create(pod("elsewhere", cpu="3", node_name="no-such-node"))
    await one_node.client.create(pod("other", cpu="2"))
    said = await until(lambda: _message(one_node, "other"))
    assert said.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    assert await _node(one_node, "elsewhere") == "no-such-node"
    assert await _message(one_node, "elsewhere") is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_finished_pod_takes_no_room(one_node: ControlPlane, phase: str) -> None:
    done = await one_node.client.create(pod("done", cpu="3", node_name="n1"))
    await one_node.client.create(pod("next", cpu="3"))
    await until(lambda: _message(one_node, "next"))
    await one_node.client.update_status(msgspec.structs.replace(done, status=_phase(done, phase)))
    assert await until(lambda: _node(one_node, "next")) == "n1"


def _phase(of: Pod, phase: str) -> PodStatus:
    return msgspec.structs.replace(of.status, phase=phase)


async def test_a_pod_on_its_way_out_is_not_placed(one_node: ControlPlane) -> None:
    leaving = pod("leaving", cpu="6")
    held = msgspec.structs.replace(leaving.metadata, finalizers=("example.com/held",))
    await one_node.client.create(msgspec.structs.replace(leaving, metadata=held))
    await until(lambda: _message(one_node, "leaving"))
    await one_node.client.delete(Pod, "leaving", "default", grace_period_seconds=0)
    await add_node(one_node, "n2", cpu="16")
    await one_node.client.create(pod("staying", cpu="6"))
    assert await until(lambda: _node(one_node, "staying")) == "n2"
    assert not await _node(one_node, "leaving")


def test_a_pod_of_a_daemon_set_goes_to_its_node_alone() -> None:
    """The DaemonSet controller names the node by a field; its pods tolerate what cordons."""
    of = Deciding()
    for name in ("n1", "n2"):
        of.node(name, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    cordon = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}
    spec: dict[str, Any] = {"affinity": {"nodeAffinity": required}, "tolerations": [cordon]}
    assert of.goes_to(**spec) == {"n2"}
    of.cluster.remove_node("n2")
    assert "1 node(s) didn't match Pod's node affinity/selector" in of.refusal(**spec).message
