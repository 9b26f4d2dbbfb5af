"""Servers and clients of these tests: pods that say who they are, asked from pods, from the node, over TCP and UDP."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import BUSYBOX

HTTP_PORT, UDP_PORT = 8080, 8081
_SERVE = "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 8080 -h /www"
_UDP_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
print("listening", flush=True)
while True:
    server.sendto(sys.argv[2].encode(), server.recvfrom(100)[1])
"""
_UDP_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.connect((sys.argv[1], int(sys.argv[2])))
try:
    client.send(b"?")
    print(client.recv(100).decode())
except OSError:
    pass
"""


def server(name: str, *, app: str = "web", ports: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod that serves its host name over HTTP."""
    container = {
        "name": "main",
        "image": BUSYBOX,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SERVE],
        "ports": ports or [{"name": "http", "containerPort": HTTP_PORT}],
        "readinessProbe": {"httpGet": {"path": "/", "port": HTTP_PORT}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def service(name: str, *, app: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": HTTP_PORT, "protocol": "TCP"}]
    wanted = {"selector": {"app": app}, "ports": ports} | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": wanted}


def apply_all(cluster: Cluster, namespace: str, *manifests: dict[str, Any]) -> None:
    cluster.apply("\n---\n".join(json.dumps(manifest) for manifest in manifests), namespace)


def start(cluster: Cluster, namespace: str, *manifests: dict[str, Any]) -> None:
    """Apply, and wait for the pods among them to be Ready."""
    apply_all(cluster, namespace, *manifests)
    names = [f"pod/{m['metadata']['name']}" for m in manifests if m["kind"] == "Pod"]
    if names:
        cluster.kubectl("wait", "--for=condition=Ready", *names, "-n", namespace, "--timeout=60s")


def pod_ip(cluster: Cluster, namespace: str, name: str) -> str:
    return str(cluster.get("pod", name, "-n", namespace)["status"]["podIP"])


def node_ip(cluster: Cluster) -> str:
    addresses = cluster.get("nodes")["items"][0]["status"]["addresses"]
    return str(next(one["address"] for one in addresses if one["type"] == "InternalIP"))


def run_in(cluster: Cluster, namespace: str, pod: str, *command: str) -> str:
    """What a command in the pod prints; "" when it fails."""
    done = cluster.kubectl("exec", "-n", namespace, pod, "--", *command, check=False)
    return done.stdout if done.returncode == 0 else ""


def asked(cluster: Cluster, namespace: str, pod: str, address: str, port: int = 80) -> str:
    """Who answers the pod over HTTP; "" for nobody."""
    return run_in(cluster, namespace, pod, "wget", "-q", "-T", "2", "-O", "-", f"http://{address}:{port}/").strip()


def asked_here(address: str, port: int = 80) -> str:
    """Who answers the node itself over HTTP."""
    command = ["curl", "-s", "--noproxy", "*", "-m", "2", f"http://{address}:{port}/"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()


def network_of(cluster: Cluster, namespace: str, pod: str) -> str:
    """The path of a pod's network namespace on this machine."""
    uid = cluster.get("pod", pod, "-n", namespace)["metadata"]["uid"]
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if uid in path.read_text() or uid.replace("-", "_") in path.read_text():
                return str(path.parent / "ns" / "net")
    raise AssertionError(f"no process of pod {pod}")


@contextlib.contextmanager
def udp_server(cluster: Cluster, namespace: str, pod: str, port: int = UDP_PORT) -> Iterator[None]:
    """The pod also answers datagrams with its name (the images here have no UDP server: one is put in its network)."""
    enter = ["nsenter", f"--net={network_of(cluster, namespace, pod)}"]
    command = [*enter, sys.executable, "-I", "-c", _UDP_SERVER, str(port), pod]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield
        finally:
            process.kill()


def asked_by_udp(address: str, port: int, network: str = "") -> str:
    """Who answers a datagram from that network ("": the node's); "" for nobody."""
    enter = ["nsenter", f"--net={network}"] if network else []
    command = [*enter, sys.executable, "-I", "-c", _UDP_CLIENT, address, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout.strip()


def endpoints(cluster: Cluster, namespace: str, name: str) -> dict[str, list[int]]:
    """Pod names to ports of a Service's ready endpoints, as its EndpointSlices say."""
    found: dict[str, list[int]] = {}
    label = f"kubernetes.io/service-name={name}"
    for piece in cluster.get("endpointslices", "-n", namespace, "-l", label)["items"]:
        for endpoint in piece.get("endpoints") or ():
            if endpoint["conditions"].get("ready"):
                ports = [port["port"] for port in piece.get("ports") or ()]
                found.setdefault(endpoint["targetRef"]["name"], []).extend(ports)
    return {pod: sorted(ports) for pod, ports in found.items()}


def until(condition: Any, what: str, timeout_seconds: float = 20) -> Any:
    return eventually(condition, what, timeout_seconds)
