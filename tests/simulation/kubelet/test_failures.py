"""A runtime that fails now and then: pods run all the same, and nothing is left of what failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.kubelet.conftest import World
from tiphys.api.types.core_v1 import Pod
from tiphys.cri.errors import CriCode, CriError
from tiphys.kubelet.lifecycle import machine

CALLS = [
    "run_sandbox",
    "sandbox_status",
    "image_status",
    "create_container",
    "start_container",
    "container_status",
    "stop_container",
    "stop_sandbox",
    "remove_sandbox",
    "list_sandboxes",
]
ON_THE_WAY_DOWN = CALLS[-4:]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Retries that wait for people upstream wait less here."""
    monkeypatch.setattr(machine, "REFUSED_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(machine, "PULL_INITIAL_SECONDS", 0.05)
    yield


@pytest.mark.parametrize("call", CALLS)
async def test_one_failure_is_survived(world: World, call: str) -> None:
    if call not in ON_THE_WAY_DOWN:
        world.runtime.fail(call, CriError(CriCode.UNAVAILABLE, "not now"))
    await world.create()
    await world.until(world.is_ready)
    assert len(await world.runtime.list_sandboxes()) == 1
    assert len(await world.runtime.list_containers()) == 1
    if call in ON_THE_WAY_DOWN:
        world.runtime.fail(call, CriError(CriCode.UNAVAILABLE, "not now"))
    await world.admin.delete(Pod, "p", "default")
    await world.until(world.gone)

    async def clean() -> bool:
        return world.runtime.is_empty and world.runtime.has_failed(call)

    await world.until(clean)
