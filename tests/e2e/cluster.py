"""A real cluster for tests: `tiphys up` as a user runs it, and stock kubectl against it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import remains

BIN = Path(sys.executable).parent


def missing_for_real_containers() -> str:
    """Why real containers cannot run here; empty when they can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("apt-get") is None and shutil.which("containerd") is None:
        return "needs containerd"
    return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A cluster under `data_dir` with ports of its own, so that it runs beside a user's."""

    data_dir: Path
    flags: list[str] = field(default_factory=list)

    @property
    def cluster_id(self) -> str:
        """What names its links, tables and cgroups."""
        return hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:8]

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    def tiphys(self, *arguments: str, timeout_seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `tiphys`; raises AssertionError with its output when it fails."""
        command = [str(BIN / "tiphys"), *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        remains.take_back()
        remains.note(self.data_dir)
        return self.tiphys("up", *self.flags, *arguments)

    def down(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.tiphys("down", *arguments)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_seconds: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run stock kubectl as the admin; with `check`, a failure is an AssertionError with its words."""
        done = subprocess.run(
            self.kubectl_command(*arguments), input=stdin, capture_output=True, text=True,
            timeout=timeout_seconds, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [str(BIN / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments]

    def output(self, *arguments: str, stdin: str | None = None) -> str:
        return self.kubectl(*arguments, stdin=stdin).stdout.strip()

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, decoded."""
        return json.loads(self.output("get", *arguments, "-o", "json"))

    def apply(self, manifest: str | dict[str, Any], namespace: str = "default") -> None:
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self.kubectl("apply", "-n", namespace, "-f", "-", stdin=text)

    def logs(self) -> str:
        """The end of every process's log, for failures."""

        def end(path: Path) -> str:
            return "\n".join([f"--- {path.name}", *path.read_text(errors="replace").splitlines()[-25:]])

        return "\n".join(end(path) for path in sorted((self.data_dir / "logs").glob("*.log")))

    def processes(self) -> dict[str, int]:
        """Name to process id of what the supervisor runs."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(self.data_dir / "supervisor.sock"))
            report = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))
        return {process["name"]: process["pid"] for process in report["processes"]}


def eventually(condition: Callable[[], Any], what: str, timeout_seconds: float = 60) -> Any:
    """Poll until `condition` returns something true, and return that; AssertionError names `what` after the timeout.

    An AssertionError of the condition itself counts as "not yet".
    """
    until = time.monotonic() + timeout_seconds
    last: object = None
    while time.monotonic() < until:
        try:
            result = condition()
        except AssertionError as error:
            last = error
        else:
            if result:
                return result
            last = result
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_seconds} s: {what} (last: {last})")
