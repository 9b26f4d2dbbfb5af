"""``tiphys scheduler --config FILE`` with an extender beside it: a program of somebody else's, in plain HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer

Raw = Callable[..., Answer]
GPU = "example.com/gpu"
NODES = ("ext-a", "ext-b", "ext-c")


class _Extender(BaseHTTPRequestHandler):
    """GPUs are on ext-a and ext-b, better on ext-b; it binds by the API itself, as its users' programs do."""

    protocol_version = "HTTP/1.1"
    raw: Raw

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verb = self.path.rpartition("/")[2]
        answer = json.dumps(getattr(self, verb)(sent)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def filter(self, sent: dict[str, Any]) -> dict[str, Any]:
        names = sent["NodeNames"]
        passed = [name for name in names if name != "ext-c" and "too-many" not in sent["Pod"]["metadata"]["name"]]
        return {"NodeNames": passed, "FailedNodes": {name: "no GPU left" for name in names if name not in passed}}

    def prioritize(self, sent: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"Host": name, "Score": 10 if name == "ext-b" else 0} for name in sent["NodeNames"]]

    def bind(self, sent: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": sent["PodName"], "uid": sent["PodUID"], "annotations": {"gpu": "0"}}
        body = {"metadata": meta, "target": {"kind": "Node", "name": sent["Node"]}}
        path = f"/api/v1/namespaces/{sent['PodNamespace']}/pods/{sent['PodName']}/binding"
        answer = self.raw("POST", path, body)
        return {"Error": "" if answer.status == 201 else f"status {answer.status}"}

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@pytest.fixture(name="extender")
def _extender(raw: Raw) -> Iterator[str]:
    handler = type("Extender", (_Extender,), {"raw": staticmethod(raw)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/gpus"
        server.shutdown()


@pytest.fixture(name="log")
def _log(server: RunningServer, raw: Raw, extender: str, tmp_path: Path) -> Iterator[Path]:
    """The scheduler runs; the file has what it logs."""
    room = {"cpu": "8", "memory": "8Gi", "pods": "110"}
    for name in NODES:
        node = {"metadata": {"name": name}, "status": {"capacity": room, "allocatable": room}}
        assert raw("POST", "/api/v1/nodes", node).status == 201
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "profiles": [{"schedulerName": "extended"}],
        "extenders": [
            {
                "urlPrefix": extender,
                "filterVerb": "filter",
                "prioritizeVerb": "prioritize",
                "weight": 100,
                "bindVerb": "bind",
                "nodeCacheCapable": True,
                "managedResources": [{"name": GPU, "ignoredByScheduler": True}],
            }
        ],
    }
    file, log = tmp_path / "scheduler.yaml", tmp_path / "log"
    file.write_text(json.dumps(configuration))
    arguments = ("scheduler", "--config", str(file), "--kubeconfig", str(server.kubeconfig))
    command = [sys.executable, "-m", "tiphys.cmd.main", *arguments]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        yield log
        process.terminate()
    for name in NODES:
        raw("DELETE", f"/api/v1/nodes/{name}")


def test_an_extender_decides_about_what_it_manages(raw: Raw, namespace: str, kubectl: Any, log: Path) -> None:
    def make(name: str, **amounts: str) -> None:
        container = {"name": "c", "image": "i", "resources": {"requests": amounts, "limits": amounts}}
        # No controller says that these nodes are ready.
        spec = {"schedulerName": "extended", "containers": [container], "tolerations": [{"operator": "Exists"}]}
        body = {"metadata": {"name": name}, "spec": spec}
        assert raw("POST", f"/api/v1/namespaces/{namespace}/pods", body).status == 201

    def wait(name: str, path: str) -> str:
        condition = ("wait", "pod", name, "-n", namespace, f"--for=jsonpath={{{path}}}", "--timeout=30s")
        waited = kubectl(*condition, check=False)
        assert waited.returncode == 0, waited.stderr + log.read_text()
        return str(kubectl("get", "pod", name, "-n", namespace, "-o", f"jsonpath={{{path}}}").stdout)

    make("training", **{GPU: "2", "cpu": "1"})
    assert wait("training", ".spec.nodeName") == "ext-b"
    bound = raw("GET", f"/api/v1/namespaces/{namespace}/pods/training").json
    assert bound["metadata"]["annotations"]["gpu"] == "0", "the extender bound it"
    make("too-many", **{GPU: "9"})
    words = wait("too-many", ".status.conditions[0].message")
    assert words.startswith("0/3 nodes are available: 3 no GPU left. preemption: 0/3 nodes are available:")
    make("plain", cpu="1")
    node = wait("plain", ".spec.nodeName")
    assert node in NODES
    assert "gpu" not in raw("GET", f"/api/v1/namespaces/{namespace}/pods/plain").json["metadata"].get("annotations", {})
