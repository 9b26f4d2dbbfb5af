"""The runtimes the contract suite runs on: in memory, and containerd where it can run."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tiphys.cmd.containerd import Containerd
from tiphys.cmd.image_build_recipes import SANDBOX_IMAGE
from tiphys.cmd.images import ensure_images
from tiphys.cri.client import CriRuntime
from tiphys.cri.runtime import Runtime
from tiphys.cri.types import ContainerConfig, NamespaceMode, NamespaceOptions, SandboxConfig, SandboxSecurity
from tiphys.testing.fake_cri import Behaviour, FakeRuntime

IMAGE_CACHE = Path("/var/cache/tiphys-test-images")


@dataclass
class Fixture:
    """A runtime with the image busybox, and how to configure on it."""

    runtime: Runtime
    cgroup_parent: str
    logs: Path
    attempts: dict[str, int] = field(default_factory=dict)

    def sandbox(self, name: str = "pod", **labels: str) -> SandboxConfig:
        # Host network: the contract is about the runtime, and needs no CNI then.
        return SandboxConfig(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            log_directory=str(self.logs),
            labels=labels,
            cgroup_parent=self.cgroup_parent,
            security=SandboxSecurity(namespaces=NamespaceOptions(network=NamespaceMode.NODE)),
        )

    def container(self, name: str, script: str, **labels: str) -> ContainerConfig:
        return ContainerConfig(
            name=name, image="busybox", command=("sh", "-c", script), log_path=f"{name}.log", labels=labels
        )


@pytest.fixture(params=["memory", pytest.param("containerd", marks=[pytest.mark.e2e, pytest.mark.root])])
async def cri(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fixture]:
    if request.param == "memory":
        runtime = FakeRuntime(images=["busybox"])
        runtime.behaviours["fails"] = Behaviour(exit_code=3)
        runtime.behaviours["done"] = Behaviour(exit_code=0)
        yield Fixture(runtime, "", tmp_path)
        return
    if os.geteuid() != 0 or shutil.which("containerd") is None:
        pytest.skip("needs root and containerd")
    # A socket's path is short: pytest's own folders are too deep.
    home = Path("/tmp") / f"tiphys-cri-{os.getpid()}"
    containerd = Containerd(home, sandbox_image=SANDBOX_IMAGE)
    try:
        await containerd.start()
        await ensure_images(containerd.socket, IMAGE_CACHE)
        client = CriRuntime(containerd.socket)
        yield Fixture(client, f"{containerd.paths.cgroup_root}/pod", tmp_path)
        await client.close()
    finally:
        await containerd.destroy()
        shutil.rmtree(home, ignore_errors=True)
