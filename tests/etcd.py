"""Real etcd members for tests: Debian's etcd-server, one process each, on free ports of the loopback interface."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

MISSING = "etcd is not installed (Debian: etcd-server)"


def installed() -> bool:
    """Whether there is an etcd to run."""
    return shutil.which("etcd") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """One etcd process; `kill` is a crash, `start` boots it again from its disk."""

    def __init__(self, name: str, folder: Path, client_port: int, peer_port: int, cluster: str) -> None:
        self.name = name
        self.endpoint = f"http://127.0.0.1:{client_port}"
        self._log_path = folder / f"{name}.log"
        peer = f"http://127.0.0.1:{peer_port}"
        self._command = [
            "etcd", "--name", name, "--data-dir", str(folder / name), "--log-level", "error", "--logger", "zap",
            "--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster,
            "--heartbeat-interval", "20", "--election-timeout", "200",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def signal(self, number: int) -> None:
        """SIGSTOP freezes it with its connections open, SIGCONT thaws it."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait_healthy(self, seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                with opener.open(f"{self.endpoint}/health", timeout=1) as answer:
                    if b"true" in answer.read():
                        return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"etcd {self.name} is not healthy:\n{self._log_path.read_text()}")
            time.sleep(0.01)


def members(folder: Path, count: int = 1) -> list[Member]:
    """A started, healthy cluster; skips the test where there is no etcd."""
    if not installed():
        pytest.skip(MISSING)
    ports = [(f"m{index}", free_port(), free_port()) for index in range(count)]
    cluster = ",".join(f"{name}=http://127.0.0.1:{peer}" for name, _, peer in ports)
    made = [Member(name, folder, client, peer, cluster) for name, client, peer in ports]
    for member in made:
        member.start()
    for member in made:
        member.wait_healthy()
    return made
