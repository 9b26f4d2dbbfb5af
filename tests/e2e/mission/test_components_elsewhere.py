"""Components alone, on other hosts than the apiserver: scheduler and controllers work from wherever they reach it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import eventually
from tests.e2e.hosts import HostsCluster
from tests.e2e.manifests import deployment

TIPHYS = str(Path(sys.executable).parent / "tiphys")


@contextmanager
def frozen(process_id: int) -> Iterator[None]:
    """The process does nothing meanwhile, and is not replaced."""
    os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process_id, signal.SIGCONT)


@contextmanager
def alone(cluster: HostsCluster, host: str, component: str, folder: Path, *flags: str) -> Iterator[None]:
    """A component on a host, with nothing but a kubeconfig that leads to the apiserver's address."""
    own = (cluster.data_dir / "kubeconfigs" / f"{component}.kubeconfig").read_text()
    kubeconfig = folder / f"{component}.kubeconfig"
    kubeconfig.write_text(own.replace("127.0.0.1", cluster.address("machine")))
    enter = ["nsenter", f"--net={cluster.namespace_path(host)}"]
    with (folder / f"{component}.log").open("wb") as log:
        process = subprocess.Popen(
            [*enter, TIPHYS, component, "--kubeconfig", str(kubeconfig), *flags], stdout=log, stderr=log
        )
        try:
            yield
            assert process.poll() is None, (folder / f"{component}.log").read_text()
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.timeout(180)
def test_scheduler_and_controllers_work_from_a_node_s_host(
    whole_hosts: HostsCluster, namespace: str, tmp_path: Path
) -> None:
    cluster = whole_hosts
    with frozen(cluster.processes()["control-plane"]):
        cluster.apply(deployment("web", 2), namespace)
        assert cluster.get("pods", "-n", namespace)["items"] == [], "nobody makes pods"
        # The namespace may be as new: its pods wait for the certificate that they verify the apiserver by.
        root_ca = ("--root-ca-file", str(cluster.data_dir / "pki" / "ca.crt"))
        with alone(cluster, "node-1", "controller-manager", tmp_path, *root_ca):
            eventually(lambda: len(cluster.get("pods", "-n", namespace)["items"]) == 2, "controllers make pods", 60)
            with alone(cluster, "node-2", "scheduler", tmp_path):
                eventually(
                    lambda: cluster.get("deployment", "web", "-n", namespace)["status"].get("readyReplicas") == 2,
                    "the scheduler binds them, and they run", 60,
                )  # fmt: skip
    cluster.kubectl("scale", "deployment/web", "--replicas=3", "-n", namespace)
    eventually(
        lambda: cluster.get("deployment", "web", "-n", namespace)["status"].get("readyReplicas") == 3,
        "the cluster's own go on", 60,
    )  # fmt: skip
