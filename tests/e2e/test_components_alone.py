"""Scheduler and controllers by upstream's flags and a kubeconfig only; two of each, of which one works."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import BIN, Cluster, eventually, free_port

NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "pretended"},
    "status": {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen([str(BIN / "tiphys"), *arguments], stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.fixture(name="api")
def _api() -> Iterator[Cluster]:
    """An apiserver, and nothing beside it."""
    with tempfile.TemporaryDirectory(prefix="tiphys-alone-") as folder:
        made = Cluster(Path(folder) / "data")
        made.tiphys("init", "--role", "server", "--secure-port", str(free_port()), "--kubelet-port", str(free_port()))
        logs = made.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        with running(logs / "apiserver.log", "run", "apiserver", "--data-dir", str(made.data_dir)):
            ready = ("get", "--raw", "/readyz")
            eventually(lambda: made.kubectl(*ready, check=False).returncode == 0, "the apiserver is ready")
            yield made


def test_flags_and_a_kubeconfig_are_enough_and_one_of_two_leads(api: Cluster) -> None:
    def credentials(component: str) -> list[str]:
        # Nothing of the data directory is known to them: a copy of the kubeconfig is all.
        copy = api.data_dir.parent / f"{component}.kubeconfig"
        copy.write_bytes((api.data_dir / "kubeconfigs" / f"{component}.kubeconfig").read_bytes())
        return [component, "--kubeconfig", str(copy), "--leader-elect=true"]

    manager = [
        *credentials("controller-manager"), "--allocate-node-cidrs=true", "--cluster-cidr", "10.9.0.0/16",
        "--root-ca-file", str(api.data_dir / "pki" / "ca.crt"), "--controllers", "*,-job-controller",
    ]  # fmt: skip
    logs = api.data_dir / "logs"
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(running(logs / f"scheduler-{number}.log", *credentials("scheduler")))
            stack.enter_context(running(logs / f"manager-{number}.log", *manager))
        api.kubectl("create", "-f", "-", stdin=json.dumps(NODE))
        api.kubectl("patch", "node", "pretended", "--subresource=status", "-p", json.dumps({"status": NODE["status"]}))
        eventually(lambda: api.get("node", "pretended")["spec"].get("podCIDR") == "10.9.0.0/24", "a pod CIDR", 30)
        assert "BEGIN CERTIFICATE" in api.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"]
        api.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=3")

        def placed() -> int:
            pods = api.get("pods", "-l", "app=web")["items"]
            return sum(pod["spec"].get("nodeName") == "pretended" for pod in pods)

        eventually(lambda: placed() == 3, "the pods are made and placed", 40)
        holders = {}
        for name in ("kube-scheduler", "kube-controller-manager"):
            holders[name] = api.get("lease", name, "-n", "kube-system")["spec"]["holderIdentity"]
    for name, holder in holders.items():
        assert holder and api.get("lease", name, "-n", "kube-system")["spec"]["holderIdentity"] in ("", holder)
    idle = [log for log in logs.glob("manager-*.log") if "controllers start" not in log.read_text()]
    assert len(idle) == 1


def test_what_is_missing_is_one_line(api: Cluster) -> None:
    for arguments, says in (
        (("scheduler", "--kubeconfig", "/nowhere"), "tiphys: no credentials (--kubeconfig): "),
        (("controller-manager", "--kubeconfig", str(api.kubeconfig), "--controllers", "x"), "tiphys: --controllers: "),
        (("kubelet", "--kubeconfig", "/nowhere"), "tiphys: no credentials"),
        (("dns", "--data-dir", "/nowhere"), "tiphys: no cluster in /nowhere"),
    ):
        done = subprocess.run(
            [str(BIN / "tiphys"), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(says), done.stderr
