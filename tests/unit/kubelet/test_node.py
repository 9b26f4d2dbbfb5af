"""The node's own object, admission of pods, status patches, cgroups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubelet.player import container, pod
from tiphys.api import codec
from tiphys.api.types.core_v1 import Node, Pod
from tiphys.cri.types import Image
from tiphys.kubelet.cgroups import Cgroups
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.node.description import Pressure, allocatable, conditions, new_node, node_images, node_status
from tiphys.kubelet.node.facts import HostFacts, read_host
from tiphys.kubelet.pods.admission import admit
from tiphys.kubelet.pods.status_patch import status_patch

CONFIG = KubeletConfig(node_name="n1", node_ip="10.0.0.1", data_dir=Path("/nowhere"), reserved_cpu_millis=500)
FACTS = HostFacts(4000, 8 << 30, 100 << 30)


def node(**labels: str) -> Node:
    status = node_status(
        CONFIG, FACTS, runtime_version="containerd://1", images=(), pressure=Pressure(), before={}, now=0.0
    )
    made = new_node(CONFIG, FACTS, status)
    made.metadata.labels.update(labels)
    return made


def test_a_node_says_what_it_is_and_has() -> None:
    made = node()
    assert made.metadata.labels["kubernetes.io/hostname"] == "n1"
    assert made.metadata.labels["kubernetes.io/os"] == "linux"
    assert made.status.capacity["cpu"] == "4"
    assert made.status.capacity["memory"] == "8Gi"
    assert made.status.capacity["pods"] == "110"
    assert allocatable(CONFIG, FACTS)["cpu"] == "3500m"
    assert allocatable(CONFIG, FACTS)["memory"] == "8092Mi"
    assert [(a.type, a.address) for a in made.status.addresses] == [("InternalIP", "10.0.0.1"), ("Hostname", "n1")]
    assert {c.type: (c.status, c.reason) for c in made.status.conditions} == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }


def test_transition_times_move_only_with_the_status() -> None:
    first = {c.type: c for c in conditions(Pressure(), {}, 0.0)}
    later = {c.type: c for c in conditions(Pressure(memory=True), first, 60.0)}
    assert later["Ready"].last_transition_time == first["Ready"].last_transition_time
    assert later["Ready"].last_heartbeat_time == "1970-01-01T00:01:00Z"
    assert later["MemoryPressure"].last_transition_time == "1970-01-01T00:01:00Z"
    down = conditions(Pressure(not_ready="container runtime is down"), later, 61.0)[-1]
    assert (down.status, down.reason, down.message) == ("False", "KubeletNotReady", "container runtime is down")


def test_images_are_listed_largest_first() -> None:
    images = [Image("a", ("a:1",), size_bytes=1), Image("b", ("b:1",), ("b@sha256:x",), size_bytes=9), Image("c")]
    assert [i.names for i in node_images(images)] == [("b@sha256:x", "b:1"), ("a:1",)]


def test_this_host_has_facts(tmp_path: Path) -> None:
    facts = read_host(KubeletConfig(node_name="n", node_ip="1.1.1.1", data_dir=tmp_path))
    assert facts.cpu_millis >= 1000
    assert facts.memory_bytes > 1 << 20
    assert facts.kernel_version


def wants(name: str = "p", **resources: str) -> Pod:
    return pod({"containers": [container("web", resources={"requests": resources})]}, name=name)


def test_a_node_admits_what_fits() -> None:
    assert admit(wants(cpu="3"), [wants("o", cpu="500m")], node()) is None
    refused = admit(wants(cpu="3"), [wants("o", cpu="600m")], node())
    assert refused is not None
    assert refused.reason == "OutOfcpu"
    assert refused.message == ("Node didn't have enough resource: cpu, requested: 3000, used: 600, capacity: 3500")
    extended = admit(wants(**{"example.com/gpu": "1"}), [], node())
    assert extended is not None
    assert extended.reason == "OutOfexample.com/gpu"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, "NodeAffinity"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden"),
        ({"containers": [container("web", ports=[{"containerPort": 1, "hostPort": 80}])]}, "NodePorts"),
    ],
)
def test_other_refusals(spec: dict[str, Any], reason: str) -> None:
    taken = pod({"containers": [container("web", ports=[{"containerPort": 1, "hostPort": 80}])]}, name="other")
    refused = admit(pod(spec), [taken], node())
    assert refused is not None
    assert refused.reason == reason


def test_affinity_and_no_execute_taints() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert admit(pod({"affinity": affinity}), [], node(disk="ssd")) is None
    assert admit(pod({"affinity": affinity}), [], node(disk="hdd")) is not None
    tainted = codec.from_dict(
        Node, {**codec.to_dict(node()), "spec": {"taints": [{"key": "k", "effect": "NoExecute", "value": "v"}]}}
    )
    assert admit(pod(), [], tainted) is not None
    assert admit(pod({"tolerations": [{"key": "k", "operator": "Exists"}]}), [], tainted) is None


def test_a_status_patch_has_only_what_changed() -> None:
    old = {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False", "reason": "X"}, {"type": "gate", "status": "True"}],
        "message": "gone",
    }
    new = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "podIPs": [{"ip": "10.0.0.1"}],
    }
    assert status_patch(old, new) == {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "reason": None}],
        "podIPs": [{"ip": "10.0.0.1"}],
        "message": None,
    }
    assert status_patch(new, new) == {}
    moved = status_patch({"podIPs": [{"ip": "a"}]}, {"podIPs": [{"ip": "b"}]})
    assert moved == {"podIPs": [{"ip": "b"}, {"$patch": "replace"}]}


def hierarchies(root: Path) -> Path:
    for controller in ("cpu", "memory", "pids", "systemd"):
        (root / controller).mkdir(parents=True)
    return root


def test_pod_cgroups_on_v1(tmp_path: Path) -> None:
    groups = Cgroups("/kubepods", hierarchies(tmp_path))
    assert not groups.unified
    subject = wants(cpu="500m")
    assert groups.path(subject) == "/kubepods/burstable/podu1"
    assert groups.path(pod()) == "/kubepods/besteffort/podu1"
    groups.create(subject)
    assert (tmp_path / "cpu/kubepods/burstable/podu1").is_dir()
    # What the runtime made in other hierarchies goes too.
    (tmp_path / "systemd/kubepods/burstable/podu1/abc").mkdir(parents=True)
    assert groups.leftovers() == {"u1"}
    groups.remove("u1")
    assert groups.leftovers() == set()
    assert not list(tmp_path.glob("*/kubepods/*/podu1"))


def test_pod_cgroups_on_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    groups = Cgroups("/kubepods", tmp_path)
    assert groups.unified
    for folder in ("", "kubepods", "kubepods/burstable"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cgroup.controllers").write_text("cpu memory\n")
    own = tmp_path / "kubepods/burstable/podu1"
    own.mkdir()
    for name in ("cpu.weight", "cpu.max", "memory.max"):
        (own / name).write_text("")
    limits = {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    groups.create(pod({"containers": [container("web", resources=limits)]}))
    assert (own / "cpu.weight").read_text() == "20"
    assert (own / "cpu.max").read_text() == "100000 100000"
    assert (own / "memory.max").read_text() == str(64 << 20)
