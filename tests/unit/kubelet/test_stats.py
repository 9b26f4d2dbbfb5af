"""What the kubelet tells of the use of pods."""

from __future__ import annotations

import json
from pathlib import Path

from tiphys.cri.types import ContainerStats
from tiphys.kubelet.config import KubeletConfig
from tiphys.kubelet.server import stats
from tiphys.kubelet.spec.names import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID
from tiphys.testing.clock import FakeClock
from tiphys.testing.fake_cri import FakeRuntime

LABELS = {POD_NAME: "p", POD_NAMESPACE: "default", POD_UID: "u", CONTAINER_NAME: "c"}


class Runtime(FakeRuntime):
    """One container that runs, and the one it replaced, of which containerd gives neither use nor time."""

    async def list_container_stats(self, **_: object) -> list[ContainerStats]:
        return [
            ContainerStats("old", "c", LABELS, 0, writable_layer_bytes=5),
            ContainerStats("new", "c", LABELS, 1_700_000_000_000_000_000, 7, 8),
        ]


async def test_containers_that_ended_use_nothing(tmp_path: Path) -> None:
    config = KubeletConfig(node_name="n", node_ip="10.0.0.1", data_dir=tmp_path)
    body = json.loads(await stats.summary(Runtime(), config, FakeClock(), {}))
    (pod,) = body["pods"]
    assert [(c["name"], c["memory"]["workingSetBytes"]) for c in pod["containers"]] == [("c", 8)]
    assert "1970" not in json.dumps(pod)
    metrics = (await stats.resource_metrics(Runtime(), FakeClock())).decode()
    assert metrics.count('container="c"') == 2 and " 0\n" not in metrics
