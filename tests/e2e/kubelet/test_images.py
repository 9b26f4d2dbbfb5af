"""Images from a registry: pulled, refused, and pulled with credentials."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, eventually, free_port
from tests.e2e.manifests import pod

USER, PASSWORD = "someone", "s3cret"
# The registry knows bcrypt only; this is PASSWORD's.
SALT = "$2b$05$abcdefghijklmnopqrstuu"


@dataclass
class Registry:
    host: str

    def image(self, name: str) -> str:
        return f"{self.host}/team/{name}:1"


def hashed(password: str) -> str:
    """bcrypt by the system's crypt(3), which Perl hands through."""
    command = ["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, SALT]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.fixture(scope="module")
def registry(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on loopback that wants a password, with one image in it."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("needs docker-registry (Debian package docker-registry)")
    folder = tmp_path_factory.mktemp("registry")
    port = free_port()
    (folder / "users").write_text(f"{USER}:{hashed(PASSWORD)}\n")
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        made = Registry(f"127.0.0.1:{port}")
        eventually(lambda: listens(port), "the registry listens", 10)
        push(cluster, made.image("busybox"))
        yield made
    finally:
        process.terminate()
        process.wait(timeout=10)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def push(cluster: Cluster, image: str) -> None:
    ctr = ["ctr", "--address", str(cluster.data_dir / "containerd" / "containerd.sock"), "--namespace", "k8s.io"]
    if not Path(ctr[2]).exists():
        ctr[2] = str(next(cluster.data_dir.rglob("containerd.sock")))
    command = [*ctr, "images", "push", "--plain-http", "--user", f"{USER}:{PASSWORD}", image]
    subprocess.run([*command, "docker.io/library/busybox:1.36"], check=True, capture_output=True, timeout=60)


def waiting(cluster: Cluster, namespace: str, name: str, reason: str) -> dict[str, Any]:
    def found() -> Any:
        statuses = cluster.get("pod", name, "-n", namespace)["status"].get("containerStatuses", [])
        state = statuses[0]["state"].get("waiting", {}) if statuses else {}
        return state if state.get("reason") == reason else None

    return dict(eventually(found, f"{name} waits for {reason}"))


def test_an_image_is_pulled_with_the_pods_secret(cluster: Cluster, namespace: str, registry: Registry) -> None:
    cluster.kubectl(
        "create", "secret", "docker-registry", "login", "-n", namespace, f"--docker-server={registry.host}",
        f"--docker-username={USER}", f"--docker-password={PASSWORD}",
    )  # fmt: skip
    image = {"image": registry.image("busybox"), "imagePullPolicy": "Always"}
    cluster.apply(pod("puller", ["sleep", "60"], container=image, imagePullSecrets=[{"name": "login"}]), namespace)
    cluster.kubectl("wait", "pod/puller", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    told = cluster.output("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].message}")
    assert f'Successfully pulled image "{registry.image("busybox")}"' in told
    status = cluster.get("pod", "puller", "-n", namespace)["status"]["containerStatuses"][0]
    assert status["image"] == registry.image("busybox")


def test_without_credentials_it_is_refused_with_the_registrys_reason(
    cluster: Cluster, namespace: str, registry: Registry
) -> None:
    begun = time.monotonic()
    image = {"image": registry.image("busybox"), "imagePullPolicy": "Always"}
    cluster.apply(pod("stranger", ["sleep", "60"], container=image), namespace)
    state = waiting(cluster, namespace, "stranger", "ErrImagePull")
    assert "authorization failed" in state["message"] or "401" in state["message"]
    state = waiting(cluster, namespace, "stranger", "ImagePullBackOff")
    assert state["message"].startswith(f'Back-off pulling image "{registry.image("busybox")}"')
    assert time.monotonic() - begun < 30
