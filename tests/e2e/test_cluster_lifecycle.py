"""`tiphys up` and `down` as a user meets them: idempotent, resuming, leaving no trace; kill -9 of anything."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.conftest import fresh_cluster
from tests.e2e.manifests import deployment, service
from tiphys.api.errors import ApiError
from tiphys.api.types.core_v1 import ConfigMap
from tiphys.api.types.meta_v1 import ObjectMeta
from tiphys.client import kubeconfig
from tiphys.client.client import Client

# Links, tables, mounts and cgroups of any cluster carry one of these.
_CLUSTERS = re.compile(r"tiphys|io\.containerd|/kubelet/pods/|/run/netns/cni-")


def host_state(own: Cluster) -> dict[str, str]:
    """What `own` must not leave behind, as text; what other clusters on this machine do meanwhile is left out."""

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout

    def mine(text: str) -> str:
        lines = text.splitlines()
        return "\n".join(x for x in lines if own.cluster_id in x or str(own.data_dir) in x or not _CLUSTERS.search(x))

    tables = mine(output("nft", "list", "tables"))
    rules = [output("nft", "list", *table.split()) for table in tables.splitlines()]
    return {
        "nft": tables + re.sub(r"packets \d+ bytes \d+|expires \S+", "", "\n".join(rules)),
        "links": mine(re.sub(r"^\d+: ", "", output("ip", "-o", "link"), flags=re.MULTILINE)),
        "routes": mine(output("ip", "route")),
        "mounts": mine(Path("/proc/mounts").read_text()),
        "cgroups": mine("\n".join(sorted(str(path) for path in Path("/sys/fs/cgroup").glob("*/*")))),
    }


@pytest.mark.timeout(300)
def test_down_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    one = fresh_cluster(tmp_path / "data", 2)
    before = host_state(one)
    try:
        one.up("--no-demo")
        one.apply(deployment("web", 3))
        one.apply(service("web", type="NodePort"))
        one.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        assert host_state(one) != before, "the comparison sees what a cluster does"
    finally:
        one.down()
    after = host_state(one)
    for what, text in before.items():
        assert after[what] == text, f"{what} changed"
    assert not one.data_dir.exists()
    marker = str(one.data_dir).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert marker not in path.read_bytes(), f"{path.parent} still runs"
        except (FileNotFoundError, ProcessLookupError):
            continue


@pytest.mark.timeout(300)
def test_up_is_idempotent_and_resumes_after_down_keep_data(tmp_path: Path) -> None:
    one = fresh_cluster(tmp_path / "data", 3)
    try:
        one.up("--no-demo")
        one.apply(deployment("web", 2))
        one.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        processes = one.processes()
        one.up("--no-demo")
        assert one.processes() == processes, "a second `up` starts nothing again"
        uid = one.get("deployment", "web")["metadata"]["uid"]
        one.down("--keep-data")
        one.up("--no-demo")
        assert one.get("deployment", "web")["metadata"]["uid"] == uid
        one.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        eventually(
            lambda: one.get("deployment", "web")["status"].get("readyReplicas") == 2, "pods run again after a restart"
        )
    finally:
        one.down()


def test_kill_9_of_any_process_is_survived(cluster: Cluster, namespace: str) -> None:
    cluster.apply(deployment("web", 2), namespace)
    cluster.kubectl("rollout", "status", "deployment/web", "-n", namespace, "--timeout=60s")
    pods = {p["metadata"]["uid"] for p in cluster.get("pods", "-n", namespace)["items"]}
    for name, pid in cluster.processes().items():
        os.kill(pid, signal.SIGKILL)
        eventually(lambda n=name, p=pid: cluster.processes()[n] not in (None, p), f"{name} is started again")
    containerd = int((cluster.data_dir / "containerd" / "containerd.pid").read_text().split()[0])
    os.kill(containerd, signal.SIGKILL)
    eventually(lambda: cluster.output("get", "--raw", "/readyz") == "ok", "the apiserver is ready again")
    cluster.kubectl("scale", "deployment/web", "--replicas=3", "-n", namespace, timeout_seconds=60)
    eventually(
        lambda: cluster.get("deployment", "web", "-n", namespace)["status"].get("readyReplicas") == 3, "work goes on"
    )
    after = cluster.get("pods", "-n", namespace)["items"]
    assert pods <= {p["metadata"]["uid"] for p in after}, "running pods stayed"
    kept = [p for p in after if p["metadata"]["uid"] in pods]
    assert all(p["status"]["containerStatuses"][0]["restartCount"] == 0 for p in kept), "containers noticed nothing"


async def test_no_acknowledged_write_is_lost_to_kill_9_of_the_apiserver(cluster: Cluster, namespace: str) -> None:
    acknowledged: set[str] = set()
    stop = asyncio.Event()

    async def write(worker: int) -> None:
        client = Client.from_config(kubeconfig.load(cluster.kubeconfig))
        index = 0
        while not stop.is_set():
            name = f"w{worker}-{index}"
            index += 1
            try:
                await client.create(ConfigMap(metadata=ObjectMeta(name=name, namespace=namespace)))
            except (ApiError, OSError):
                await asyncio.sleep(0.05)
            else:
                acknowledged.add(name)
        await client.close()

    async def more(count: int) -> None:
        wanted = len(acknowledged) + count
        await asyncio.to_thread(eventually, lambda: len(acknowledged) >= wanted, f"{count} more writes")

    workers = [asyncio.create_task(write(worker)) for worker in range(8)]
    for round_number in range(2):
        await more(500)
        pid = cluster.processes()["apiserver"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(
            eventually, lambda p=pid: cluster.processes()["apiserver"] not in (None, p), f"restart {round_number}"
        )
    await more(200)
    stop.set()
    await asyncio.gather(*workers)
    stored = {item["metadata"]["name"] for item in cluster.get("configmaps", "-n", namespace)["items"]}
    assert acknowledged <= stored, f"{len(acknowledged - stored)} acknowledged writes are missing"


@pytest.mark.timeout(180)
def test_hollow_needs_no_root(tmp_path: Path) -> None:
    # Without capabilities root can do no more than a user; another user may not reach this interpreter.
    command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    one = fresh_cluster(tmp_path / "hollow", 4)
    tiphys = [*command, str(Path(one.kubectl_command()[0]).parent / "tiphys")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    flags = ["--data-dir", str(one.data_dir)]
    try:
        done = subprocess.run(
            [*tiphys, "up", "--hollow", "--hollow-nodes", "2", *one.flags, *flags],
            capture_output=True, text=True, check=False, timeout=60, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + one.logs()
        assert len(one.get("nodes")["items"]) == 2
        one.apply(deployment("web", 4))
        eventually(lambda: one.get("deployment", "web")["status"].get("readyReplicas") == 4, "hollow pods are ready")
    finally:
        subprocess.run([*tiphys, "down", *flags], check=True, timeout=60, env=environment, capture_output=True)
