"""A node's own containerd and network with real containers, in a network namespace, beside whatever else runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.network.namespaces import ask, own_network, run
from tiphys.cmd.containerd import Containerd
from tiphys.cmd.containerd_remains import cgroup_folders, shim_pids
from tiphys.cmd.image_build_recipes import SANDBOX_IMAGE
from tiphys.cmd.image_mirror import ImageMirror
from tiphys.cmd.images import CRI_NAMESPACE, ensure_images
from tiphys.cmd.node import image_cache
from tiphys.cri.client import CriRuntime
from tiphys.cri.errors import CriError
from tiphys.cri.types import ContainerConfig, ContainerState, SandboxConfig
from tiphys.network.config import NodeNetworkConfig
from tiphys.network.node import NodeNetwork

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("containerd") is None, reason="needs root and containerd"),
]
POD_CIDR = "10.251.0.0/24"
TIMEOUT_SECONDS = 30


@dataclass
class NodeUnderTest:
    containerd: Containerd
    network: NodeNetwork
    runtime: CriRuntime
    logs: Path

    def sandbox(self, name: str) -> SandboxConfig:
        return SandboxConfig(
            name=name,
            namespace="default",
            uid=f"uid-{name}",
            hostname=name,
            log_directory=str(self.logs),
            cgroup_parent=f"{self.containerd.paths.cgroup_root}/pod-{name}",
        )

    async def pod(self, name: str, image: str, *command: str) -> tuple[str, str, str]:
        """A running pod: the ids of its sandbox and its container, and its address."""
        config = self.sandbox(name)
        sandbox_id = await self.runtime.run_sandbox(config)
        container = ContainerConfig(name=name, image=image, command=command, log_path=f"{name}.log")
        container_id = await self.runtime.create_container(sandbox_id, container, config)
        await self.runtime.start_container(container_id)
        [address] = (await self.runtime.sandbox_status(sandbox_id)).ips
        return sandbox_id, container_id, address


def host() -> dict[str, str]:
    """What is the namespace's own; mounts and cgroups are shared with all that runs here."""
    commands = ("nft list ruleset", "ip -o link", "ip route")
    return {command: run(command) for command in commands}


@pytest.fixture
def network_namespace() -> Iterator[None]:
    with own_network():
        yield


@pytest.fixture
async def node(network_namespace: None, tmp_path: Path) -> AsyncIterator[NodeUnderTest]:
    home = Path("/tmp") / f"tiphys-node-{os.getpid()}"
    containerd = Containerd(home, sandbox_image=SANDBOX_IMAGE)
    network = NodeNetwork(
        NodeNetworkConfig("feedf00d", "10.251.0.0/16", containerd.paths.cni_conf_dir, home / "network")
    )
    try:
        await network.ensure(POD_CIDR)
        await containerd.start()
        await ensure_images(containerd.socket, image_cache())
        runtime = CriRuntime(containerd.socket)
        yield NodeUnderTest(containerd, network, runtime, tmp_path)
        await runtime.close()
    finally:
        await containerd.destroy()
        await network.cleanup()
        shutil.rmtree(home, ignore_errors=True)


async def served(address: str) -> str:
    """What nginx says once it listens."""
    for _ in range(200):
        if ask(address, 80) != "refused":
            break
        await asyncio.sleep(0.02)
    return await asyncio.to_thread(fetch, f"http://{address}/")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


async def test_pods_outlive_a_killed_containerd(node: NodeUnderTest) -> None:
    _, container_id, address = await node.pod("web", "nginx")
    assert "Welcome to nginx" in await served(address)
    before = node.containerd.pid()
    assert before is not None
    supervisor = asyncio.create_task(node.containerd.supervise())
    try:
        await asyncio.sleep(0)
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                try:
                    status = await node.runtime.container_status(container_id)
                    if node.containerd.pid() not in (None, before):
                        break
                except CriError:
                    await asyncio.sleep(0.05)
    finally:
        supervisor.cancel()
    assert status.state is ContainerState.RUNNING
    assert "Welcome to nginx" in await served(address)
    assert (await node.runtime.exec_sync(container_id, ["hostname"])).stdout == b"web\n"


