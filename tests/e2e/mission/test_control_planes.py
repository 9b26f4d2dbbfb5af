"""Control planes on hosts of their own: other hosts than the workers', several, and any may die."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment
from tests.e2e.mission.conftest import running


@pytest.fixture(scope="module")
def ha() -> Iterator[HostsCluster]:
    with running(2, "--nodes", "2", "--control-planes", "3", "--etcd-members", "3") as cluster:
        yield cluster


def holder(cluster: HostsCluster, lease: str) -> str:
    """The host that holds a lease of the control plane."""
    identity: str = cluster.get("lease", "-n", "kube-system", lease)["spec"].get("holderIdentity", "")
    return identity.partition("_")[0]


def test_roles_are_on_hosts_of_their_own(ha: HostsCluster) -> None:
    assert ha.names("server") == ["control-1", "control-2", "control-3"]
    assert set(ha.ready()) == {"node-1", "node-2"}
    assert set(ha.processes()) == {"balancer"}, "the machine only knows the way"
    text = ha.tiphys("status").stdout
    assert text.count("server, etcd") == 3


def test_every_apiserver_serves_the_same_objects(ha: HostsCluster) -> None:
    ha.kubectl("create", "configmap", "everywhere", "--from-literal=key=value")
    port = ha.output("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}").rpartition(":")[2]
    for name in ha.names("server"):
        server = f"https://{ha.address(name)}:{port}"
        assert ha.output("--server", server, "get", "configmap", "everywhere", "-o", "jsonpath={.data.key}") == "value"


@pytest.mark.timeout(240)
def test_the_leader_s_host_dies_and_clients_and_work_go_on(ha: HostsCluster) -> None:
    ha.apply(deployment("web", 2))
    ha.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    victim = holder(ha, "kube-controller-manager")
    failures: list[str] = []
    longest = 0.0
    stop = threading.Event()

    def ask() -> None:
        nonlocal longest
        while not stop.is_set():
            began = time.monotonic()
            done = subprocess.run(
                ha.kubectl_command("get", "configmaps", "-o", "name"),
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            longest = max(longest, time.monotonic() - began)
            if done.returncode:
                failures.append(done.stderr)
            stop.wait(0.2)

    client = threading.Thread(target=ask)
    client.start()
    try:
        ha.stop(victim)
        ha.kubectl("scale", "deployment/web", "--replicas=4")
        eventually(lambda: ha.get("deployment", "web")["status"].get("readyReplicas") == 4, "another leads", 60)
        assert holder(ha, "kube-controller-manager") != victim
        eventually(lambda: holder(ha, "kube-scheduler") not in ("", victim), "and schedules", 60)
    finally:
        stop.set()
        client.join()
        ha.start(victim)
    print(f"{len(failures)} requests failed, the slowest took {longest:.2f} s")
    assert len(failures) <= 2, failures
    assert all(ha.ready().values()), "no node was taken for dead"


@pytest.mark.timeout(180)
def test_a_control_plane_that_is_cut_off_is_passed_by(ha: HostsCluster) -> None:
    ha.partition("control-1")
    try:
        for index in range(5):
            ha.kubectl("create", "configmap", f"while-cut-{index}", timeout_seconds=30)
    finally:
        ha.heal("control-1")
    eventually(lambda: ha.fetch(f"http://{ha.address('control-1')}:1")[1] != "timed out", "it is linked again")
    assert "while-cut-4" in ha.output("get", "configmaps", "-o", "name")
