"""What kubectl does with pods, controllers and Services, and what it tells of them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.conformance.cli.guestbook import guestbook
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.manifests import BUSYBOX, deployment, pod

_HTTPD = ["sh", "-c", "exec httpd -f -p 6379 -h /tmp"]


def controller(name: str, replicas: int, command: list[str] | None = None) -> dict[str, Any]:
    """A ReplicationController of busybox pods."""
    template = pod(name, command or ["sleep", "3600"])
    template["spec"]["containers"][0]["ports"] = [{"containerPort": 6379}]
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"app": name},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        },
    }


def running(cluster: Cluster, namespace: str, app: str, count: int) -> list[dict[str, Any]]:
    """The controller's pods, once there are so many and all run."""

    def there() -> list[dict[str, Any]]:
        items = cluster.get("pods", "-n", namespace, "-l", f"app={app}")["items"]
        alive = [item for item in items if not item["metadata"].get("deletionTimestamp")]
        return alive if len(alive) == count and all(p["status"]["phase"] == "Running" for p in alive) else []

    return list(eventually(there, f"{count} pods of {app} run"))


def test_a_replication_controller_is_made_and_stopped(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]'"""
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(controller("nautilus", 2)))
    running(cluster, namespace, "nautilus", 2)
    cluster.kubectl("delete", "rc", "nautilus", "--grace-period=0", "--force", "-n", namespace)
    eventually(lambda: not cluster.get("pods", "-n", namespace, "-l", "app=nautilus")["items"], "its pods are gone")


def test_a_replication_controller_is_scaled(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Update Demo should scale a replication controller [Conformance]'"""
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(controller("nautilus", 2)))
    running(cluster, namespace, "nautilus", 2)
    for count in (1, 2):
        cluster.kubectl("scale", "rc", "nautilus", f"--replicas={count}", "--timeout=1m", "-n", namespace)
        running(cluster, namespace, "nautilus", count)


def test_a_guestbook_works(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Guestbook application should create and stop a working application [Conformance]'"""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": guestbook()})
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=manifest)
    for tier in ("book-primary", "book-replica", "book-frontend"):
        cluster.kubectl("rollout", "status", f"deployment/{tier}", "-n", namespace, "--timeout=90s")
    front = f"/api/v1/namespaces/{namespace}/services/book-frontend:http/proxy/cgi-bin"
    eventually(
        lambda: cluster.kubectl("get", "--raw", f"{front}/write?TestEntry", check=False).stdout.strip() == "kept",
        "an entry is written",
    )
    eventually(
        lambda: "TestEntry" in cluster.kubectl("get", "--raw", f"{front}/read", check=False).stdout, "the entry is read"
    )
    cluster.kubectl("delete", "--grace-period=0", "--force", "-f", "-", "-n", namespace, stdin=manifest)
    eventually(lambda: not cluster.get("pods", "-n", namespace)["items"], "all of it is gone")


def test_api_versions_have_v1(cluster: Cluster) -> None:
    """'[sig-cli] Kubectl client Kubectl api-versions should check if v1 is in available api versions [Conformance]'"""
    assert "v1" in cluster.output("api-versions").splitlines()


def test_cluster_info_tells_where_the_control_plane_is(cluster: Cluster) -> None:
    """'[sig-cli] Kubectl client Kubectl cluster-info should check if Kubernetes control plane services is included in
    cluster-info [Conformance]'"""
    said = re.sub(r"\x1b\[[0-9;]*m", "", cluster.output("cluster-info"))
    assert re.search(r"Kubernetes control plane is running at https://\S+:\d+", said)


