"""A cluster on hosts after its machine crashed, and after it was put away: all comes back, nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment
from tests.e2e.mission.conftest import running


def crash(cluster: HostsCluster) -> None:
    """What a power cut of the whole machine does: every process, namespace and link is gone; the disk is not."""
    for name in cluster.names():
        cluster.stop(name)
    mark = str(cluster.data_dir).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue
    subprocess.run(["ip", "link", "del", f"tiphys-{cluster.cluster_id}"], check=True, timeout=10)
    subprocess.run(["nft", "delete", "table", "ip", f"tiphys-{cluster.cluster_id}"], check=True, timeout=10)


def ready_pods(cluster: HostsCluster) -> int:
    return int(cluster.get("deployment", "web")["status"].get("readyReplicas", 0))


def answering(cluster: HostsCluster) -> bool:
    pods = [pod["status"].get("podIP") for pod in cluster.get("pods")["items"]]
    return all(address and cluster.fetch(f"http://{address}:8080", frm="node-1")[0] == 200 for address in pods)


@pytest.mark.timeout(300)
def test_up_brings_back_what_a_crash_or_keep_data_left() -> None:
    with running(1, "--nodes", "2") as cluster:
        cluster.apply(deployment("web", 3))
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        uids = {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]}
        crash(cluster)
        cluster.tiphys("up", "--no-demo")
        eventually(
            lambda: ready_pods(cluster) == 3 and answering(cluster), "pods run and are reached after a crash", 60
        )
        cluster.tiphys("down", "--keep-data")
        assert not list(Path("/run/netns").glob(f"tiphys-{cluster.cluster_id}-*"))
        cluster.tiphys("up", "--no-demo")
        eventually(lambda: ready_pods(cluster) == 3 and answering(cluster), "and after being put away", 60)
        assert {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]} == uids, "they are the same pods"
