"""``tiphys scheduler --config FILE`` beside a running server: its profiles' pods get nodes by its profiles' rules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.api.running import Answer, RunningServer

Raw = Callable[..., Answer]
GPU = "example.com/gpu"
CONFIGURATION = f"""
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
percentageOfNodesToScore: 50
leaderElection: {{resourceName: second-scheduler, retryPeriod: 200ms}}
profiles:
- schedulerName: packing
  plugins:
    multiPoint:
      disabled: [{{name: "*"}}]
      enabled: [{{name: PrioritySort}}, {{name: NodeResourcesFit}}, {{name: TaintToleration}}, {{name: DefaultBinder}}]
  pluginConfig:
  - name: NodeResourcesFit
    args: {{scoringStrategy: {{type: MostAllocated, resources: [{{name: cpu}}, {{name: {GPU}, weight: 3}}]}}}}
- schedulerName: pooled
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions: [{{key: pool, operator: In, values: [batch]}}]
"""
NODES = {"cfg-a": {}, "cfg-b": {"pool": "batch"}, "cfg-c": {}}


def _process(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tiphys.cmd.main", "scheduler", *arguments]


@pytest.fixture(name="nodes")
def _nodes(raw: Raw) -> Iterator[None]:
    room = {"cpu": "8", "memory": "8Gi", "pods": "110", GPU: "8"}
    for name, labels in NODES.items():
        node = {"metadata": {"name": name, "labels": labels}, "status": {"capacity": room, "allocatable": room}}
        assert raw("POST", "/api/v1/nodes", node).status == 201
    yield
    for name in NODES:
        raw("DELETE", f"/api/v1/nodes/{name}")


@pytest.fixture(name="configured")
def _configured(server: RunningServer, nodes: None, tmp_path: Path) -> Iterator[Path]:
    """The scheduler runs; the file has what it logs."""
    file, log = tmp_path / "scheduler.yaml", tmp_path / "log"
    file.write_text(CONFIGURATION)
    command = _process("--config", str(file), "--kubeconfig", str(server.kubeconfig))
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        yield log
        process.terminate()


def _make(raw: Raw, namespace: str, name: str, scheduler: str, requests: dict[str, str]) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": requests, "limits": requests}}
    # No controller says that these nodes are ready.
    spec = {"schedulerName": scheduler, "containers": [container], "tolerations": [{"operator": "Exists"}]}
    answer = raw("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})
    assert answer.status == 201, answer.body


def test_every_profile_schedules_its_own_pods(
    configured: Path, raw: Raw, namespace: str, kubectl: Callable[..., Any]
) -> None:
    def node_of(name: str) -> str:
        wait = ("wait", "pod", name, "-n", namespace, "--for=jsonpath={.spec.nodeName}", "--timeout=30s")
        waited = kubectl(*wait, check=False)
        assert waited.returncode == 0, waited.stderr + configured.read_text()
        return str(kubectl("get", "pod", name, "-n", namespace, "-o", "jsonpath={.spec.nodeName}").stdout)

    _make(raw, namespace, "unasked", "nobody", {"cpu": "1"})
    packed = set()
    for number in range(4):
        _make(raw, namespace, f"packed-{number}", "packing", {"cpu": "1", GPU: "1"})
        packed.add(node_of(f"packed-{number}"))
    assert len(packed) == 1, "MostAllocated keeps them together"
    _make(raw, namespace, "pooled", "pooled", {"cpu": "100m"})
    assert node_of("pooled") == "cfg-b"
    _make(raw, namespace, "unasked-too", "default-scheduler", {"cpu": "1"})
    _make(raw, namespace, "last", "packing", {"cpu": "1"})
    node_of("last")
    pods = raw("GET", f"/api/v1/namespaces/{namespace}/pods").json["items"]
    assert [p["metadata"]["name"] for p in pods if not p["spec"].get("nodeName")] == ["unasked", "unasked-too"]
    lease = raw("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/second-scheduler")
    assert lease.status == 200
    log = configured.read_text()
    assert log.count("percentageOfNodesToScore: has no effect") == 1, log


def test_a_file_that_is_wrong_starts_nothing(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.yaml"
    file.write_text(CONFIGURATION.replace("PrioritySort", "PrioritizeSort"))
    command = _process("--config", str(file), "--kubeconfig", str(server.kubeconfig))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert 'profiles[0].plugins.multiPoint.enabled[0].name: Not found: "PrioritizeSort"' in ended.stderr
    assert "profiles[0].plugins.queueSort: Required value: only one queue sort plugin required" in ended.stderr