def test_describe_tells_what_matters(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl describe should check if kubectl describe prints relevant information for rc
    and pods [Conformance]'"""
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(controller("primary", 1, _HTTPD)))
    exposed = ("--port=6379", "--target-port=6379", "-n", namespace)
    cluster.kubectl("expose", "rc", "primary", "--name=primary", *exposed)
    (made,) = running(cluster, namespace, "primary", 1)

    def tells(kind: str, name: str, *lines: str, place: tuple[str, ...] = ("-n", namespace)) -> None:
        said = cluster.output("describe", kind, name, *place)
        for line in lines:
            assert re.search(line, said), f"{line!r} is not in\n{said}"

    name, node = made["metadata"]["name"], made["spec"]["nodeName"]
    tells(
        *("pod", name, rf"Name:\s+{name}", rf"Namespace:\s+{namespace}", rf"Node:\s+{node}/", r"Labels:\s+app=primary"),
        *(r"Status:\s+Running", r"IP:\s+\d", r"Controlled By:\s+ReplicationController/primary", rf"Image:\s+{BUSYBOX}"),
        *(r"State:\s+Running", r"QoS Class:\s+BestEffort"),
    )
    tells(
        *("rc", "primary", r"Name:\s+primary", rf"Namespace:\s+{namespace}", r"Selector:\s+app=primary"),
        *(r"Labels:\s+app=primary", r"Replicas:\s+1 current / 1 desired", r"Pods Status:\s+1 Running / 0 Waiting"),
        *("Pod Template:", rf"Image:\s+{BUSYBOX}", "Events:"),
    )
    tells(
        *("service", "primary", r"Name:\s+primary", rf"Namespace:\s+{namespace}", r"Selector:\s+app=primary"),
        *(r"Type:\s+ClusterIP", r"IP:\s+\d", r"Port:\s+<unset>\s+6379/TCP", r"Endpoints:\s+\S+:6379"),
        *(r"Session Affinity:\s+None",),
    )
    tells(
        *("node", node, rf"Name:\s+{node}", "Labels:", "Annotations:", "CreationTimestamp:", "Conditions:"),
        *(r"MemoryPressure\s+False", r"Ready\s+True", "Addresses:", "Capacity:", r"Kernel Version:", "Pods:"),
        place=(),
    )
    tells("namespace", namespace, rf"Name:\s+{namespace}", r"Status:\s+Active", "No resource quota", place=())


def test_diff_shows_another_image(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl diff should check if kubectl diff finds a difference for Deployments
    [Conformance]'"""
    live = deployment("live", 1)
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(live))
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:other"
    for flags in ((), ("--server-side", "--force-conflicts")):
        done = cluster.kubectl("diff", *flags, "-f", "-", "-n", namespace, stdin=json.dumps(live), check=False)
        assert done.returncode == 1, done.stderr
        assert re.search(rf"^-\s+(- )?image: {BUSYBOX}$", done.stdout, re.MULTILINE)
        assert re.search(r"^\+\s+(- )?image: busybox:other$", done.stdout, re.MULTILINE)


def test_expose_makes_services(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl expose should create services for rc [Conformance]'"""
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(controller("primary", 1, _HTTPD)))
    (made,) = running(cluster, namespace, "primary", 1)

    def leads(name: str, port: int) -> None:
        def there() -> bool:
            slices = cluster.get("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={name}")
            return any(
                endpoint["targetRef"]["name"] == made["metadata"]["name"] and found["ports"][0]["port"] == 6379
                for found in slices["items"]
                for endpoint in found.get("endpoints") or []
            )

        eventually(there, f"{name} leads to the pod")
        (served,) = cluster.get("service", name, "-n", namespace)["spec"]["ports"]
        assert (served["port"], served["targetPort"]) == (port, 6379)

    target = ("--target-port=6379", "-n", namespace)
    cluster.kubectl("expose", "rc", "primary", "--name=rm2", "--port=1234", *target)
    leads("rm2", 1234)
    cluster.kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", *target)
    leads("rm3", 2345)


