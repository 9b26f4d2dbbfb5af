"""A cluster whose control plane is static pods, whose proxy and DNS are DaemonSets, all from the image of Tiphys."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import BIN, Cluster, eventually, free_port
from tests.e2e.manifests import BUSYBOX
from tiphys.cmd.image_build_recipes import RECIPES
from tiphys.cmd.image_build_recipes import build as build_recipe
from tiphys.cmd.node import image_cache

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


@pytest.fixture(name="pods", scope="module")
def _pods() -> Iterator[Cluster]:
    """A kubelet by itself, with the manifests in its folder and the images in its containerd."""
    with tempfile.TemporaryDirectory(prefix="tiphys-pods-") as folder:
        made = Cluster(Path(folder) / "data")
        made.tiphys(
            "init", "--secure-port", str(free_port()), "--kubelet-port", str(free_port()),
            "--service-cidr", "10.126.0.0/16", "--pod-cidr", "10.158.0.0/16",
        )  # fmt: skip
        made.tiphys("manifests", "control-plane", "-o", str(made.data_dir / "manifests"))
        image = Path(folder) / "tiphys.tar"
        subprocess.run([str(BIN / "tiphys"), "image", "build", "tiphys", "-o", str(image)], check=True, timeout=300)
        archives = [image, *(build_recipe(recipe, image_cache()) for recipe in RECIPES)]
        (made.data_dir / "logs").mkdir(exist_ok=True)
        with (made.data_dir / "logs" / "kubelet.log").open("wb") as log:
            kubelet = subprocess.Popen(
                [str(BIN / "tiphys"), "run", "kubelet", "--data-dir", str(made.data_dir)], stdout=log, stderr=log
            )
        try:
            eventually((made.data_dir / "containerd" / "containerd.sock").is_socket, "containerd runs")
            for archive in archives:
                eventually(lambda archive=archive: made.tiphys("image", "load", str(archive)), "the image is loaded")
            eventually(
                lambda: made.kubectl("get", "--raw", "/readyz", check=False).returncode == 0, "the apiserver is ready"
            )
            yield made
        finally:
            kubelet.terminate()
            kubelet.wait(timeout=30)
            made.down()
            tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
            assert made.cluster_id not in tables


def running(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Name to phase and readiness."""
    found = {}
    for pod in cluster.get("pods", "-n", namespace)["items"]:
        ready = all(status["ready"] for status in pod["status"].get("containerStatuses", [{"ready": False}]))
        found[pod["metadata"]["name"]] = "Ready" if ready else pod["status"].get("phase", "")
    return found


def test_the_control_plane_is_pods_that_the_kubelet_runs_by_itself(pods: Cluster) -> None:
    node = eventually(lambda: pods.output("get", "nodes", "-o", "name"), "the node").removeprefix("node/")
    wanted = {f"{component}-{node}": "Ready" for component in COMPONENTS}
    eventually(lambda: running(pods, "kube-system").items() >= wanted.items(), "the control plane is ready")
    for component in COMPONENTS:
        spec = pods.get("pod", f"{component}-{node}", "-n", "kube-system")["spec"]
        [container] = spec["containers"]
        assert spec["hostNetwork"] and container["image"].startswith("localhost/tiphys/tiphys:")
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    # Nothing else of the host's serves: the one process of ours outside is the kubelet.
    assert pods.kubectl("logs", f"kube-apiserver-{node}", "-n", "kube-system").stdout.count("serving") >= 1


def test_an_application_runs_behind_a_service_by_proxy_and_dns_that_are_pods_too(pods: Cluster) -> None:
    manifests = pods.tiphys("manifests", "node").stdout
    pods.apply(manifests, "kube-system")
    pods.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=60s")
    for name in ("kube-proxy", "tiphys-dns"):
        pods.kubectl("rollout", "status", f"daemonset/{name}", "-n", "kube-system", "--timeout=60s")
    pods.kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    pods.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    pods.kubectl("expose", "deployment", "web", "--port=80")
    ask = "until wget -qO- -T 2 http://web.default.svc.cluster.local; do sleep 0.2; done"
    pods.kubectl("run", "client", f"--image={BUSYBOX}", "--restart=Never", "--", "sh", "-c", ask)
    pods.kubectl("wait", "pod/client", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    assert "Welcome to nginx!" in pods.output("logs", "client")


def test_a_control_plane_pod_that_dies_comes_back_and_a_manifest_taken_away_takes_its_pod(pods: Cluster) -> None:
    node = pods.output("get", "nodes", "-o", "name").removeprefix("node/")
    name = f"kube-scheduler-{node}"
    eventually(lambda: running(pods, "kube-system").get(name) == "Ready", "the scheduler runs")
    pods.kubectl("exec", name, "-n", "kube-system", "--", "kill", "1")

    def restarts() -> int:
        [status] = pods.get("pod", name, "-n", "kube-system")["status"]["containerStatuses"]
        return int(status["restartCount"]) if status["ready"] else 0

    eventually(restarts, "the scheduler is started again")
    manifest = pods.data_dir / "manifests" / "kube-scheduler.yaml"
    text = manifest.read_text()
    manifest.unlink()
    eventually(lambda: name not in running(pods, "kube-system"), "the scheduler is gone")
    pods.kubectl("run", "late", f"--image={BUSYBOX}", "--", "sleep", "1000")
    manifest.write_text(text)
    pods.kubectl("wait", "pod/late", "--for=condition=Ready", "--timeout=60s")
