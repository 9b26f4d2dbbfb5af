"""A real apiserver in a process of its own, on an empty data directory, with a bearer token for load generators."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from tiphys.api.types.core_v1 import ServiceAccount
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.api.types.rbac_v1 import ClusterRoleBinding, RoleRef, Subject
from tiphys.client import kubeconfig
from tiphys.client.client import Client
from tiphys.cmd.config import ClusterConfig, save
from tiphys.cmd.prepare import prepare


@dataclass
class Server:
    """What a benchmark needs of the running server."""

    url: str
    port: int
    token: str
    ca_path: Path
    pid: int
    start_seconds: float
    client: Client

    def resident_bytes(self) -> int:
        """Physical memory the apiserver's process holds now."""
        return resident_bytes(self.pid)


def resident_bytes(pid: int) -> int:
    """VmRSS of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bench_config(data_dir: str) -> ClusterConfig:
    return ClusterConfig(
        data_dir=data_dir,
        node_name="bench",
        node_ip="127.0.0.1",
        secure_port=free_port(),
        kubelet_port=free_port(),
        hollow_nodes=1,
    )


async def wait_ready(config: ClusterConfig, deadline_seconds: float = 30) -> None:
    """Return when /readyz answers 200."""
    context = ssl.create_default_context(cafile=str(config.pki_dir / "ca.crt"))
    until = time.monotonic() + deadline_seconds
    while time.monotonic() < until:
        if await asyncio.to_thread(_is_ready, config.server, context):
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"{config.server} is not ready after {deadline_seconds} s")


def _is_ready(server: str, context: ssl.SSLContext) -> bool:
    try:
        with urlopen(f"{server}/readyz", context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, ConnectionError, TimeoutError):
        return False


async def _token(client: Client) -> str:
    for name in ("default", "bench"):  # no controller runs that would make the first
        await client.create(ServiceAccount(metadata=ObjectMeta(name=name, namespace="default")))
    await client.create(
        ClusterRoleBinding(
            metadata=ObjectMeta(name="bench"),
            role_ref=RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="cluster-admin"),
            subjects=(Subject(kind="ServiceAccount", name="bench", namespace="default"),),
        )
    )
    answer = await client.create_token("default", "bench", expiration_seconds=7200)
    assert answer.status.token
    return answer.status.token


@contextlib.asynccontextmanager
async def apiserver(etcd_servers: tuple[str, ...] = ()) -> AsyncIterator[Server]:
    """A server with SQLite on disk, or on the etcd given; everything of its own is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as folder:
        config = msgspec.structs.replace(bench_config(folder), etcd_servers=etcd_servers)
        save(config)
        async with serving(config) as server:
            yield server


@contextlib.asynccontextmanager
async def serving(config: ClusterConfig, token: str = "", deadline_seconds: float = 30) -> AsyncIterator[Server]:
    """A server on a saved configuration, which may have state already; without `token` a first one is made."""
    prepare(config)
    started = time.monotonic()
    errors = None if os.environ.get("BENCH_VERBOSE") else asyncio.subprocess.DEVNULL
    command = [sys.executable, "-m", "tiphys.cmd.process", "--data-dir", config.data_dir, "apiserver"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=errors)
    try:
        await wait_ready(config, deadline_seconds)
        start_seconds = time.monotonic() - started
        client = Client.from_config(kubeconfig.load(config.admin_kubeconfig))
        token = token or await _token(client)
        yield Server(
            config.server, config.secure_port, token, config.pki_dir / "ca.crt", process.pid, start_seconds, client
        )
        await client.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
