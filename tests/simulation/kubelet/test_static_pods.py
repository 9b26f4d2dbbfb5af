"""Static pods: run from a folder, mirrored in the API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.kubelet.conftest import NODE, World
from tiphys.api.types.core_v1 import Pod
from tiphys.kubelet.pods.static import ManifestError, static_pod

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: web, image: img, imagePullPolicy: IfNotPresent}]
"""
MIRROR = f"web-{NODE}"


@pytest.fixture
async def folder(world: World) -> Path:
    """The kubelet's manifest folder; the kubelet is started again to look at it."""
    await world.stop()
    path = world.config.data_dir / "manifests"
    world.config = replace(world.config, static_pod_dir=path)
    await world.start()
    return path


async def test_a_manifest_runs_and_is_mirrored_until_it_goes(world: World, folder: Path) -> None:
    (folder / "web.yaml").write_text(MANIFEST)
    mirror: Pod = await world.until(lambda: world.is_ready(MIRROR))
    assert mirror.metadata.annotations["kubernetes.io/config.source"] == "file"
    assert mirror.metadata.annotations["kubernetes.io/config.mirror"]
    assert mirror.metadata.owner_references[0].kind == "Node"
    (folder / "web.yaml").unlink()
    await world.until(lambda: world.gone(MIRROR))
    await world.until(lambda: _no_sandboxes(world))


async def _no_sandboxes(world: World) -> bool:
    return not await world.runtime.list_sandboxes()


async def test_a_deleted_mirror_comes_back_and_the_pod_runs_on(world: World, folder: Path) -> None:
    (folder / "web.yaml").write_text(MANIFEST)
    first: Pod = await world.until(lambda: world.is_ready(MIRROR))
    await world.admin.delete(Pod, MIRROR, "default")

    async def another() -> Any:
        found = await world.is_ready(MIRROR)
        return found if found is not None and found.metadata.uid != first.metadata.uid else None

    second: Pod = await world.until(another)
    assert second.status.container_statuses[0].container_id == first.status.container_statuses[0].container_id


async def test_a_changed_manifest_is_another_pod(world: World, folder: Path) -> None:
    (folder / "web.yaml").write_text(MANIFEST)
    first: Pod = await world.until(lambda: world.is_ready(MIRROR))
    (folder / "web.yaml").write_text(MANIFEST.replace("app: web", "app: other"))

    async def changed() -> Any:
        found = await world.is_ready(MIRROR)
        return found if found is not None and found.metadata.labels == {"app": "other"} else None

    second: Pod = await world.until(changed)
    assert second.status.container_statuses[0].container_id != first.status.container_statuses[0].container_id


async def test_a_new_kubelet_takes_static_pods_over(world: World, folder: Path) -> None:
    (folder / "web.yaml").write_text(MANIFEST)
    await world.until(lambda: world.is_ready(MIRROR))
    await world.stop()
    world.runtime.calls.clear()
    await world.start()
    await world.until(lambda: world.is_ready(MIRROR))
    assert "run_sandbox" not in world.runtime.calls


def test_what_is_no_pod_is_refused() -> None:
    for text in ("kind: Service", "{", "- a", MANIFEST.replace("img", "")):
        with pytest.raises(ManifestError):
            static_pod(text.encode(), NODE)
