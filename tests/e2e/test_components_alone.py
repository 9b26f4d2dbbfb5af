"""Scheduler and controllers by upstream's flags and a kubeconfig only; two of each, of which one works."""

from __future__ import annotations

import json
import shutil
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


@contextmanager
def etcd(folder: Path) -> Iterator[str]:
    """An etcd of one member; its URL."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        "etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ]  # fmt: skip
    with (folder / "etcd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(name="api", params=["sqlite", "etcd"])
def _api(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """An apiserver by its flags, and nothing beside it but its store."""
    if request.param == "etcd" and shutil.which("etcd") is None:
        pytest.skip("etcd is not installed")
    with tempfile.TemporaryDirectory(prefix="tiphys-alone-") as name, ExitStack() as stack:
        folder, port = Path(name), str(free_port())
        made = Cluster(folder / "data")
        made.tiphys("init", "--role", "server", "--secure-port", port, "--kubelet-port", str(free_port()))
        pki, logs = made.data_dir / "pki", made.data_dir / "logs"
        logs.mkdir(exist_ok=True)
        store = ["--sqlite-file", str(folder / "state" / "state.db")]
        if request.param == "etcd":
            store = ["--etcd-servers", stack.enter_context(etcd(folder))]
        flags = [
            *store, "--secure-port", port, "--advertise-address", "192.0.2.1", "--authorization-mode=Node,RBAC",
            "--tls-cert-file", str(pki / "apiserver.crt"), "--tls-private-key-file", str(pki / "apiserver.key"),
            "--client-ca-file", str(pki / "ca.crt"), "--service-account-key-file", str(pki / "sa.pub"),
            "--service-account-signing-key-file", str(pki / "sa.key"), "--service-cluster-ip-range", "10.99.0.0/24",
        ]  # fmt: skip
        stack.enter_context(running(logs / "apiserver.log", "apiserver", *flags))
        ready = ("get", "--raw", "/readyz")
        eventually(lambda: made.kubectl(*ready, check=False).returncode == 0, "the apiserver is ready")
        assert made.output("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}") == "10.99.0.1"
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


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    made = Cluster(tmp_path / "data")
    made.tiphys("init", "--role", "server")
    for arguments, says in (
        (("scheduler", "--kubeconfig", "/nowhere"), "tiphys: no credentials (--kubeconfig): "),
        (
            ("controller-manager", "--kubeconfig", str(made.kubeconfig), "--controllers", "x"),
            "tiphys: --controllers: ",
        ),
        (("kubelet", "--kubeconfig", "/nowhere"), "tiphys: no credentials"),
        (("apiserver", "--sqlite-file", "/nowhere/x"), "tiphys: an apiserver serves by TLS only"),
        (("apiserver", "--sqlite-file", "x", "--authorization-mode=AlwaysAllow"), "tiphys: --authorization-mode="),
        (("dns", "--data-dir", "/nowhere"), "tiphys: no cluster in /nowhere"),
    ):
        done = subprocess.run(
            [str(BIN / "tiphys"), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(says), done.stderr