async def test_a_second_start_adopts_what_runs(node: NodeUnderTest) -> None:
    _, container_id, _ = await node.pod("web", "nginx")
    again = Containerd(node.containerd.paths.data_dir, sandbox_image=SANDBOX_IMAGE)
    await again.start()
    assert again.pid() == node.containerd.pid()
    assert (await node.runtime.container_status(container_id)).state is ContainerState.RUNNING


async def test_pods_reach_each_other_and_end_without_a_trace(network_namespace: None, tmp_path: Path) -> None:
    before = host()
    home = Path("/tmp") / f"tiphys-node-{os.getpid()}"
    containerd = Containerd(home, sandbox_image=SANDBOX_IMAGE)
    network = NodeNetwork(
        NodeNetworkConfig("feedf00d", "10.251.0.0/16", containerd.paths.cni_conf_dir, home / "network")
    )
    try:
        await network.ensure(POD_CIDR)
        await containerd.start()
        await ensure_images(containerd.socket, image_cache())
        runtime = CriRuntime(containerd.socket)
        node = NodeUnderTest(containerd, network, runtime, tmp_path)
        _, _, address = await node.pod("web", "nginx")
        await served(address)
        _, client, _ = await node.pod("client", "busybox:1.36", "sleep", "1000")
        fetched = await runtime.exec_sync(client, ["wget", "-q", "-T", "5", "-O-", f"http://{address}/"])
        assert b"Welcome to nginx" in fetched.stdout
        await runtime.close()
        # Killed, it cannot clean up after its pods: that is then left to destroy.
        os.kill(containerd.pid() or 0, signal.SIGKILL)
    finally:
        await containerd.destroy()
        await network.cleanup()
    assert shim_pids(containerd.socket) == []
    assert cgroup_folders(containerd.paths.cgroup_root) == []
    assert str(home) not in run("cat /proc/self/mounts")
    assert host() == before
    shutil.rmtree(home)


@pytest.fixture
def registry(network_namespace: None, tmp_path: Path) -> Iterator[str]:
    """An empty registry on loopback, without TLS."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs docker-registry")
    config = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}"
    config.write_text(f"version: 0.1\n{storage}\nhttp: {{addr: '127.0.0.1:5000'}}\n")
    process = subprocess.Popen([program, "serve", config], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield "127.0.0.1:5000"
    finally:
        process.kill()
        process.wait()


async def test_images_are_pulled_and_the_reason_why_not_is_told(node: NodeUnderTest, registry: str) -> None:
    name = f"{registry}/mine/busybox:7"
    ctr = ["ctr", "--address", str(node.containerd.socket), "--namespace", CRI_NAMESPACE, "images"]
    run(" ".join([*ctr, "tag", "docker.io/library/busybox:latest", name]))
    for _ in range(100):
        if ask("127.0.0.1", 5000, 0.05) != "refused":
            break
        await asyncio.sleep(0.05)
    run(" ".join([*ctr, "push", "--plain-http", name]))
    run(" ".join([*ctr, "remove", name]))
    reference = await node.runtime.pull_image(name)
    image = await node.runtime.image_status(name)
    assert image is not None
    assert image.id == reference
    assert name in image.repo_tags
    with pytest.raises(CriError) as caught:
        await node.runtime.pull_image(f"{registry}/mine/busybox:8")
    assert caught.value.not_found
    assert "not found" in caught.value.message
    with pytest.raises(CriError, match="failed to resolve reference"):
        await node.runtime.pull_image("127.0.0.1:1/none:1")


async def test_a_loaded_image_can_be_pulled_without_network(node: NodeUnderTest) -> None:
    mirror = ImageMirror(node.containerd.paths)
    await mirror.start()
    try:
        # What `image: nginx` asks for, its policy being Always.
        reference = await node.runtime.pull_image("nginx")
        image = await node.runtime.image_status("nginx")
        assert image is not None
        assert image.id == reference
        # The registry's own words are kept for what is nowhere.
        with pytest.raises(CriError, match=r"registry-1\.docker\.io"):
            await node.runtime.pull_image("nginx:none-such")
    finally:
        await mirror.close()