def test_label_is_set_and_taken_away(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl label should update the label on a resource [Conformance]'"""
    cluster.apply(pod("pause", ["sleep", "3600"]), namespace)
    cluster.kubectl("label", "pods", "pause", "testing-label=testing-label-value", "-n", namespace)
    assert "testing-label-value" in cluster.output("get", "pod", "pause", "-L", "testing-label", "-n", namespace)
    cluster.kubectl("label", "pods", "pause", "testing-label-", "-n", namespace)
    assert "testing-label-value" not in cluster.output("get", "pod", "pause", "-L", "testing-label", "-n", namespace)


def test_patch_annotates_pods(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl patch should add annotations for pods in rc [Conformance]'"""
    cluster.kubectl("create", "-f", "-", "-n", namespace, stdin=json.dumps(controller("primary", 1)))
    (made,) = running(cluster, namespace, "primary", 1)
    name = made["metadata"]["name"]
    cluster.kubectl("patch", "pod", name, "-p", '{"metadata":{"annotations":{"x":"y"}}}', "-n", namespace)
    assert cluster.get("pod", name, "-n", namespace)["metadata"]["annotations"]["x"] == "y"


def test_replace_changes_an_image(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl replace should update a single-container pod's image [Conformance]'"""
    cluster.kubectl("run", "web", f"--image={BUSYBOX}", "-n", namespace, "--", "sleep", "3600")
    cluster.kubectl("wait", "pod/web", "--for=condition=Ready", "-n", namespace, "--timeout=60s")
    found = cluster.get("pod", "web", "-n", namespace)
    found["spec"]["containers"][0]["image"] = "busybox:other"
    cluster.kubectl("replace", "-f", "-", "-n", namespace, stdin=json.dumps(found))
    assert cluster.get("pod", "web", "-n", namespace)["spec"]["containers"][0]["image"] == "busybox:other"
    before = found["metadata"]["uid"]
    again = json.dumps(pod("web", ["sleep", "3600"]))
    cluster.kubectl("replace", "--force", "--grace-period=0", "-f", "-", "-n", namespace, stdin=again)
    assert cluster.get("pod", "web", "-n", namespace)["metadata"]["uid"] != before


def test_run_makes_a_pod(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl run pod should create a pod from an image when restart is Never
    [Conformance]'"""
    cluster.kubectl("run", "httpd", "--restart=Never", f"--image={BUSYBOX}", "-n", namespace)
    made = cluster.get("pod", "httpd", "-n", namespace)["spec"]
    assert [container["image"] for container in made["containers"]] == [BUSYBOX]
    assert made["restartPolicy"] == "Never"


def test_a_dry_run_changes_nothing(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl client Kubectl server-side dry-run should check if kubectl can dry-run update Pods
    [Conformance]'"""
    cluster.kubectl("run", "httpd", f"--image={BUSYBOX}", "--labels=run=httpd", "-n", namespace, "--", "sleep", "3600")
    patch = json.dumps({"spec": {"containers": [{"name": "httpd", "image": "busybox:other"}]}})
    cluster.kubectl("patch", "pod", "httpd", "-p", patch, "--dry-run=server", "-n", namespace)
    assert cluster.get("pod", "httpd", "-n", namespace)["spec"]["containers"][0]["image"] == BUSYBOX


def test_version_tells_both_sides(cluster: Cluster) -> None:
    """'[sig-cli] Kubectl client Kubectl version should check is all data is printed [Conformance]'"""
    said = json.loads(cluster.output("version", "-o", "json"))
    for side in ("clientVersion", "serverVersion"):
        names = {"major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "platform"}
        assert names <= said[side].keys()


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Any]:
    """Start `kubectl proxy` with flags; its first line tells where it listens."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> str:
        process = subprocess.Popen(
            cluster.kubectl_command("proxy", *flags, "--disable-filter"), stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline()

    yield start
    for process in started:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def test_proxy_on_any_port(proxy: Any) -> None:
    """'[sig-cli] Kubectl client Proxy server should support proxy with --port 0 [Conformance]'"""
    port = re.search(r":(\d+)", proxy("--port=0"))
    assert port is not None
    with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{port[1]}/api/", timeout=10) as answer:
        assert json.load(answer)["versions"]


def test_proxy_on_a_socket(proxy: Any, tmp_path: Path) -> None:
    """'[sig-cli] Kubectl client Proxy server should support --unix-socket=/path [Conformance]'"""
    path = tmp_path / "proxy.sock"
    proxy(f"--unix-socket={path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /api/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
        said = b""
        while part := client.recv(65536):
            said += part
    assert json.loads(said.partition(b"\r\n\r\n")[2])["versions"]


def test_logs_are_filtered(cluster: Cluster, namespace: str) -> None:
    """'[sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]'"""
    say = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i of a log generator; done; sleep 3600"
    cluster.apply(pod("talk", ["sh", "-c", say]), namespace)
    eventually(lambda: "line 100" in cluster.kubectl("logs", "talk", "-n", namespace, check=False).stdout, "it talks")

    def logs(*flags: str) -> str:
        return cluster.kubectl("logs", "talk", *flags, "-n", namespace).stdout

    assert logs("--tail=1") == "line 100 of a log generator\n"
    assert len(logs("--limit-bytes=1")) == 1
    (stamped,) = logs("--tail=1", "--timestamps").splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 100", stamped)
    # It said all it has to say a while ago.
    written = time.monotonic()
    eventually(lambda: time.monotonic() - written > 1.2, "a second has passed")
    assert len(logs("--since=1s").splitlines()) < len(logs("--since=24h").splitlines()) == 100
