"""What the kubelet measures of pods, and how it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tiphys.cri.types import ContainerStats
from tiphys.kubelet.cgroups import Cgroups
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.spec.names import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID
from tiphys.kubelet.stats.cgroup_usage import first_process, group_usage
from tiphys.kubelet.stats.exposition import cadvisor_metrics, resource_metrics
from tiphys.kubelet.stats.host_usage import tree_size
from tiphys.kubelet.stats.measuring import Measurer, PodFacts
from tiphys.kubelet.stats.rates import Rates
from tiphys.kubelet.stats.summary import Files, summary
from tiphys.testing import builders
from tiphys.testing.clock import FakeClock
from tiphys.testing.fake_cri import FakeRuntime

LABELS = {POD_NAME: "p", POD_NAMESPACE: "default", POD_UID: "u", CONTAINER_NAME: "c"}
STARTED = "2023-11-14T22:13:20Z"


class Runtime(FakeRuntime):
    """One container that runs, and the one it replaced, of which containerd gives neither use nor time."""

    cpu_nanoseconds = 7

    async def list_container_stats(self, **_: object) -> list[ContainerStats]:
        moment = 1_700_000_000_000_000_000 + self.cpu_nanoseconds
        return [
            ContainerStats("old", "c", LABELS, 0, writable_layer_bytes=5),
            ContainerStats("new", "c", LABELS, moment, self.cpu_nanoseconds, 8, 9, writable_layer_bytes=11),
        ]


def measurer(tmp_path: Path, runtime: Runtime, clock: FakeClock, cgroups: Cgroups | None = None) -> Measurer:
    (tmp_path / "volume").mkdir(exist_ok=True)
    (tmp_path / "volume" / "file").write_bytes(b"x" * 10_000)
    pod = builders.pod("p")
    pod.metadata.uid = "u"
    facts = PodFacts(pod, "u", {"c": STARTED}, {"data": tmp_path / "volume"})
    return Measurer(runtime, config(tmp_path), cgroups, clock, lambda: [facts])


def config(tmp_path: Path) -> KubeletConfig:
    return KubeletConfig(node_name="n", node_ip="10.0.0.1", data_dir=tmp_path, cgroup_root="/kubepods")


async def test_the_summary_tells_use_of_node_pods_containers_and_volumes(tmp_path: Path) -> None:
    clock = FakeClock()
    found = await measurer(tmp_path, Runtime(), clock).snapshot()
    document = await summary(found, Runtime(), config(tmp_path), Files(clock))
    (pod,) = document["pods"]
    assert pod["podRef"] == {"name": "p", "namespace": "default", "uid": "u"}
    (container,) = pod["containers"]
    assert (container["name"], container["startTime"]) == ("c", STARTED), "containers that ended use nothing"
    assert container["memory"]["workingSetBytes"] == 8 and container["rootfs"]["usedBytes"] == 11
    assert pod["memory"]["workingSetBytes"] == 8
    (volume,) = pod["volume"]
    assert volume["name"] == "data" and 10_000 <= volume["usedBytes"] < 40_000
    node = document["node"]
    assert node["cpu"]["usageCoreNanoSeconds"] > 0 and node["memory"]["availableBytes"] > 0
    assert node["fs"]["capacityBytes"] >= node["fs"]["availableBytes"] > 0
    assert node["rlimit"]["curproc"] > 0


async def test_cores_in_use_are_known_from_the_second_look_on(tmp_path: Path) -> None:
    clock, runtime = FakeClock(), Runtime()
    looking = measurer(tmp_path, runtime, clock)
    assert (await looking.snapshot()).pods[0].nano_cores is None
    await clock.advance(10)
    runtime.cpu_nanoseconds = 7 + 5_000_000_000
    assert (await looking.snapshot()).pods[0].nano_cores == 500_000_000
    runtime.cpu_nanoseconds = 0
    assert (await looking.snapshot()).pods[0].nano_cores == 500_000_000, "a look is good for a second"
    await clock.advance(10)
    assert (await looking.snapshot()).pods[0].nano_cores is None, "it restarted"


async def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    found = await measurer(tmp_path, Runtime(), FakeClock()).snapshot()
    families = {f.name: f for f in text_string_to_metric_families(resource_metrics(found).decode())}
    labels = {"container": "c", "namespace": "default", "pod": "p"}
    (sample,) = families["container_memory_working_set_bytes"].samples
    assert (sample.labels, sample.value) == (labels, 8)
    assert families["container_start_time_seconds"].samples[0].value == 1_700_000_000
    assert {"node_cpu_usage_seconds", "node_memory_working_set_bytes", "pod_cpu_usage_seconds"} <= families.keys()
    cadvisor = {f.name for f in text_string_to_metric_families(cadvisor_metrics(found, 2, 1 << 30).decode())}
    assert {"container_cpu_usage_seconds", "container_memory_usage_bytes", "machine_cpu_cores"} <= cadvisor


@pytest.mark.parametrize("unified", [True, False])
def test_cgroups_tell_the_use_of_all_that_is_in_them(tmp_path: Path, unified: bool) -> None:
    path = "kubepods/podu"
    files = (
        {
            f"{path}/cpu.stat": "usage_usec 3\nuser_usec 2\n",
            f"{path}/memory.current": "1000\n",
            f"{path}/memory.stat": "anon 600\ninactive_file 300\npgfault 5\n",
            f"{path}/pids.current": "4\n",
            f"{path}/c/cgroup.procs": "17\n18\n",
            f"{path}/cgroup.procs": "",
        }
        if unified
        else {
            f"cpuacct/{path}/cpuacct.usage": "3000\n",
            f"memory/{path}/memory.usage_in_bytes": "1000\n",
            f"memory/{path}/memory.stat": "rss 1\ntotal_rss 600\ntotal_inactive_file 300\ntotal_pgfault 5\n",
            f"pids/{path}/pids.current": "4\n",
            f"memory/{path}/c/cgroup.procs": "17\n18\n",
            f"memory/{path}/cgroup.procs": "",
        }
    )
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    usage = group_usage(tmp_path, f"/{path}", unified=unified)
    assert usage is not None
    assert (usage.cpu_nanoseconds, usage.memory_bytes, usage.working_set_bytes) == (3000, 1000, 700)
    assert (usage.rss_bytes, usage.page_faults, usage.processes) == (600, 5, 4)
    assert first_process(tmp_path, f"/{path}", unified=unified) == 17
    assert group_usage(tmp_path, "/kubepods/podv", unified=unified) is None


def test_rates_compare_with_a_reading_that_is_neither_too_new_nor_too_old() -> None:
    rates = Rates()
    assert rates.nano_cores("a", 0.0, 0) is None
    assert rates.nano_cores("a", 0.1, 10) is None, "too soon"
    assert rates.nano_cores("a", 2.0, 2_000_000_000) == 1_000_000_000
    assert rates.nano_cores("a", 10.0, 2_000_000_000) == 200_000_000
    assert rates.nano_cores("a", 10.2, 2_000_000_000) == round(2_000_000_000 / 10.2), "the reading before that"
    assert rates.nano_cores("a", 500.0, 9_000_000_000) is None, "too old"
    rates.keep_only(())
    assert rates.nano_cores("a", 501.0, 9_000_000_000) is None


def test_a_folder_is_as_large_as_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/")
    used, inodes = tree_size(tmp_path)
    assert inodes == 4 and 100_000 <= used < 200_000
    assert tree_size(tmp_path / "gone") == (0, 0)
