"""A real one-node cluster beside whatever else runs here: `tiphys up`, and `tiphys down` in the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bench.server import free_port
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd import supervision
from tiphys.cmd.config import ClusterConfig, load
from tiphys.cmd.node import containerd_of

# Ranges that neither a default cluster nor the end-to-end tests use.
_SERVICES, _PODS, _NODE_PORTS = "10.131.0.0/16", "10.163.0.0/16", "32600-32699"


def missing() -> str:
    """Why real containers cannot run here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("containerd") is None and shutil.which("apt-get") is None:
        return "containerd is not installed"
    return ""


@dataclass
class Cluster:
    config: ClusterConfig
    client: Client

    def processes(self) -> dict[str, int]:
        """Name to process id: what the supervisor runs, the supervisor, and containerd without its shims."""
        report = supervision.ask(self.config)
        assert report is not None
        found = {process.name: process.pid for process in report.processes if process.pid}
        containerd = containerd_of(self.config).pid()
        return found | {"supervisor": report.pid} | ({"containerd": containerd} if containerd else {})


async def _tiphys(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "tiphys", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"tiphys {' '.join(arguments)}\n{output.decode()}")


@contextlib.asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """An empty cluster whose node is ready."""
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
        data_dir = str(Path(folder) / "data")
        try:
            await _tiphys(
                "up", "--no-demo", "--data-dir", data_dir, "--node-name", "bench",
                "--secure-port", str(free_port()), "--kubelet-port", str(free_port()),
                "--service-cidr", _SERVICES, "--pod-cidr", _PODS, "--node-port-range", _NODE_PORTS,
            )  # fmt: skip
            config = load(Path(data_dir))
            client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
            try:
                yield Cluster(config, client)
            finally:
                await client.close()
        finally:
            await _tiphys("down", "--data-dir", data_dir)
