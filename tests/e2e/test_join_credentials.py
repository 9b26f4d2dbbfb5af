"""A machine gets its credentials by a token: what it may then do, and what it serves with, as the cluster sees it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from tests.e2e.cluster import BIN, Cluster, eventually, free_port
from tests.e2e.manifests import pod
from tiphys.cmd.containerd import Containerd
from tiphys.cmd.image_build_recipes import BUSYBOX_RECIPE, PAUSE_RECIPE, SANDBOX_IMAGE
from tiphys.cmd.image_build_recipes import build as build_recipe
from tiphys.cmd.images import load
from tiphys.cmd.join import JoinError, join
from tiphys.cmd.node import image_cache
from tiphys.kubelet.cleanup import unmount_pods

NODE = "joined-alone"


@pytest.fixture(name="command", scope="module")
def _command(cluster: Cluster) -> list[str]:
    """``tiphys join …`` as the control plane prints it."""
    return cluster.tiphys("token", "create", "--ttl", "30m", "--print-join-command").stdout.split()


def kubectl_as(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "kubectl"), "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_printed_command_has_all_that_joining_needs(cluster: Cluster, command: list[str], tmp_path: Path) -> None:
    _, _, server, _, token, _, fingerprint = command
    config = asyncio.run(join([server], token, fingerprint, "machine-1", "192.0.2.77", tmp_path / "data"))
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "data").rglob("*") if path.is_file()} == {0o600}
    kubelet, proxy = config.kubeconfig("kubelet"), config.kubeconfig("proxy")
    assert kubectl_as(kubelet, "auth", "can-i", "create", "nodes").stdout.strip() == "yes"
    assert "Forbidden" in kubectl_as(kubelet, "get", "secrets", "-A").stderr
    assert "Forbidden" in kubectl_as(kubelet, "delete", "node", "--all").stderr
    assert kubectl_as(proxy, "get", "services", "-A").returncode == 0
    assert "Forbidden" in kubectl_as(proxy, "get", "secrets", "-A").stderr
    requests = cluster.get("csr")["items"]
    names = {request["spec"]["username"]: request["spec"]["signerName"] for request in requests}
    assert names[f"system:bootstrap:{token[:6]}"] == "kubernetes.io/kube-apiserver-client-kubelet"
    assert names["system:node:machine-1"] == "kubernetes.io/kube-apiserver-client"


def test_a_token_that_is_gone_joins_nobody(cluster: Cluster, command: list[str], tmp_path: Path) -> None:
    token = cluster.tiphys("token", "create").stdout.strip()
    assert (
        token[:6] in cluster.tiphys("token", "list").stdout and token[7:] not in cluster.tiphys("token", "list").stdout
    )
    cluster.tiphys("token", "delete", token)

    def refused() -> bool:
        with pytest.raises(JoinError, match="the cluster knows no token"):
            asyncio.run(join([command[2]], token, command[6], "machine-2", "192.0.2.78", tmp_path / "data"))
        return True

    eventually(refused, "the signature is gone with the token")
    done = subprocess.run(
        [str(BIN / "tiphys"), "join", command[2], "--token", command[4], "--ca-cert-hash", "sha256:" + "0" * 64,
         "--data-dir", str(tmp_path / "cli")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "has the hash sha256:" in done.stderr


@pytest.fixture(name="kubelet")
def _kubelet(cluster: Cluster, command: list[str]) -> Iterator[tuple[int, Path]]:
    """A kubelet on a containerd of its own that knows a bootstrap kubeconfig, and no settings of ours; its port."""
    with tempfile.TemporaryDirectory(prefix="tiphys-join-") as name:
        folder, port = Path(name), free_port()
        admin = yaml.safe_load(cluster.kubeconfig.read_text())
        admin["users"] = [{"name": "joining", "user": {"token": command[4]}}]
        admin["contexts"][0]["context"]["user"] = "joining"
        (folder / "bootstrap.kubeconfig").write_text(yaml.safe_dump(admin))
        containerd = Containerd(folder, sandbox_image=SANDBOX_IMAGE)
        asyncio.run(containerd.start())
        for recipe in (PAUSE_RECIPE, BUSYBOX_RECIPE):
            asyncio.run(load(containerd.socket, build_recipe(recipe, image_cache())))
        log = folder / "kubelet.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    str(BIN / "tiphys"), "kubelet", "--kubeconfig", str(folder / "kubelet.kubeconfig"),
                    "--bootstrap-kubeconfig", str(folder / "bootstrap.kubeconfig"), "--hostname-override", NODE,
                    "--root-dir", str(folder / "kubelet"), "--port", str(port), "--rotate-server-certificates=true",
                    "--container-runtime-endpoint", f"unix://{containerd.socket}",
                    "--cgroup-root", containerd.paths.cgroup_root, "--node-labels", "made-by=test",
                ],
                stdout=file, stderr=file,
            )  # fmt: skip
        try:
            yield port, folder
        except BaseException:
            print(log.read_text()[-3000:])
            raise
        finally:
            process.terminate()
            process.wait(timeout=30)
            cluster.kubectl("delete", "node", NODE, "--ignore-not-found")
            asyncio.run(containerd.destroy())
            unmount_pods(folder / "kubelet")


def issuer_of(port: int) -> str:
    """Who signed what is shown on this port."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as secure:
        shown = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    return shown.issuer.rfc4514_string()


def test_a_kubelet_bootstraps_by_flags_alone_and_serves_with_what_the_cluster_signed(
    cluster: Cluster, kubelet: tuple[int, Path]
) -> None:
    port, folder = kubelet
    node = eventually(lambda: cluster.get("node", NODE), "the node is registered")
    assert node["metadata"]["labels"]["made-by"] == "test"
    eventually(lambda: issuer_of(port) == "CN=kubernetes", "what it serves with is signed", 30)
    serving = [r for r in cluster.get("csr")["items"] if r["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
    [approved] = [r for r in serving if r["spec"]["username"] == f"system:node:{NODE}"]
    assert approved["status"]["conditions"][0]["reason"] == "AutoApproved"
    assert (folder / "kubelet.kubeconfig").stat().st_mode & 0o777 == 0o600
    # The apiserver trusts it: logs and exec go over that certificate.
    spec = {"nodeName": NODE, "hostNetwork": True, "tolerations": [{"operator": "Exists"}]}
    cluster.apply(json.dumps(pod("on-it", ["sh", "-c", "echo here; sleep 1000"], **spec)))
    try:
        cluster.kubectl("wait", "pod/on-it", "--for=condition=Ready", "--timeout=60s")
        assert cluster.output("logs", "on-it") == "here"
        assert cluster.output("exec", "on-it", "--", "echo", "hello") == "hello"
    finally:
        cluster.kubectl("delete", "pod", "on-it", "--grace-period=0", "--timeout=60s")
