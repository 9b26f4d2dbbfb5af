"""`tiphys join`: a machine that is no host of ours becomes a worker by a token, and leaves without a trace."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.hosts import HostsCluster, traces
from tests.e2e.manifests import pod

TIPHYS = str(Path(sys.executable).parent / "tiphys")


@contextmanager
def machine(cluster: HostsCluster, address: str) -> Iterator[list[str]]:
    """Another machine on the network between hosts, bare; the start of command lines that run on it."""
    name = f"tjoin{cluster.cluster_id}"
    path = Path("/run/netns") / name

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, timeout=10, capture_output=True)

    path.touch()
    subprocess.run(["unshare", f"--net={path}", "true"], check=True, timeout=10)
    try:
        ip("link", "add", f"tj{cluster.cluster_id}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", f"tj{cluster.cluster_id}", "master", f"tiphys-{cluster.cluster_id}", "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", cluster.address("machine"))
        yield ["nsenter", f"--net={path}"]
    finally:
        subprocess.run(["ip", "link", "del", f"tj{cluster.cluster_id}"], check=False, timeout=10, capture_output=True)
        subprocess.run(["umount", str(path)], check=True, timeout=10)
        path.unlink()


def output(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.timeout(240)
def test_a_machine_joins_works_and_leaves(hosts_cluster: HostsCluster, namespace: str) -> None:
    cluster = hosts_cluster
    address = cluster.address("machine").rpartition(".")[0] + ".150"
    with tempfile.TemporaryDirectory(prefix="tiphys-j-") as folder, machine(cluster, address) as there:
        data = Path(folder).resolve() / "data"
        command = shlex.split(cluster.tiphys("token", "create", "--print-join-command").stdout.strip())
        assert command[:2] == ["tiphys", "join"]
        own = ["--data-dir", str(data)]

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return output(*there, TIPHYS, *arguments, *own)

        refused = run("join", command[2], "--token", "abcdef.0123456789abcdef", *command[5:], "--node-name", "second")
        assert refused.returncode == 1
        assert "the cluster knows no token abcdef" in refused.stderr
        try:
            done = run(*command[1:], "--node-name", "second", "--node-ip", address)
            assert done.returncode == 0, done.stdout + done.stderr
            assert cluster.ready()["second"]
            cluster.apply(pod("there", ["sleep", "3600"], nodeName="second"), namespace)
            eventually(
                lambda: cluster.get("pod", "there", "-n", namespace)["status"]["phase"] == "Running", "a pod runs there"
            )
            assert cluster.output("exec", "there", "-n", namespace, "--", "hostname") == "there"
            status = run("status")
            assert status.returncode == 0, status.stdout + status.stderr
        finally:
            left = run("down")
            cluster.kubectl("delete", "node", "second", "--ignore-not-found")
        assert left.returncode == 0, left.stdout + left.stderr
        ids = [Cluster(data).cluster_id]
        assert not traces(data, ids, "192.0.2.0/24.")
        links = json.loads(output(*there, "ip", "-json", "link").stdout)
        assert {link["ifname"] for link in links} == {"lo", "eth0"}
        assert output(*there, "nft", "list", "tables").stdout == ""
